/* SPDX-License-Identifier: MIT
 *
 * The device fields of the API. Types and words were measured (balena-api-live.md 6 and 7); the
 * probed ones exist on balenaCloud only, or not on older servers (balena-api.md 2 and 7). */
#include "field.h"

#include <string.h>

const char *const bci_status_words[] = {
	"operational",       "reduced-functionality", "updating", "configuring",
	"post-provisioning", "disconnected",          "inactive", NULL,
};
const char *const bci_heartbeat_words[] = { "online", "timeout", "offline", "unknown", NULL };
const char *const bci_update_words[] = {
	"done", "downloading", "downloaded", "applying changes", "rejected", "aborted", NULL,
};

const char *const bci_service_words[] = {
	"Running",      "Starting",          "Installed", "Installing",  "Downloaded",
	"Downloading",  "Handing over",      "Awaiting handover",        "Idle",
	"configuring",  "Stopping",          "Stopped",   "paused",      "restarting",
	"exited",       "Dead",              "removing",  "Deleting",    "deleted",
	"Unknown",      NULL,
};
const char *const bci_release_words[] = {
	"success", "running", "failed", "error", "cancelled", "interrupted", NULL,
};

static const char *const slug[] = { "slug", NULL };
static const char *const semver[] = { "semver", NULL };
static const char *const version_or_commit[] = { "raw_version", "commit", NULL };

/* A database int4, to whose end the server clamps: that is then not what the device said. */
#define BELOW_CLAMP 2147483646.0

#define NUMBER(lo, hi) .type = BCI_TYPE_NUMBER, .min = (lo), .max = (hi)
#define WORD(list) .type = BCI_TYPE_WORD, .words = (list)
#define NAME(list) .type = BCI_TYPE_NAME, .members = (list)

const struct bci_field_row bci_fields[BCI_F__COUNT] = {
	[BCI_F_ID] = { "id", NUMBER(0, 9007199254740992.0) },
	[BCI_F_UUID] = { "uuid", .type = BCI_TYPE_TEXT },
	[BCI_F_FLEET] = { "belongs_to__application", .type = BCI_TYPE_REF },
	[BCI_F_TARGET_RELEASE] = { "should_be_running__release", .type = BCI_TYPE_REF },
	[BCI_F_DEVICE_NAME] = { "device_name", .type = BCI_TYPE_TEXT },
	[BCI_F_DEVICE_TYPE] = { "is_of__device_type", NAME(slug), .expand = "$select=slug" },
	[BCI_F_RUNNING_RELEASE] = { "is_running__release", .type = BCI_TYPE_REF },
	[BCI_F_RELEASE_NAME] = { "is_running__release", NAME(version_or_commit),
				 .expand = "$select=id,commit,raw_version" },
	[BCI_F_PINNED_RELEASE] = { "is_pinned_on__release", .type = BCI_TYPE_REF, .since7 = true },
	[BCI_F_STATUS] = { "overall_status", WORD(bci_status_words) },
	[BCI_F_VPN] = { "is_connected_to_vpn", .type = BCI_TYPE_BOOL },
	[BCI_F_HEARTBEAT] = { "api_heartbeat_state", WORD(bci_heartbeat_words) },
	[BCI_F_LAST_CONNECTIVITY] = { "last_connectivity_event", .type = BCI_TYPE_DATE },
	[BCI_F_VPN_CHANGED] = { "last_vpn_event", .type = BCI_TYPE_DATE },
	[BCI_F_HEARTBEAT_CHANGED] = { "changed_api_heartbeat_state_on__date", .type = BCI_TYPE_DATE,
				      .probe = true, .since7 = true },
	[BCI_F_CPU_USAGE] = { "cpu_usage", NUMBER(0, 100) },
	[BCI_F_CPU_TEMP] = { "cpu_temp", NUMBER(-100, 200) },
	[BCI_F_UNDERVOLTED] = { "is_undervolted", .type = BCI_TYPE_BOOL },
	[BCI_F_MEMORY_USAGE] = { "memory_usage", NUMBER(0, BELOW_CLAMP) },
	[BCI_F_MEMORY_TOTAL] = { "memory_total", NUMBER(0, BELOW_CLAMP) },
	[BCI_F_STORAGE_USAGE] = { "storage_usage", NUMBER(0, BELOW_CLAMP) },
	[BCI_F_STORAGE_TOTAL] = { "storage_total", NUMBER(0, BELOW_CLAMP) },
	[BCI_F_UPDATE_STATUS] = { "update_status", WORD(bci_update_words), .probe = true },
	[BCI_F_UPDATE_CHANGED] = { "last_update_status_event", .type = BCI_TYPE_DATE,
				   .probe = true },
	[BCI_F_PROGRESS] = { "overall_progress", NUMBER(0, 100) },
	[BCI_F_PROVISIONING_PROGRESS] = { "provisioning_progress", NUMBER(0, 100) },
	[BCI_F_OS_VERSION] = { "os_version", .type = BCI_TYPE_TEXT },
	[BCI_F_OS_VARIANT] = { "os_variant", .type = BCI_TYPE_TEXT },
	[BCI_F_SUPERVISOR_VERSION] = { "supervisor_version", .type = BCI_TYPE_TEXT },
	[BCI_F_TARGET_OS] = { "should_be_operated_by__release", NAME(semver),
			      .expand = "$select=semver,revision", .probe = true },
	[BCI_F_TARGET_SUPERVISOR] = { "should_be_managed_by__release", NAME(semver),
				      .expand = "$select=semver,revision", .probe = true,
				      .since7 = true },
	[BCI_F_WEB_ACCESSIBLE] = { "is_web_accessible", .type = BCI_TYPE_BOOL },
	[BCI_F_LOCKED_UNTIL] = { "is_locked_until__date", .type = BCI_TYPE_DATE },
	[BCI_F_CREATED] = { "created_at", .type = BCI_TYPE_DATE },
	[BCI_F_MODIFIED] = { "modified_at", .type = BCI_TYPE_DATE },
	[BCI_F_ACTIVE] = { "is_active", .type = BCI_TYPE_BOOL, .probe = true },
	[BCI_F_FROZEN] = { "is_frozen", .type = BCI_TYPE_BOOL, .probe = true },
	[BCI_F_LATITUDE] = { "latitude", .type = BCI_TYPE_NUMBER_TEXT, .min = -90, .max = 90,
			     .probe = true },
	[BCI_F_LONGITUDE] = { "longitude", .type = BCI_TYPE_NUMBER_TEXT, .min = -180, .max = 180,
			      .probe = true },
	[BCI_F_CUSTOM_LATITUDE] = { "custom_latitude", .type = BCI_TYPE_NUMBER_TEXT, .min = -90,
				    .max = 90, .probe = true },
	[BCI_F_CUSTOM_LONGITUDE] = { "custom_longitude", .type = BCI_TYPE_NUMBER_TEXT, .min = -180,
				     .max = 180, .probe = true },
	/* Which tags is an option's matter: query.c. */
	[BCI_F_TAGS] = { "device_tag", .type = BCI_TYPE_ROWS },
	/* Rows of releases that are gone stay for ever, as "deleted". */
	[BCI_F_INSTALLS] = { "image_install", .type = BCI_TYPE_ROWS,
			     .expand = "$select=status,download_progress,install_date,"
				       "is_provided_by__release;$filter=status%20ne%20'deleted';"
				       "$expand=image($select=id;"
				       "$expand=is_a_build_of__service($select=service_name))" },
};

size_t bci_word_code(const char *const *words, const char *text)
{
	for (size_t i = 0; words[i]; i++)
		if (strcmp(text, words[i]) == 0)
			return i + 1;
	return 0;
}
