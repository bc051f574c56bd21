/* SPDX-License-Identifier: MIT
 *
 * The metric catalogue with its private columns: what each metric is made of. */
#ifndef BCI_METRICS_H
#define BCI_METRICS_H

#include "field.h"

enum bci_metric_id {
	BCI_M_DEVICE_UP,
	BCI_M_DEVICE_STATUS,
	BCI_M_DEVICE_ON_TARGET,
	BCI_M_DEVICE_STORAGE_RATIO,
	BCI_M_DEVICE_MEMORY_RATIO,
	BCI_M_DEVICE_OFFLINE_SINCE,
	BCI_M_DEVICE_CPU_USAGE,
	BCI_M_DEVICE_CPU_TEMP,
	BCI_M_DEVICE_UNDERVOLTED,
	BCI_M_DEVICE_STORAGE_USED,
	BCI_M_DEVICE_STORAGE_SIZE,
	BCI_M_DEVICE_MEMORY_USED,
	BCI_M_DEVICE_MEMORY_SIZE,
	BCI_M_DEVICE_VPN,
	BCI_M_DEVICE_HEARTBEAT,
	BCI_M_DEVICE_VPN_CHANGED,
	BCI_M_DEVICE_HEARTBEAT_CHANGED,
	BCI_M_DEVICE_UPDATE_STATUS,
	BCI_M_DEVICE_UPDATE_CHANGED,
	BCI_M_DEVICE_PROGRESS,
	BCI_M_DEVICE_PINNED,
	BCI_M_DEVICE_ACTIVE,
	BCI_M_DEVICE_FROZEN,
	BCI_M_DEVICE_WEB_ACCESSIBLE,
	BCI_M_DEVICE_LOCKED_UNTIL,
	BCI_M_DEVICE_CREATED,
	BCI_M_DEVICE_MODIFIED,
	BCI_M_DEVICE_PROVISIONING_PROGRESS,
	BCI_M_DEVICE_OS_PENDING,
	BCI_M_DEVICE_SUPERVISOR_PENDING,
	BCI_M_DEVICE_LATITUDE,
	BCI_M_DEVICE_LONGITUDE,
	BCI_M_DEVICE_INFO,
	BCI_M_SERVICE_STATUS,
	BCI_M_SERVICE_PROGRESS,

	BCI_M_FLEET_DEVICES,
	BCI_M_DEVICES_ONLINE,
	BCI_M_FLEET_BY_CONNECTION,
	BCI_M_FLEET_BY_STATUS,
	BCI_M_FLEET_BY_HEARTBEAT,
	BCI_M_FLEET_BY_UPDATE,
	BCI_M_FLEET_BY_ROLLOUT,
	BCI_M_FLEET_BY_RELEASE,
	BCI_M_FLEET_BY_OS,
	BCI_M_FLEET_BY_SUPERVISOR,
	BCI_M_FLEET_BY_TYPE,
	BCI_M_FLEET_PINNED,
	BCI_M_FLEET_UNDERVOLTED,
	BCI_M_FLEET_FROZEN,
	BCI_M_FLEET_WITHOUT_METRICS,
	BCI_M_FLEET_SERVICES,
	BCI_M_FLEET_CPU_TEMP_MAX,
	BCI_M_FLEET_CPU_TEMP_MEAN,
	BCI_M_FLEET_CPU_MEAN,
	BCI_M_FLEET_CPU_MAX,
	BCI_M_FLEET_MEMORY_MEAN,
	BCI_M_FLEET_MEMORY_MAX,
	BCI_M_FLEET_STORAGE_MEAN,
	BCI_M_FLEET_STORAGE_MAX,
	BCI_M_FLEET_SUCCESS,
	BCI_M_FLEET_INFO,
	BCI_M_FLEET_TARGET_INFO,
	BCI_M_FLEET_TARGET_CREATED,
	BCI_M_FLEET_TRACKS_LATEST,
	BCI_M_FLEET_LATEST_STATUS,

	BCI_M_CRAWL_SUCCESS,
	BCI_M_CRAWL_LAST_SUCCESS,
	BCI_M_CRAWL_DURATION,
	BCI_M_CRAWL_INTERVAL,
	BCI_M_CRAWL_FLEETS,
	BCI_M_CRAWL_FLEETS_FAILED,
	BCI_M_CRAWL_DEVICES,
	BCI_M_CRAWL_UNMATCHED,
	BCI_M_CRAWL_WITHHELD,
	BCI_M_CRAWL_IGNORED,
	BCI_M_CRAWL_REDUCED,
	BCI_M_CRAWL_TOKEN_VALID,
	BCI_M_CRAWL_TOKEN_EXPIRY,
	BCI_M_CRAWL_API_VERSION,
	BCI_M_CRAWL_SHARD_INDEX,
	BCI_M_CRAWL_SHARDS,
	BCI_M_CRAWL_INFO,
	BCI_M_API_REQUESTS,
	BCI_M_API_REJECTED,
	BCI_M_API_RETRIES,
	BCI_M_API_BYTES,
	BCI_M_API_THROTTLED,
	BCI_M_SHARD_MOVES,
	BCI_M_SHARD_ERRORS,
	BCI_M__COUNT
};

/* How a device metric comes from fields; fleet and crawl metrics are counted (tally.c, report.c).
 */
enum bci_from {
	BCI_FROM_COUNTING,
	BCI_FROM_FIELD,   /* field x scale */
	BCI_FROM_RATIO,   /* field / other, where other > 0 */
	BCI_FROM_CHOICE,  /* field, else other, x scale */
	BCI_FROM_PRESENCE, /* 1 if the field is not null */
	BCI_FROM_UP,
	BCI_FROM_ON_TARGET,
	BCI_FROM_OFFLINE_SINCE,
	BCI_FROM_PENDING, /* 1 if the version in field is not the one in other */
	BCI_FROM_INFO
};

struct bci_metric {
	struct bcrawl_metric pub;
	enum bci_from        from;
	enum bci_field       field, other;
	double               scale;
	bool                 reported; /* told by the device: known only while it is connected */
	uint64_t             needs;    /* fields beside field and other, as BCI_BIT()s */
};

const struct bci_metric *bci_metric(enum bci_metric_id id);

/* The metrics that spec asks for, as flags by enum bci_metric_id; wanted may be NULL to check only.
 * false: spec is empty, or names a set or a metric that is not there. */
bool bci_metrics_select(const char *spec, bool wanted[BCI_M__COUNT]);

/* All device fields that the wanted metrics need, as BCI_BIT()s. */
uint64_t bci_metrics_fields(const bool wanted[BCI_M__COUNT]);

#endif
