/* SPDX-License-Identifier: MIT
 *
 * The metric catalogue: one row per metric. The scales follow the supervisor's units, which the API
 * passes on: whole MiB and per cent; its steps are in balena-api-live.md 6. */
#include "metrics.h"

#define MIB 1048576.0

static const struct bci_metric catalogue[] = {
	[BCI_M_DEVICE_UP] = {
		.pub = { "balena_device_up",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "decided from overall_status, is_connected_to_vpn, api_heartbeat_state, "
		         "last_connectivity_event",
		         "1 if the device is connected (VPN, or heartbeat online or timeout), 0 "
		         "if disconnected; absent if it never connected or is inactive.",
		         "A lost device keeps its heartbeat for 15 to 22 minutes, so this falls "
		         "late; the VPN falls within a minute or two.", NULL },
		.from = BCI_FROM_UP, .needs = BCI_STATE_FIELDS,
	},
	[BCI_M_DEVICE_STATUS] = {
		.pub = { "balena_device_status_code",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "overall_status; version 6: translated",
		         "Overall status: 1 operational, 2 reduced-functionality, 3 updating, 4 "
		         "configuring, 5 post-provisioning, 6 disconnected, 7 inactive, 0 other.",
		         "updating and configuring hide whether the device is connected.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_STATUS, .scale = 1,
	},
	[BCI_M_DEVICE_ON_TARGET] = {
		.pub = { "balena_device_on_target_release",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "is_running__release, should_be_running__release; version 6: else the "
		         "fleet's",
		         "1 if the device runs the release it should run; absent if either is not "
		         "known.",
		         "Says nothing of the services in it: those may still be starting.", NULL },
		.from = BCI_FROM_ON_TARGET, .field = BCI_F_RUNNING_RELEASE,
		.other = BCI_F_TARGET_RELEASE,
	},
	[BCI_M_DEVICE_STORAGE_RATIO] = {
		.pub = { "balena_device_storage_usage_ratio",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "storage_usage / storage_total",
		         "Used part of the data storage; only while connected.",
		         "May exceed 1: usage counts all partitions of the disk, size only the "
		         "data partition.", NULL },
		.from = BCI_FROM_RATIO, .field = BCI_F_STORAGE_USAGE, .other = BCI_F_STORAGE_TOTAL,
		.reported = true,
	},
	[BCI_M_DEVICE_MEMORY_RATIO] = {
		.pub = { "balena_device_memory_usage_ratio",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "memory_usage / memory_total",
		         "Used part of the memory; only while connected.",
		         "Reported in steps of 10 MiB, at most every 5 minutes.", NULL },
		.from = BCI_FROM_RATIO, .field = BCI_F_MEMORY_USAGE, .other = BCI_F_MEMORY_TOTAL,
		.reported = true,
	},
	[BCI_M_DEVICE_OFFLINE_SINCE] = {
		.pub = { "balena_device_offline_since_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "later of last_vpn_event, changed_api_heartbeat_state_on__date",
		         "When a disconnected device was lost; absent for all others.",
		         "Falls back to the VPN's date where the server has no date of the "
		         "heartbeat (version 6).", NULL },
		.from = BCI_FROM_OFFLINE_SINCE, .field = BCI_F_VPN_CHANGED,
		.other = BCI_F_HEARTBEAT_CHANGED, .needs = BCI_STATE_FIELDS,
	},
	[BCI_M_DEVICE_CPU_USAGE] = {
		.pub = { "balena_device_cpu_usage_ratio",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_STANDARD, 0,
		         "",
		         "cpu_usage / 100",
		         "Mean load of the cores; only while connected.",
		         "Reported in steps of 20 %, at most every 5 minutes.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_CPU_USAGE, .scale = 0.01, .reported = true,
	},
	[BCI_M_DEVICE_CPU_TEMP] = {
		.pub = { "balena_device_cpu_temperature_celsius",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_CELSIUS,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "cpu_temp",
		         "CPU temperature; only while connected.",
		         "Reported in steps of 5 degrees, at most every 5 minutes; 0 may mean "
		         "that there is no sensor.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_CPU_TEMP, .scale = 1, .reported = true,
	},
	[BCI_M_DEVICE_UNDERVOLTED] = {
		.pub = { "balena_device_undervolted",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "is_undervolted",
		         "1 if undervoltage was seen since the last boot; only while connected.",
		         "Stays 1 until the next boot; 0 also where the hardware cannot see "
		         "it.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_UNDERVOLTED, .scale = 1, .reported = true,
	},
	[BCI_M_DEVICE_STORAGE_USED] = {
		.pub = { "balena_device_storage_used_bytes",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BYTES,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "storage_usage x 1048576",
		         "Storage in use; only while connected.",
		         "Counts all partitions of the disk.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_STORAGE_USAGE, .scale = MIB,
		.reported = true,
	},
	[BCI_M_DEVICE_STORAGE_SIZE] = {
		.pub = { "balena_device_storage_size_bytes",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BYTES,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "storage_total x 1048576",
		         "Size of the data partition; only while connected.",
		         "The data partition alone.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_STORAGE_TOTAL, .scale = MIB,
		.reported = true,
	},
	[BCI_M_DEVICE_MEMORY_USED] = {
		.pub = { "balena_device_memory_used_bytes",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BYTES,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "memory_usage x 1048576",
		         "Memory in use; only while connected.",
		         "Reported in steps of 10 MiB, at most every 5 minutes.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_MEMORY_USAGE, .scale = MIB, .reported = true,
	},
	[BCI_M_DEVICE_MEMORY_SIZE] = {
		.pub = { "balena_device_memory_size_bytes",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BYTES,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "memory_total x 1048576",
		         "Size of the memory; only while connected.",
		         "", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_MEMORY_TOTAL, .scale = MIB, .reported = true,
	},
	[BCI_M_DEVICE_VPN] = {
		.pub = { "balena_device_vpn_connected",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "is_connected_to_vpn",
		         "1 if the device is connected to the VPN (cloudlink); what balena calls "
		         "is_online.",
		         "A device with the VPN switched off is healthy and always 0: alert on "
		         "balena_device_up.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_VPN, .scale = 1,
	},
	[BCI_M_DEVICE_HEARTBEAT] = {
		.pub = { "balena_device_heartbeat_code",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "api_heartbeat_state",
		         "Heartbeat: 1 online, 2 timeout, 3 offline, 4 unknown, 0 other.",
		         "Stays online for 15 to 22 minutes after the device is gone.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_HEARTBEAT, .scale = 1,
	},
	[BCI_M_DEVICE_VPN_CHANGED] = {
		.pub = { "balena_device_vpn_changed_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_STANDARD, 0,
		         "",
		         "last_vpn_event",
		         "When the VPN connection last came or went.",
		         "Not when the device was last seen.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_VPN_CHANGED, .scale = 1,
	},
	[BCI_M_DEVICE_HEARTBEAT_CHANGED] = {
		.pub = { "balena_device_heartbeat_changed_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_STANDARD, 0,
		         "",
		         "changed_api_heartbeat_state_on__date (version 7)",
		         "When the heartbeat state last changed.",
		         "Not the time of the last heartbeat, which the API does not tell.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_HEARTBEAT_CHANGED, .scale = 1,
	},
	[BCI_M_DEVICE_UPDATE_STATUS] = {
		.pub = { "balena_device_update_status_code",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_STANDARD, 1,
		         "",
		         "update_status",
		         "Application update: 1 done, 2 downloading, 3 downloaded, 4 applying "
		         "changes, 5 rejected, 6 aborted, 0 other; only while connected.",
		         "Of the application, not of the OS; supervisors before 16.7.0 tell "
		         "none.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_UPDATE_STATUS, .scale = 1, .reported = true,
	},
	[BCI_M_DEVICE_UPDATE_CHANGED] = {
		.pub = { "balena_device_update_status_changed_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_STANDARD, 0,
		         "",
		         "last_update_status_event",
		         "When the update status last changed; only while connected.",
		         "A restart of the device counts as a change.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_UPDATE_CHANGED, .scale = 1, .reported = true,
	},
	[BCI_M_DEVICE_PROGRESS] = {
		.pub = { "balena_device_progress_ratio",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_STANDARD, 0,
		         "",
		         "overall_progress / 100",
		         "Progress of an update or of provisioning; absent when idle; only while "
		         "connected.",
		         "Covers provisioning and OS updates too.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_PROGRESS, .scale = 0.01, .reported = true,
	},
	[BCI_M_DEVICE_PINNED] = {
		.pub = { "balena_device_pinned",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "is_pinned_on__release; version 6: should_be_running__release",
		         "1 if the device is pinned to a release, 0 if it follows its fleet.",
		         "", NULL },
		.from = BCI_FROM_PRESENCE, .field = BCI_F_PINNED_RELEASE,
	},
	[BCI_M_DEVICE_ACTIVE] = {
		.pub = { "balena_device_active",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "is_active (balenaCloud)",
		         "1 if the device is activated.",
		         "", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_ACTIVE, .scale = 1,
	},
	[BCI_M_DEVICE_FROZEN] = {
		.pub = { "balena_device_frozen",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "is_frozen (balenaCloud)",
		         "1 if the device is frozen, as over the allowance of devices.",
		         "", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_FROZEN, .scale = 1,
	},
	[BCI_M_DEVICE_WEB_ACCESSIBLE] = {
		.pub = { "balena_device_web_accessible",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "is_web_accessible",
		         "1 if the public device URL is on.",
		         "openBalena always says 0.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_WEB_ACCESSIBLE, .scale = 1,
	},
	[BCI_M_DEVICE_LOCKED_UNTIL] = {
		.pub = { "balena_device_locked_until_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "is_locked_until__date",
		         "Until when the API keeps the device locked; absent if it does not.",
		         "Update locks that a container holds are not in it.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_LOCKED_UNTIL, .scale = 1,
	},
	[BCI_M_DEVICE_CREATED] = {
		.pub = { "balena_device_created_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "created_at",
		         "When the device was registered.",
		         "", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_CREATED, .scale = 1,
	},
	[BCI_M_DEVICE_MODIFIED] = {
		.pub = { "balena_device_modified_timestamp_seconds",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "modified_at",
		         "When anybody last wrote to the device record.",
		         "Not when the device was last seen: any write counts, and image changes "
		         "do not.", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_MODIFIED, .scale = 1,
	},
	[BCI_M_DEVICE_PROVISIONING_PROGRESS] = {
		.pub = { "balena_device_provisioning_progress_ratio",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "provisioning_progress / 100",
		         "Progress of provisioning or of an OS update; only while connected.",
		         "", NULL },
		.from = BCI_FROM_FIELD, .field = BCI_F_PROVISIONING_PROGRESS, .scale = 0.01,
		.reported = true,
	},
	[BCI_M_DEVICE_OS_PENDING] = {
		.pub = { "balena_device_os_update_pending",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "os_version, should_be_operated_by__release",
		         "1 if the OS is to become another version, 0 if it is the wanted one; "
		         "absent if either is not known.",
		         "Experimental: compares version and revision, not the variant.", NULL },
		.from = BCI_FROM_PENDING, .field = BCI_F_OS_VERSION, .other = BCI_F_TARGET_OS,
	},
	[BCI_M_DEVICE_SUPERVISOR_PENDING] = {
		.pub = { "balena_device_supervisor_update_pending",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "supervisor_version, should_be_managed_by__release (version 7)",
		         "1 if the supervisor is to become another version, 0 if it is the wanted "
		         "one; absent if either is not known.",
		         "Experimental: compares the version alone.", NULL },
		.from = BCI_FROM_PENDING, .field = BCI_F_SUPERVISOR_VERSION,
		.other = BCI_F_TARGET_SUPERVISOR,
	},
	[BCI_M_DEVICE_LATITUDE] = {
		.pub = { "balena_device_latitude_degrees",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_DEGREES,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "custom_latitude, else latitude (balenaCloud)",
		         "Latitude set by a person, else as guessed from the address.",
		         "Where a person lives may be told by it.", NULL },
		.from = BCI_FROM_CHOICE, .field = BCI_F_CUSTOM_LATITUDE,
		.other = BCI_F_LATITUDE, .scale = 1,
	},
	[BCI_M_DEVICE_LONGITUDE] = {
		.pub = { "balena_device_longitude_degrees",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_DEGREES,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "custom_longitude, else longitude (balenaCloud)",
		         "Longitude set by a person, else as guessed from the address.",
		         "Where a person lives may be told by it.", NULL },
		.from = BCI_FROM_CHOICE, .field = BCI_F_CUSTOM_LONGITUDE,
		.other = BCI_F_LONGITUDE, .scale = 1,
	},
	[BCI_M_DEVICE_INFO] = {
		.pub = { "balena_device_info",
		         BCRAWL_SCOPE_DEVICE, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "device_name,device_type,os_version,os_variant,supervisor_version,release",
		         "device_name, is_of__device_type, os_version, os_variant, "
		         "supervisor_version, is_running__release, device_tag",
		         "1; the labels say what the device is and runs; tag_KEY for each tag of "
		         "info-tags.",
		         "device_name is not unique and may change; a join needs topk by "
		         "(device_uuid) (1, ...).", NULL },
		.from = BCI_FROM_INFO, .field = BCI_F_DEVICE_NAME, .other = BCI_F_DEVICE_TYPE,
		.needs = BCI_BIT(BCI_F_OS_VERSION) | BCI_BIT(BCI_F_OS_VARIANT) |
		         BCI_BIT(BCI_F_SUPERVISOR_VERSION) | BCI_BIT(BCI_F_RELEASE_NAME),
	},
	[BCI_M_SERVICE_STATUS] = {
		.pub = { "balena_device_service_status_code",
		         BCRAWL_SCOPE_SERVICE, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_STANDARD, 1,
		         "service_name",
		         "image_install: status",
		         "State of a service: 1 Running, 2 Starting, 3 Installed, 4 Installing, 5 "
		         "Downloaded, 6 Downloading, 7 Handing over, 8 Awaiting handover, 9 Idle, "
		         "10 configuring, 11 Stopping, 12 Stopped, 13 paused, 14 restarting, 15 "
		         "exited, 16 Dead, 17 removing, 18 Deleting, 19 deleted, 20 Unknown, 0 "
		         "other; only while connected.",
		         "Of two installs during an update, that of the running release. Needs "
		         "detail services.", NULL },
		.needs = BCI_SERVICE_FIELDS, .reported = true,
	},
	[BCI_M_SERVICE_PROGRESS] = {
		.pub = { "balena_device_service_download_progress_ratio",
		         BCRAWL_SCOPE_SERVICE, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_STANDARD, 0,
		         "service_name",
		         "image_install: download_progress / 100",
		         "Progress of the service's download; absent when there is none; only "
		         "while connected.",
		         "Written at most every 30 s. Needs detail services.", NULL },
		.needs = BCI_SERVICE_FIELDS, .reported = true,
	},
	[BCI_M_FLEET_DEVICES] = {
		.pub = { "balena_fleet_devices",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "devices read; with detail fleets the fleet list's count",
		         "Devices of the fleet.",
		         "With detail fleets the server's count, of a moment before the other "
		         "counts.", "devices" },
	},
	[BCI_M_DEVICES_ONLINE] = {
		.pub = { "balena_devices_online",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "fleet_name",
		         "is_connected_to_vpn (= is_online)",
		         "Devices of the fleet that are connected to the VPN, as the older "
		         "exporter counted.",
		         "The VPN alone: a device without VPN is never in it. fleet_name is not "
		         "unique.", "online" },
		.needs = BCI_BIT(BCI_F_VPN),
	},
	[BCI_M_FLEET_BY_CONNECTION] = {
		.pub = { "balena_fleet_devices_by_connection",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "connection",
		         "as balena_device_up",
		         "Devices that are connected, disconnected, never were connected, or are "
		         "inactive.",
		         "", "" },
		.needs = BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_BY_STATUS] = {
		.pub = { "balena_fleet_devices_by_status",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "status",
		         "overall_status; version 6: translated",
		         "Devices by overall status.",
		         "updating and configuring hide whether a device is connected.", "" },
		.needs = BCI_BIT(BCI_F_STATUS),
	},
	[BCI_M_FLEET_BY_HEARTBEAT] = {
		.pub = { "balena_fleet_devices_by_heartbeat",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "heartbeat",
		         "api_heartbeat_state",
		         "Devices by heartbeat state.",
		         "A lost device stays online for 15 to 22 minutes.", NULL },
		.needs = BCI_BIT(BCI_F_HEARTBEAT),
	},
	[BCI_M_FLEET_BY_UPDATE] = {
		.pub = { "balena_fleet_devices_by_update_status",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "update_status",
		         "update_status",
		         "Devices by update status; none: no status, stale: not connected.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_UPDATE_STATUS) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_BY_ROLLOUT] = {
		.pub = { "balena_fleet_devices_by_rollout",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "rollout",
		         "is_running__release, should_be_running__release; version 6: else the "
		         "fleet's",
		         "Devices on their target release, pending (connected or offline), or "
		         "unknown.",
		         "pending_offline devices may never come back: a rollout is done when "
		         "pending is 0.", NULL },
		.needs = BCI_BIT(BCI_F_RUNNING_RELEASE) | BCI_BIT(BCI_F_TARGET_RELEASE) |
		         BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_BY_RELEASE] = {
		.pub = { "balena_fleet_devices_by_release",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "release",
		         "is_running__release: raw_version, else commit",
		         "Devices by running release: the most frequent by name, the rest as "
		         "other, none if not told.",
		         "The target release is always named. Not to be added up over fleets: "
		         "what is other there differs.", NULL },
		.needs = BCI_BIT(BCI_F_RELEASE_NAME),
	},
	[BCI_M_FLEET_BY_OS] = {
		.pub = { "balena_fleet_devices_by_os_version",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "os_version",
		         "os_version",
		         "Devices by OS version: the most frequent by name, the rest as other, "
		         "none if not told.",
		         "Not to be added up over fleets: what is other there differs.", NULL },
		.needs = BCI_BIT(BCI_F_OS_VERSION),
	},
	[BCI_M_FLEET_BY_SUPERVISOR] = {
		.pub = { "balena_fleet_devices_by_supervisor_version",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "supervisor_version",
		         "supervisor_version",
		         "Devices by supervisor version: the most frequent by name, the rest as "
		         "other, none if not told.",
		         "Not to be added up over fleets: what is other there differs.", NULL },
		.needs = BCI_BIT(BCI_F_SUPERVISOR_VERSION),
	},
	[BCI_M_FLEET_BY_TYPE] = {
		.pub = { "balena_fleet_devices_by_device_type",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "device_type",
		         "is_of__device_type",
		         "Devices by device type: the most frequent by name, the rest as other, "
		         "none if not told.",
		         "Not to be added up over fleets: what is other there differs.", NULL },
		.needs = BCI_BIT(BCI_F_DEVICE_TYPE),
	},
	[BCI_M_FLEET_PINNED] = {
		.pub = { "balena_fleet_devices_pinned",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "is_pinned_on__release; version 6: should_be_running__release",
		         "Devices pinned to a release.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_PINNED_RELEASE),
	},
	[BCI_M_FLEET_UNDERVOLTED] = {
		.pub = { "balena_fleet_devices_undervolted",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "is_undervolted",
		         "Connected devices that have seen undervoltage.",
		         "0 also where the hardware cannot see it.", NULL },
		.needs = BCI_BIT(BCI_F_UNDERVOLTED) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_FROZEN] = {
		.pub = { "balena_fleet_devices_frozen",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "is_frozen (balenaCloud)",
		         "Frozen devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_FROZEN),
	},
	[BCI_M_FLEET_WITHOUT_METRICS] = {
		.pub = { "balena_fleet_devices_without_metrics",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "memory_total",
		         "Connected devices that report no hardware metrics.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_MEMORY_TOTAL) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_SERVICES] = {
		.pub = { "balena_fleet_services_by_status",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "service_name,service_status",
		         "image_install: status",
		         "Connected devices by service and its state; 0 for a state that no "
		         "device has.",
		         "Needs detail services.", NULL },
		.needs = BCI_SERVICE_FIELDS,
	},
	[BCI_M_FLEET_CPU_TEMP_MAX] = {
		.pub = { "balena_fleet_cpu_temperature_max_celsius",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_CELSIUS,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "cpu_temp",
		         "Highest CPU temperature among connected devices.",
		         "Reported in steps of 5 degrees.", NULL },
		.needs = BCI_BIT(BCI_F_CPU_TEMP) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_CPU_TEMP_MEAN] = {
		.pub = { "balena_fleet_cpu_temperature_mean_celsius",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_CELSIUS,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "cpu_temp",
		         "Mean CPU temperature of connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_CPU_TEMP) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_CPU_MEAN] = {
		.pub = { "balena_fleet_cpu_usage_mean_ratio",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "cpu_usage / 100",
		         "Mean CPU usage of connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_CPU_USAGE) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_CPU_MAX] = {
		.pub = { "balena_fleet_cpu_usage_max_ratio",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "cpu_usage / 100",
		         "Highest CPU usage among connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_CPU_USAGE) | BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_MEMORY_MEAN] = {
		.pub = { "balena_fleet_memory_usage_mean_ratio",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "memory_usage / memory_total",
		         "Mean memory usage of connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_MEMORY_USAGE) | BCI_BIT(BCI_F_MEMORY_TOTAL) |
		         BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_MEMORY_MAX] = {
		.pub = { "balena_fleet_memory_usage_max_ratio",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "memory_usage / memory_total",
		         "Highest memory usage among connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_MEMORY_USAGE) | BCI_BIT(BCI_F_MEMORY_TOTAL) |
		         BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_STORAGE_MEAN] = {
		.pub = { "balena_fleet_storage_usage_mean_ratio",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "storage_usage / storage_total",
		         "Mean storage usage of connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_STORAGE_USAGE) | BCI_BIT(BCI_F_STORAGE_TOTAL) |
		         BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_STORAGE_MAX] = {
		.pub = { "balena_fleet_storage_usage_max_ratio",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_RATIO,
		         BCRAWL_SET_OPTIONAL, 0,
		         "",
		         "storage_usage / storage_total",
		         "Highest storage usage among connected devices.",
		         "", NULL },
		.needs = BCI_BIT(BCI_F_STORAGE_USAGE) | BCI_BIT(BCI_F_STORAGE_TOTAL) |
		         BCI_STATE_FIELDS,
	},
	[BCI_M_FLEET_SUCCESS] = {
		.pub = { "balena_fleet_crawl_success",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "1 if all of the fleet was read in this crawl, 0 if not; there for every "
		         "listed fleet.",
		         "", NULL },
	},
	[BCI_M_FLEET_INFO] = {
		.pub = { "balena_fleet_info",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "fleet_name,organization,device_type,fleet_id",
		         "app_name, organization, is_for__device_type, id, application_tag",
		         "1; the labels say what the fleet is; tag_KEY for each tag of info-tags.",
		         "", NULL },
	},
	[BCI_M_FLEET_TARGET_INFO] = {
		.pub = { "balena_fleet_target_release_info",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "release",
		         "should_be_running__release",
		         "1; the label is the release that the fleet should run.",
		         "", NULL },
	},
	[BCI_M_FLEET_TARGET_CREATED] = {
		.pub = { "balena_fleet_target_release_created_timestamp_seconds",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "should_be_running__release: created_at",
		         "When the fleet's target release was made.",
		         "", NULL },
	},
	[BCI_M_FLEET_TRACKS_LATEST] = {
		.pub = { "balena_fleet_tracks_latest_release",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "should_track_latest_release",
		         "1 if the fleet follows its latest release.",
		         "", NULL },
	},
	[BCI_M_FLEET_LATEST_STATUS] = {
		.pub = { "balena_fleet_latest_release_status_code",
		         BCRAWL_SCOPE_FLEET, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_OPTIONAL, 1,
		         "",
		         "owns__release: status of the newest",
		         "State of the fleet's newest release: 1 success, 2 running, 3 failed, 4 "
		         "error, 5 cancelled, 6 interrupted, 0 other; absent if there is none.",
		         "The newest release need not be the target.", NULL },
	},
	[BCI_M_CRAWL_SUCCESS] = {
		.pub = { "balena_crawl_success",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "1 if the fleet list was read and not every fleet failed.",
		         "1 also if some fleets failed: see balena_crawl_fleets_failed.", NULL },
	},
	[BCI_M_CRAWL_LAST_SUCCESS] = {
		.pub = { "balena_crawl_last_success_timestamp_seconds",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "",
		         "When the last successful crawl ended; absent before the first.",
		         "", NULL },
	},
	[BCI_M_CRAWL_DURATION] = {
		.pub = { "balena_crawl_duration_seconds",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_SECONDS,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "",
		         "Duration of this crawl.",
		         "", NULL },
	},
	[BCI_M_CRAWL_INTERVAL] = {
		.pub = { "balena_crawl_interval_seconds",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_SECONDS,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "",
		         "The interval as configured, else the distance of the last two crawls, "
		         "else 60.",
		         "", NULL },
	},
	[BCI_M_CRAWL_FLEETS] = {
		.pub = { "balena_crawl_fleets",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Fleets to be crawled; of a shard, its own.",
		         "", NULL },
	},
	[BCI_M_CRAWL_FLEETS_FAILED] = {
		.pub = { "balena_crawl_fleets_failed",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Fleets that were not read to their end.",
		         "", NULL },
	},
	[BCI_M_CRAWL_DEVICES] = {
		.pub = { "balena_crawl_devices",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Devices read, those of no fleet included.",
		         "Absent with detail fleets.", NULL },
	},
	[BCI_M_CRAWL_UNMATCHED] = {
		.pub = { "balena_crawl_unmatched_patterns",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Configured patterns of fleets and organizations, and device tags, that "
		         "match nothing.",
		         "", NULL },
	},
	[BCI_M_CRAWL_WITHHELD] = {
		.pub = { "balena_crawl_withheld_values",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE, BCRAWL_SET_LEAN, 1,
		         "reason",
		         "",
		         "Values known and not passed on in this crawl: stale (of devices that are "
		         "not connected), superseded (installs that a newer one replaces), "
		         "inconsistent (counts that do not add up), capped (above a limit), agent "
		         "(the agent could not take them), paced (of devices that come with a "
		         "later crawl, to spare the agent); and shortened (passed on, with a label "
		         "that the agent cut).",
		         "With option stale-values keep none is stale.", NULL },
	},
	[BCI_M_CRAWL_IGNORED] = {
		.pub = { "balena_crawl_ignored_triggers",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Triggers since the last crawl that came too soon to be followed.",
		         "", NULL },
	},
	[BCI_M_CRAWL_REDUCED] = {
		.pub = { "balena_crawl_detail_reduced",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "1 if option max-series made this crawl fall back to detail fleets.",
		         "", NULL },
	},
	[BCI_M_CRAWL_TOKEN_VALID] = {
		.pub = { "balena_crawl_token_valid",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_BOOL,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "1 if the API accepted the token, 0 if it refused it; absent if that is "
		         "not known.",
		         "A 401 can be a database in trouble: alert after 15 minutes.", NULL },
	},
	[BCI_M_CRAWL_TOKEN_EXPIRY] = {
		.pub = { "balena_crawl_token_expiry_timestamp_seconds",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_TIMESTAMP,
		         BCRAWL_SET_LEAN, 0,
		         "",
		         "exp of the token (JWT)",
		         "When a session token expires; absent for API keys.",
		         "", NULL },
	},
	[BCI_M_CRAWL_API_VERSION] = {
		.pub = { "balena_crawl_api_version",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Version of the balena API in use; absent until it is known.",
		         "", NULL },
	},
	[BCI_M_CRAWL_SHARD_INDEX] = {
		.pub = { "balena_crawl_shard_index",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Number of this shard, from 0; 0 if the work is not shared, absent until "
		         "the members are known.",
		         "", NULL },
	},
	[BCI_M_CRAWL_SHARDS] = {
		.pub = { "balena_crawl_shards",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Shards that share the work; 1 if it is not shared, absent until the "
		         "members are known.",
		         "", NULL },
	},
	[BCI_M_CRAWL_INFO] = {
		.pub = { "balena_crawl_info",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_GAUGE, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "version",
		         "",
		         "1; the label is the version of balenacrawl.",
		         "", NULL },
	},
	[BCI_M_API_REQUESTS] = {
		.pub = { "balena_api_requests_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "result",
		         "",
		         "Requests by result: ok, auth, throttled, client_error, server_error, "
		         "timeout, network, garbage.",
		         "", NULL },
	},
	[BCI_M_API_REJECTED] = {
		.pub = { "balena_api_rejected_values_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "reason",
		         "",
		         "Values of the API that were dropped, replaced or cut: wrong type, out "
		         "of range, unknown word, too long.",
		         "", NULL },
	},
	[BCI_M_API_RETRIES] = {
		.pub = { "balena_api_retries_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Requests that were tried again.",
		         "", NULL },
	},
	[BCI_M_API_BYTES] = {
		.pub = { "balena_api_received_bytes_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_BYTES,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Bytes received from the API, compressed as they came.",
		         "", NULL },
	},
	[BCI_M_API_THROTTLED] = {
		.pub = { "balena_api_throttled_seconds_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_SECONDS,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Seconds that the API asked to wait, whole ones.",
		         "", NULL },
	},
	[BCI_M_SHARD_MOVES] = {
		.pub = { "balena_shard_moves_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Fleets that came to this shard or left it as members came and went.",
		         "", NULL },
	},
	[BCI_M_SHARD_ERRORS] = {
		.pub = { "balena_shard_membership_errors_total",
		         BCRAWL_SCOPE_CRAWL, BCRAWL_COUNTER, BCRAWL_UNIT_ONE,
		         BCRAWL_SET_LEAN, 1,
		         "",
		         "",
		         "Crawls that could not learn the members that share the work.",
		         "", NULL },
	},
};
_Static_assert(ARRAY_LEN(catalogue) == BCI_M__COUNT, "one row per metric");

const struct bci_metric *bci_metric(enum bci_metric_id id)
{
	return &catalogue[id];
}

const struct bcrawl_metric *bcrawl_metric_at(size_t i)
{
	return i < ARRAY_LEN(catalogue) ? &catalogue[i].pub : NULL;
}

const char *bcrawl_scope_name(enum bcrawl_scope scope)
{
	switch (scope) {
	case BCRAWL_SCOPE_CRAWL:
		return "crawl";
	case BCRAWL_SCOPE_FLEET:
		return "fleet";
	case BCRAWL_SCOPE_DEVICE:
		return "device";
	case BCRAWL_SCOPE_SERVICE:
		return "service";
	}
	return "";
}

const char *bcrawl_unit_name(enum bcrawl_unit unit)
{
	switch (unit) {
	case BCRAWL_UNIT_ONE:
	case BCRAWL_UNIT_BOOL:
		return "";
	case BCRAWL_UNIT_SECONDS:
		return "seconds";
	case BCRAWL_UNIT_BYTES:
		return "bytes";
	case BCRAWL_UNIT_RATIO:
		return "ratio";
	case BCRAWL_UNIT_CELSIUS:
		return "celsius";
	case BCRAWL_UNIT_DEGREES:
		return "degrees";
	case BCRAWL_UNIT_TIMESTAMP:
		return "timestamp_seconds";
	}
	return "";
}

const char *bcrawl_set_name(enum bcrawl_set set)
{
	switch (set) {
	case BCRAWL_SET_LEAN:
		return "lean";
	case BCRAWL_SET_STANDARD:
		return "standard";
	case BCRAWL_SET_OPTIONAL:
		return "optional";
	}
	return "";
}
