/* SPDX-License-Identifier: MIT
 *
 * Whole crawls over a scripted network: one crawler, its network, its sink and log, and two accounts
 * to stand behind the network. */
#ifndef CRAWL_ENV_H
#define CRAWL_ENV_H

#include "fake_sink.h"
#include "fake_transport.h"
#include "token_file.h"
#include "unit.h"

/* ---- a small account ----
 *
 * acme/a: 1 and 2 connected, 5 disconnected, 9 never; acme/b: 3 disconnected, 8 connected by
 * heartbeat alone; acme/empty: none; and device 12, never connected, of no fleet. */

#define RUNS(id, version)                                                                          \
	"\"is_running__release\":[{\"id\":" #id ",\"commit\":\"c0ffee\",\"raw_version\":\"" version "\"}],"
#define TYPE "\"is_of__device_type\":[{\"slug\":\"raspberrypi3\"}],"
#define UP                                                                                         \
	TYPE RUNS(2, "1.1.0") "\"should_be_running__release\":{\"__id\":2},"                        \
	"\"overall_status\":\"operational\",\"is_connected_to_vpn\":true,"                          \
	"\"api_heartbeat_state\":\"online\",\"last_connectivity_event\":\"2026-11-23T06:18:44.000Z\"," \
	"\"last_vpn_event\":\"2026-11-23T06:18:44.000Z\",\"memory_usage\":500,\"memory_total\":1000,"  \
	"\"cpu_temp\":50,\"is_undervolted\":true,\"update_status\":\"done\",\"device_name\":\"up\""
#define BEATS                                                                                      \
	TYPE RUNS(1, "1.0.0") "\"should_be_running__release\":{\"__id\":2},"                        \
	"\"overall_status\":\"reduced-functionality\",\"is_connected_to_vpn\":false,"               \
	"\"api_heartbeat_state\":\"timeout\",\"last_connectivity_event\":null,\"cpu_temp\":70,"     \
	"\"is_undervolted\":false,\"device_name\":\"beats\""
#define DOWN                                                                                       \
	TYPE RUNS(1, "1.0.0") "\"should_be_running__release\":{\"__id\":2},"                        \
	"\"overall_status\":\"disconnected\",\"is_connected_to_vpn\":false,"                        \
	"\"api_heartbeat_state\":\"offline\",\"last_connectivity_event\":\"2026-11-23T06:18:51.000Z\"," \
	"\"last_vpn_event\":\"2026-11-23T06:18:51.000Z\",\"memory_usage\":900,\"memory_total\":1000,"  \
	"\"cpu_temp\":90,\"is_undervolted\":true,\"update_status\":\"done\",\"device_name\":\"down\""
#define UNBORN                                                                                     \
	TYPE "\"overall_status\":\"configuring\",\"is_connected_to_vpn\":false,"                    \
	"\"api_heartbeat_state\":\"unknown\",\"last_connectivity_event\":null,"                     \
	"\"last_vpn_event\":null,\"is_undervolted\":false,\"device_name\":\"unborn\""
#define FLEET                                                                                      \
	"\"should_track_latest_release\":true,\"organization\":[{\"handle\":\"acme\"}],"            \
	"\"is_for__device_type\":[{\"slug\":\"raspberrypi3\"}],\"should_be_running__release\":"     \
	"[{\"id\":2,\"commit\":\"c0ffee\",\"raw_version\":\"1.1.0\","                               \
	"\"created_at\":\"2026-11-23T06:18:44.000Z\"}]"
#define BARE_FLEET                                                                                 \
	"\"should_track_latest_release\":false,\"organization\":[{\"handle\":\"acme\"}],"           \
	"\"is_for__device_type\":[{\"slug\":\"intel-nuc\"}],\"should_be_running__release\":[]"

#define SMALL_FLEETS 3
#define SMALL_DEVICES 7
struct sums {
	const char *slug;
	double devices, online, connected, disconnected, never;
};
extern const struct fake_fleet small_fleets[SMALL_FLEETS];
extern const struct fake_device small_devices[SMALL_DEVICES];
extern const struct sums small_sums[SMALL_FLEETS];

#define CLOUD_FIELDS "is_active is_frozen latitude longitude custom_latitude custom_longitude"
#define LIST "owns__device/$count&$filter"
#define DEVICES "&$filter=belongs_to__application%20in%20("
#define ORPHANS "belongs_to__application%20eq%20null"
#define IDS "/v7/device?$select=id&$filter="
#define CONTROL "/v7/device?$select=id&$top=0"
/* What it takes to fail a request for good. */
#define TRIES (1 + BCI_RETRIES)

/* ---- one crawler over one network ---- */

struct env {
	struct fake_transport net;
	struct fake_world world;
	struct fake_sink sink;
	struct bcrawl *c;
	struct bcrawl_error err;
	int polls, stop_at;  /* the stop callback says so from the n-th poll on; 0: never */
	char log[32][512];
	size_t log_lines;
	const char *name;    /* of the case */
};

/* options: key, value, key, value ..., NULL; a token option is added if there is no token file. */
void env_init(struct env *e, const char *name, const char *const *options);
void env_fini(struct env *e);
/* One crawl, with what is true of all of them. */
int run(struct env *e);

/* The log of an env, to be given to the crawler by other ways than env_init(). */
void on_log(void *user, int level, const char *line);

/* Two groups: fleets 1 to 200, each with a device of the same id, and fleet 201 with 5 devices. */
#define MANY 201
extern struct fake_fleet many_fleets[MANY];
extern char many_slugs[MANY][16];
extern struct fake_device many_devices[MANY + 4];
void many(struct env *e);

/* ---- what came of it ---- */

#define CRAWL(metric) "balena_crawl_" metric "{account=\"default\"}"
#define WITHHELD(reason) "balena_crawl_withheld_values{account=\"default\",reason=\"" reason "\"}"
#define API(metric) "balena_api_" metric "{account=\"default\"}"

double value(const struct env *e, const char *series);
/* A fleet's series: metric{fleet="slug"more} */
double fleet_value(const struct env *e, const char *metric, const char *slug, const char *more);
/* The requests counter of a result. */
double requests(const struct env *e, const char *result);

void check_sums(const struct env *e, const struct sums *want);
/* A fleet that was not read to its end: what the list says, and that it was not read. */
void check_no_sums(const struct env *e, const char *slug);
/* The crawl's own samples: they close every crawl that was not stopped. */
void check_crawl_samples(const struct env *e, int success);
/* Everything of the small account, each device once. */
void check_small(const struct env *e);

#endif
