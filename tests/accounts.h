/* SPDX-License-Identifier: MIT
 *
 * A small account at two moments, for tests of what happens when something fails: fleets, tags,
 * services, devices in all states, one of no fleet; in the words of versions 7 and 6 of the API. */
#ifndef ACCOUNTS_H
#define ACCOUNTS_H

#include "fake_transport.h"

#define TYPE "\"is_of__device_type\":[{\"slug\":\"raspberrypi3\"}],"
#define RUNS(id, version)                                                                          \
	"\"is_running__release\":[{\"id\":" #id ",\"commit\":\"c0ffee\",\"raw_version\":\"" version "\"}],"
#define TAG "\"device_tag\":[{\"tag_key\":\"site\",\"value\":\"berlin\"}],"
#define INSTALL(service, release, status)                                                          \
	"{\"image\":[{\"is_a_build_of__service\":[{\"service_name\":\"" service "\"}],\"id\":3}],"     \
	"\"is_provided_by__release\":{\"__id\":" #release "},\"status\":\"" status                      \
	"\",\"download_progress\":40,\"install_date\":\"2026-11-23T06:18:44.187Z\"}"
#define UP(version, status)                                                                        \
	TAG TYPE RUNS(2, version) "\"should_be_running__release\":{\"__id\":2},"                    \
	"\"overall_status\":\"" status "\",\"is_connected_to_vpn\":true,"                           \
	"\"api_heartbeat_state\":\"online\",\"last_connectivity_event\":\"2026-11-23T06:18:44.000Z\"," \
	"\"memory_usage\":500,\"memory_total\":1000,\"cpu_temp\":50,\"os_version\":\"balenaOS 5.3\","  \
	"\"supervisor_version\":\"16.1\",\"update_status\":\"done\",\"is_undervolted\":false,"         \
	"\"device_name\":\"up\",\"image_install\":[" INSTALL("main", 2, "Running") ","                 \
	INSTALL("main", 1, "Stopping") "," INSTALL("web", 2, "Downloading") "]"
#define UP7(version) UP(version, "operational")
#define UP6(version) UP(version, "idle")
#define DOWN                                                                                       \
	TAG "\"overall_status\":\"disconnected\",\"is_connected_to_vpn\":false,"                    \
	"\"api_heartbeat_state\":\"offline\",\"last_connectivity_event\":\"2026-11-23T06:18:51.000Z\"," \
	"\"device_name\":\"down\",\"image_install\":[" INSTALL("old", 1, "exited") "]"
#define ORPHAN TAG "\"overall_status\":\"configuring\",\"is_connected_to_vpn\":false,"             \
	"\"api_heartbeat_state\":\"unknown\",\"last_connectivity_event\":null"
#define FLEET                                                                                      \
	"\"should_track_latest_release\":true,\"organization\":[{\"handle\":\"acme\"}],"            \
	"\"is_for__device_type\":[{\"slug\":\"raspberrypi3\"}],\"should_be_running__release\":"     \
	"[{\"id\":2,\"commit\":\"c0ffee\",\"raw_version\":\"1.1.0\","                               \
	"\"created_at\":\"2026-11-23T06:18:44.000Z\"}],\"owns__release\":[{\"status\":\"failed\"}]," \
	"\"application_tag\":[{\"tag_key\":\"Env\",\"value\":\"prod\"}]"

static const struct fake_fleet three_fleets[] = {
	{ 1, "acme/a", FLEET }, { 2, "acme/b", FLEET }, { 3, "acme/empty", FLEET },
};
/* Release a has a name, and keeps it when b overtakes it: test_crawl.c, test_top_versions(). */
static const struct fake_device first7[] = {
	{ 1, 1, UP7("a") }, { 2, 1, UP7("a") }, { 3, 1, UP7("b") }, { 5, 2, DOWN },
	{ 7, 2, UP7("a") }, { 9, 0, ORPHAN },
};
static const struct fake_device second7[] = {
	{ 1, 1, UP7("a") }, { 2, 1, UP7("b") }, { 3, 1, UP7("b") }, { 5, 2, DOWN },
	{ 7, 2, UP7("a") }, { 8, 2, DOWN }, { 9, 0, ORPHAN },
};
static const struct fake_device first6[] = {
	{ 1, 1, UP6("a") }, { 2, 1, UP6("a") }, { 5, 2, DOWN }, { 9, 0, ORPHAN },
};
static const struct fake_device second6[] = {
	{ 1, 1, UP6("a") }, { 2, 1, UP6("a") }, { 5, 2, DOWN }, { 6, 2, DOWN }, { 9, 0, ORPHAN },
};

#endif
