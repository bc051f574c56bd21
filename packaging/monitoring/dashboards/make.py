# SPDX-License-Identifier: MIT
"""python3 make.py [--check]: writes the dashboards for Grafana beside itself, balena-*.json, out of the
short descriptions below. --check writes nothing, and fails if one of them is not what it would write.

Every query is an aggregate over what says where a value was scraped, so that twins, shards that hand a
fleet over, and both agents at once count a device once. What has no account label is let through
whichever account is chosen: without account-label all only what is said of a crawl has it.
"""
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
CRAWL = 'job=~"$job", account=~"|$account"'
FLEET = CRAWL + ', fleet=~"$fleet"'
DEVICE = FLEET + ', device_uuid=~"$device"'

GOOD, FAIR, BAD, BUSY, GONE = "green", "orange", "red", "blue", "text"
STATUS = {1: ("operational", GOOD), 2: ("reduced-functionality", FAIR), 3: ("updating", BUSY), 4: ("configuring",
    BUSY),
          5: ("post-provisioning", BUSY), 6: ("disconnected", BAD), 7: ("inactive", GONE), 0: ("other", GONE)}
HEARTBEAT = {1: ("online", GOOD), 2: ("timeout", FAIR), 3: ("offline", BAD), 4: ("unknown", GONE), 0: ("other", GONE)}
UPDATE = {1: ("done", GOOD), 2: ("downloading", BUSY), 3: ("downloaded", BUSY), 4: ("applying changes", BUSY),
          5: ("rejected", BAD), 6: ("aborted", BAD), 0: ("other", GONE)}
SERVICE = {number: (word, GOOD if word == "Running" else BAD if word in ("exited", "Dead", "restarting") else BUSY)
           for number, word in enumerate((
               "other", "Running", "Starting", "Installed", "Installing", "Downloaded", "Downloading",
               "Handing over", "Awaiting handover", "Idle", "configuring", "Stopping", "Stopped", "paused",
               "restarting", "exited", "Dead", "removing", "Deleting", "deleted", "Unknown"))}
YES_NO = {1: ("yes", GOOD), 0: ("no", BAD)}
NO_YES = {0: ("no", GOOD), 1: ("yes", BAD)}


# ---- queries ---------------------------------------------------------------------------------

def with_labels(by, more):
    return ", ".join((by, *more))


def crawl(metric, *more):
    """Of each crawler."""
    return "max by (%s) (%s{%s})" % (with_labels("job, instance, account", more), metric, CRAWL)


def fleet(metric, *more, where="", of=FLEET):
    return "max by (%s) (%s{%s%s})" % (with_labels("account, fleet", more), metric, of, where and ", " + where)


def device(metric, *more, of=DEVICE):
    return "max by (%s) (%s{%s})" % (with_labels("account, fleet, device_uuid", more), metric, of)


def words(name, where=""):
    """The devices of all chosen fleets, by a word: the metric has the label in its name."""
    return "sum by (%s) (%s)" % (name, fleet("balena_fleet_devices_by_" + name, name, where=where))


def count(metric, where=""):
    return "sum(%s)" % fleet(metric, where=where)


def per_second(metric, *more):
    """Of a counter, which each crawler has for itself: a sum."""
    return "sum by (%s) (rate(%s{%s}[$__rate_interval]))" % (with_labels("account", more), metric, CRAWL)


def quantiles(metric):
    return [(legend, "quantile(%s, %s)" % (part, device(metric, of=FLEET)))
            for legend, part in (("median", 0.5), ("95 %", 0.95), ("most", 1))]


def share(part, whole):
    """Of nothing there is none."""
    return "%s / (%s > 0)" % (part, whole)


def named(expression, *labels):
    """With labels of balena_device_info, of which there may be two while one of them changes."""
    return "%s * on (account, fleet, device_uuid) group_left (%s) topk by (account, fleet, device_uuid) (1, %s)" % (
        expression, ", ".join(labels), device("balena_device_info", *labels, of=FLEET))


CONNECTED = 'connection="connected"'
REACHABLE = 'connection=~"connected|disconnected"'
BY_CONNECTION = "balena_fleet_devices_by_connection"
BY_ROLLOUT = "balena_fleet_devices_by_rollout"
BY_STATUS = "balena_fleet_devices_by_status"
UP_SHARE = share("sum by (account, fleet) (%s)" % fleet(BY_CONNECTION, where=CONNECTED),
                 "sum by (account, fleet) (%s)" % fleet(BY_CONNECTION, "connection", where=REACHABLE))
ON_TARGET_SHARE = share("sum by (account, fleet) (%s)" % fleet(BY_ROLLOUT, where='rollout="on_target"'),
                        "sum by (account, fleet) (%s)" % fleet(BY_ROLLOUT, "rollout", where='rollout!="unknown"'))
# Of an account its oldest part: of twins the newest counts, of shards each. What does not know its number yet
# counts where none does.
LAST_READ = "balena_crawl_last_success_timestamp_seconds"
AGE = ("time() - (min by (account) (max by (account, shard) ("
       'count_values by (job, instance, account) ("shard", %s) * on (job, instance, account) group_left () %s'
       ")) or max by (account) (%s{%s}))" % (crawl("balena_crawl_shard_index"), crawl(LAST_READ), LAST_READ, CRAWL))


def not_read(of=FLEET):
    return "count(%s == 0) or vector(0)" % fleet("balena_fleet_crawl_success", of=of)


def organization(expression):
    return 'sum by (organization) (label_replace(%s, "organization", "$1", "fleet", "([^/]+).*"))' % expression


# ---- panels ----------------------------------------------------------------------------------

def mapping(codes):
    return [{"type": "value", "options": {
        str(number): {"text": word, "color": color, "index": index}
        for index, (number, (word, color)) in enumerate(codes.items())}}]


def steps(*pairs):
    """Thresholds: a color, then (value, color) from which on it is another."""
    return {"mode": "absolute", "steps": [{"color": pairs[0], "value": None}] + [
        {"color": color, "value": value} for value, color in pairs[1:]]}


SHARE = {"min": 0, "max": 1, "thresholds": steps(BAD, (0.8, FAIR), (0.95, GOOD))}
FULL = {"min": 0, "thresholds": steps(GOOD, (0.8, FAIR), (0.9, BAD))}
NONE_IS_GOOD = {"thresholds": steps(GOOD, (1, FAIR))}
PLAIN = {"thresholds": steps(GONE)}


def override(which, by="byName", **properties):
    """For one column of a table, or, byFrameRefID, for what one query gives."""
    return {"matcher": {"id": by, "options": which},
            "properties": [{"id": name, "value": value} for name, value in properties.items()]}


def link(column, uid, name):
    """From a column of a table to the dashboard of what it holds."""
    url = "/d/%s?var-%s=${__value.raw}&var-datasource=${datasource}&${job:queryparam}&${account:queryparam}"
    return override(column, links=[{"title": "Show it", "url": url % (uid, name) + "&${__url_time_range}"}])


class Panel:
    """One, but for its place. queries: an expression, or (legend, expression). columns: of a table, what the
    values of each query are called."""
    LINKS = (link("Fleet", "balena-fleet", "fleet"), link("UUID", "balena-device", "device"))
    LABELS = {"job": "Job", "instance": "Instance", "account": "Account", "fleet": "Fleet", "device_uuid": "UUID",
              "device_name": "Device", "device_type": "Type", "os_version": "OS", "os_variant": "Variant",
              "supervisor_version": "Supervisor", "release": "Release", "version": "Version"}
    OPTIONS = {
        "stat": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value",
                 "graphMode": "none", "textMode": "auto"},
        "timeseries": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                       "tooltip": {"mode": "multi", "sort": "desc"}},
        "bargauge": {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                     "orientation": "horizontal", "displayMode": "basic"},
        "state-timeline": {"legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                           "mergeValues": True, "showValue": "auto", "rowHeight": 0.8},
        "table": {"showHeader": True, "cellHeight": "sm"},
    }
    INSTANT = ("stat", "bargauge", "table")

    def __init__(self, kind, title, description, unit, width, height, *queries, field=None, options=None, stack=False,
                 overrides=(), hidden=(), columns=()):
        self.width, self.height = width, height
        defaults = {"unit": unit, **(field or {})}
        if stack:
            defaults["custom"] = {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 30, "lineWidth": 1}
        targets = []
        for ref, query in zip("ABCDEFGH", queries):
            legend, expression = query if isinstance(query, tuple) else ("__auto", query)
            instant = kind in self.INSTANT
            targets.append({"refId": ref, "datasource": DATASOURCE, "expr": expression, "legendFormat": legend,
                            "instant": instant, "range": not instant,
                            "format": "table" if kind == "table" else "time_series"})
        self.json = {"type": kind, "title": title, "description": description, "datasource": DATASOURCE,
                     "targets": targets, "fieldConfig": {"defaults": defaults, "overrides": list(overrides)},
                     "options": {**self.OPTIONS[kind], **(options or {})}}
        if kind == "table":
            self.json["fieldConfig"]["overrides"] += self.LINKS
            self.json["transformations"] = [
                {"id": "merge", "options": {}},
                {"id": "organize", "options": {
                    "excludeByName": dict.fromkeys(("Time", *hidden), True),
                    "renameByName": {**self.LABELS, **{
                        "Value #" + ref if len(targets) > 1 else "Value": column
                        for ref, column in zip("ABCDEFGH", columns)}}}}]


def stat(title, description, unit, query, width=4, **more):
    return Panel("stat", title, description, unit, width, 4, query, **{"field": PLAIN, **more})


def lines(title, description, unit, *queries, width=12, **more):
    return Panel("timeseries", title, description, unit, width, 8, *queries, **more)


def bars(title, description, unit, *queries, width=12, **more):
    return Panel("bargauge", title, description, unit, width, 8, *queries, **{"field": {**PLAIN, "min": 0}, **more})


def states(title, description, height, *queries, **more):
    return Panel("state-timeline", title, description, "none", 24, height, *queries, **more)


def table(title, description, unit, *queries, width=24, **more):
    return Panel("table", title, description, unit, width, 10, *queries, **more)


# ---- dashboards ------------------------------------------------------------------------------

def variable(name, label, query, several=True, regex=""):
    return {"type": "query", "name": name, "label": label, "datasource": DATASOURCE,
            "query": {"query": query, "refId": name}, "refresh": 2, "sort": 1, "regex": regex, "hide": 0,
            "multi": several, "includeAll": several, "options": [],
            **({"allValue": ".*", "current": {"selected": True, "text": ["All"], "value": ["$__all"]}} if several
               else {"current": {}})}


JOBS = variable("job", "Job", "label_values(balena_crawl_success, job)")
ACCOUNTS = variable("account", "Account", 'label_values(balena_crawl_success{job=~"$job"}, account)')
FLEETS = variable("fleet", "Fleet", "label_values(balena_fleet_crawl_success{%s}, fleet)" % CRAWL)
# By name: what Grafana makes of a result, its labels in the order of their names, is taken apart.
DEVICES = variable("device", "Device",
                   "query_result(max by (device_name, device_uuid) (balena_device_info{%s}))" % FLEET, several=False,
                   regex='/device_name="(?<text>[^"]*)".*device_uuid="(?<value>[^"]*)"/')



def placed(panels):
    """From left to right, and on below where the line is full."""
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y, tallest = 0, y + tallest, 0
        yield {"id": number, "gridPos": {"x": x, "y": y, "w": panel.width, "h": panel.height}, **panel.json}
        x, tallest = x + panel.width, max(tallest, panel.height)


def dashboard(uid, title, description, variables, panels):
    return {
        "uid": uid, "title": title, "description": description, "tags": ["balena"], "schemaVersion": 39, "version": 1,
        "editable": False, "graphTooltip": 1, "refresh": "1m", "timezone": "", "weekStart": "",
        "time": {"from": "now-6h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0,
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "title": "balena", "tags": ["balena"], "asDropdown": False, "url": "",
                   "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "external link",
                   "tooltip": ""}],
        "templating": {"list": [
            {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus",
             "regex": "", "refresh": 1, "hide": 0, "multi": False, "includeAll": False, "options": [], "current": {}},
            *variables]},
        "panels": list(placed(panels))}


CONNECTED_SHARE = "Share of the devices that are connected, of those that ever were and are not inactive."
ON_TARGET = "Share of the devices that run the release they should, where both are known."
TEN = "The ten most frequent. other: what is not among the first of its fleet; none: not known."
LOST = "(time() - %s)" % device("balena_device_offline_since_timestamp_seconds", of=FLEET)
CRAWL_AGE = stat("Age of the data",
                 "Time since the last crawl that went well, of the account and shard that is worst. If it is old, "
                 "so is what else is here of it.",
                 "s", "max(%s)" % AGE, field={"thresholds": steps(GOOD, (300, FAIR), (600, BAD))})
UP_STAT = stat("Connected", CONNECTED_SHARE, "percentunit",
               share(count(BY_CONNECTION, CONNECTED), "sum(%s)" % fleet(BY_CONNECTION, "connection", where=REACHABLE)),
               field=SHARE)
CONNECTION = lines("Devices by connection",
                   "connected: VPN, or heartbeat online or timeout. disconnected: both are lost. never: not once. A "
                   "lost device keeps its heartbeat for 15 to 22 minutes.",
                   "short", ("{{connection}}", words("connection")), stack=True)
STATUSES = lines("Devices by status",
                 "balena's overall status. updating and configuring hide whether a device is connected.",
                 "short", ("{{status}}", words("status")), stack=True)

OVERVIEW = dashboard("balena-overview", "balena: organisations", "All fleets at a glance.", [JOBS, ACCOUNTS, FLEETS], [
    CRAWL_AGE,
    stat("Fleets", "Fleets that were listed in the last crawl, devices of no fleet counted as one.", "short",
         "count(%s)" % fleet("balena_fleet_crawl_success")),
    stat("Devices", "Devices of all chosen fleets.", "short", count("balena_fleet_devices")),
    UP_STAT,
    stat("Reduced functionality", "Connected devices whose heartbeat is late, or that have one of VPN and heartbeat.",
         "short", count(BY_STATUS, 'status="reduced-functionality"'), field=NONE_IS_GOOD),
    stat("Fleets not read", "Fleets of which not all was read in the last crawl. They have no sums.", "short",
         not_read(), field=NONE_IS_GOOD),
    CONNECTION, STATUSES,
    table("Fleets",
          "One line a fleet. On target: share of the devices that run the release they should, where both are known.",
          "short", fleet("balena_fleet_devices"), UP_SHARE, ON_TARGET_SHARE,
          fleet(BY_STATUS, where='status="reduced-functionality"'), fleet(BY_ROLLOUT, where='rollout="pending"'),
          fleet("balena_fleet_crawl_success"),
          columns=("Devices", "Connected", "On target", "Reduced functionality", "Update pending", "Read"),
          overrides=[override("Connected", unit="percentunit"), override("On target", unit="percentunit"),
                     override("Read", mappings=mapping(YES_NO))]),
    bars("Connected, by organisation", CONNECTED_SHARE, "percentunit",
         ("{{organization}}", share(organization(fleet(BY_CONNECTION, where=CONNECTED)),
                                    organization(fleet(BY_CONNECTION, "connection", where=REACHABLE)))),
         width=8, field=SHARE),
    bars("OS versions", TEN, "short", ("{{os_version}}", "topk(10, %s)" % words("os_version")), width=8),
    bars("Device types", TEN, "short", ("{{device_type}}", "topk(10, %s)" % words("device_type")), width=8),
    table("Longest disconnected",
          "The twenty devices that were lost first. Of a server of version 6 it is the VPN's time alone.",
          "s", "topk(20, %s)" % named(LOST, "device_name"), columns=("Disconnected for",)),
])

FLEET_PAGE = dashboard("balena-fleet", "balena: fleet", "Rollout, state and resources of one fleet or some.",
                       [JOBS, ACCOUNTS, FLEETS], [
    stat("Devices", "Devices of the chosen fleets.", "short", count("balena_fleet_devices")),
    UP_STAT,
    stat("On target", ON_TARGET, "percentunit",
         share(count(BY_ROLLOUT, 'rollout="on_target"'),
               "sum(%s)" % fleet(BY_ROLLOUT, "rollout", where='rollout!="unknown"')),
         field=SHARE),
    stat("Pending", "Connected devices that do not run the release they should.", "short",
         count(BY_ROLLOUT, 'rollout="pending"'), field=NONE_IS_GOOD),
    stat("Pending, not connected", "They cannot update before they come back.", "short",
         count(BY_ROLLOUT, 'rollout="pending_offline"')),
    stat("Target release", "The release that each fleet should run.", "none",
         ("{{release}}", fleet("balena_fleet_target_release_info", "release")), options={"textMode": "name"}),
    lines("Rollout",
          "on_target: runs what it should. pending: connected, and does not yet. pending_offline: not connected. "
          "unknown: no release, or no target.",
          "short", ("{{rollout}}", words("rollout")), stack=True),
    bars("On target, by fleet", ON_TARGET, "percentunit", ("{{fleet}}", ON_TARGET_SHARE), field=SHARE),
    lines("Releases", "The twenty most frequent. other: what is not among the first of its fleet; none: runs none.",
          "short", ("{{release}}", "topk(20, %s)" % words("release")), stack=True),
    lines("Update status",
          "What devices say of the update of the application. stale: not connected; none: says nothing, as "
          "supervisors before 16.7.0.",
          "short", ("{{update_status}}", words("update_status")), stack=True),
    CONNECTION, STATUSES,
    lines("Devices by heartbeat", "The heartbeat stays online for 15 to 22 minutes after a device is gone.", "short",
          ("{{heartbeat}}", words("heartbeat")), stack=True),
    lines("Set apart",
          "Pinned to a release, frozen (balenaCloud), undervolted since their last boot, connected and without "
          "hardware metrics.",
          "short",
          *((word, count("balena_fleet_devices_" + word))
            for word in ("pinned", "frozen", "undervolted", "without_metrics"))),
    lines("Storage in use",
          "Of connected devices: the median, the 95th percentile and the fullest. May exceed 100 %: all partitions "
          "are counted against the data partition.",
          "percentunit",
          *quantiles("balena_device_storage_usage_ratio"),
          field={"min": 0}),
    lines("Memory in use",
          "Of connected devices: the median, the 95th percentile and the fullest. Reported in steps, at most every 5 "
          "minutes.",
          "percentunit",
          *quantiles("balena_device_memory_usage_ratio"),
          field={"min": 0}),
    lines("Highest CPU temperature", "Among the connected devices of a fleet, in steps of 5 degrees.", "celsius",
          ("{{fleet}}", fleet("balena_fleet_cpu_temperature_max_celsius"))),
    bars("OS versions", TEN, "short", ("{{os_version}}", "topk(10, %s)" % words("os_version"))),
    bars("Supervisor versions", TEN, "short",
         ("{{supervisor_version}}", "topk(10, %s)" % words("supervisor_version"))),
    bars("Services", "Connected devices by service and its state. Needs detail services.", "short",
         ("{{service_name}}: {{service_status}}", "sum by (service_name, service_status) (%s > 0)" % fleet(
             "balena_fleet_services_by_status", "service_name", "service_status"))),
    table("Disconnected", "Devices that have lost both VPN and heartbeat, and for how long; the first hundred.", "s",
          "topk(100, %s)" % named(LOST, "device_name"), width=12, columns=("Disconnected for",)),
    table("Reduced functionality",
          "Connected devices whose heartbeat is late, or that have one of VPN and heartbeat; a hundred.",
          "none", "topk(100, %s)" % named("(%s == 2)" % device("balena_device_status_code", of=FLEET), "device_name"),
          width=12, field={"mappings": mapping(STATUS)}, columns=("Status",)),
])

DEVICE_PAGE = dashboard("balena-device", "balena: device", "One device.", [JOBS, ACCOUNTS, FLEETS, DEVICES], [
    stat("Up", "yes: connected by VPN or heartbeat. no: has lost both. Nothing: never connected, or inactive.",
         "none", device("balena_device_up"), field={"mappings": mapping(YES_NO)}),
    stat("Status", "balena's overall status.", "none", device("balena_device_status_code"),
         field={"mappings": mapping(STATUS)}),
    stat("On target release", "Whether it runs the release that it should.", "none",
         device("balena_device_on_target_release"), field={"mappings": mapping(YES_NO)}),
    stat("Disconnected since", "Only of a device that is disconnected.", "dateTimeFromNow",
         "1000 * " + device("balena_device_offline_since_timestamp_seconds")),
    stat("Storage in use", "May exceed 100 %: all partitions are counted against the data partition.", "percentunit",
         device("balena_device_storage_usage_ratio"), field=FULL),
    stat("Memory in use", "Reported in steps of 10 MiB, at most every 5 minutes.", "percentunit",
         device("balena_device_memory_usage_ratio"), field=FULL),
    table("Device", "Who it is and what it runs. collectd has room for the name alone.", "none",
          device("balena_device_info", "device_name", "device_type", "os_version", "os_variant",
                 "supervisor_version", "release"),
          hidden=("Value",)),
    states("State",
           "A gap is what is not known: hardware, update and service values are only shown while the device is "
           "connected.",
           10, ("up", device("balena_device_up")), ("status", device("balena_device_status_code")),
           ("on target release", device("balena_device_on_target_release")),
           ("VPN", device("balena_device_vpn_connected")), ("heartbeat", device("balena_device_heartbeat_code")),
           ("update", device("balena_device_update_status_code")),
           overrides=[override(ref, "byFrameRefID", mappings=mapping(codes))
                      for ref, codes in zip("ABCDEF", (YES_NO, STATUS, YES_NO, YES_NO, HEARTBEAT, UPDATE))]),
    states("Releases", "The releases that it ran. collectd has no room for them.", 6,
           ("{{release}}", "max by (release) (balena_device_info{%s})" % DEVICE),
           field={"mappings": mapping({1: ("running", GOOD)})}),
    states("Services", "State of each service of the release that it runs. Needs detail services.", 8,
           ("{{service_name}}", device("balena_device_service_status_code", "service_name")),
           field={"mappings": mapping(SERVICE)}),
    lines("Usage",
          "Parts of the whole. The CPU's is reported in steps of 20 %; between two reports nothing is known, and a "
          "peak may never be seen.",
          "percentunit", ("CPU", device("balena_device_cpu_usage_ratio")),
          ("memory", device("balena_device_memory_usage_ratio")),
          ("storage", device("balena_device_storage_usage_ratio")), field={"min": 0}),
    lines("CPU temperature", "In steps of 5 degrees; 0 may mean that there is no sensor.", "celsius",
          ("temperature", device("balena_device_cpu_temperature_celsius"))),
    lines("Memory and storage",
          "What is used, and the size. Storage in use is that of all partitions, its size that of the data "
          "partition.",
          "bytes",
          *(("%s %s" % (what, word), device("balena_device_%s_%s_bytes" % (what, word)))
            for what in ("memory", "storage") for word in ("used", "size")),
          field={"min": 0}),
    lines("Progress",
          "Of an update, of provisioning, and of the download of each service. Nothing while there is none.",
          "percentunit", ("device", device("balena_device_progress_ratio")),
          ("{{service_name}}", device("balena_device_service_download_progress_ratio", "service_name")),
          field={"min": 0, "max": 1}),
    stat("Undervolted", "Seen since its last boot.", "none", device("balena_device_undervolted"),
         field={"mappings": mapping(NO_YES)}, width=6),
    *(stat(title, text, "dateTimeFromNow", "1000 * " + device("balena_device_%s_timestamp_seconds" % name), width=6)
      for title, text, name in (
          ("VPN changed", "When the VPN last came or went. Not when the device was last seen.", "vpn_changed"),
          ("Heartbeat changed", "When its state last changed. Not the last heartbeat.", "heartbeat_changed"),
          ("Update status changed", "A restart of the device counts as a change.", "update_status_changed"))),
])

CRAWLER = dashboard("balena-crawler", "balena: crawler", "How fresh and whole the data is, and what it costs.",
                    [JOBS, ACCOUNTS], [
    CRAWL_AGE,
    stat("Crawls that fail", "Crawlers whose last crawl failed.", "short",
         "count(%s == 0) or vector(0)" % crawl("balena_crawl_success"), field=NONE_IS_GOOD),
    stat("Fleets not read", "Fleets that the last crawls did not read to their end.", "short",
         not_read(CRAWL), field=NONE_IS_GOOD),
    stat("Token accepted", "Whether the API accepted the token. A 401 can be a database in trouble.", "none",
         "min(%s)" % crawl("balena_crawl_token_valid"), field={"mappings": mapping(YES_NO)}),
    stat("Patterns that match nothing", "Configured patterns of fleets and organisations, and device tags.", "short",
         "max(%s)" % crawl("balena_crawl_unmatched_patterns"), field=NONE_IS_GOOD),
    stat("Reduced detail", "Crawlers that max-series made fall back to detail fleets.", "short",
         "sum(%s)" % crawl("balena_crawl_detail_reduced"), field=NONE_IS_GOOD),
    lines("Age of the data", "Time since the last crawl that went well, of each account; of shards the oldest.", "s",
          ("{{account}}", AGE),
          field={"min": 0}),
    lines("Duration of a crawl", "And the interval, which it should stay well below.", "s",
          ("{{account}} {{instance}}", crawl("balena_crawl_duration_seconds")),
          ("interval of {{account}}", "max by (account) (balena_crawl_interval_seconds{%s})" % CRAWL),
          field={"min": 0}),
    lines("Requests", "By result. All but ok and a few client_error, which are probes, is trouble.", "reqps",
          ("{{account}} {{result}}", per_second("balena_api_requests_total", "result"))),
    lines("Received", "From the API, compressed as it came.", "Bps",
          ("{{account}}", per_second("balena_api_received_bytes_total"))),
    lines("Tried again", "Requests that were tried again.", "reqps",
          ("{{account}}", per_second("balena_api_retries_total"))),
    lines("Asked to wait", "Seconds of waiting that the API asked for, a second.", "s",
          ("{{account}}", per_second("balena_api_throttled_seconds_total"))),
    lines("Values withheld",
          "Known and not passed on in the last crawl, of all crawlers. stale is devices that are not connected, as it "
          "should be.",
          "short",
          ("{{account}} {{reason}}", "sum by (account, reason) (%s)" % crawl(
              "balena_crawl_withheld_values", "reason"))),
    lines("Values rejected", "Values of the API that were dropped, replaced or cut.", "cps",
          ("{{account}} {{reason}}", per_second("balena_api_rejected_values_total", "reason"))),
    lines("Triggers ignored", "Triggers of the agent that came too soon, since the crawl before.", "short",
          ("{{account}} {{instance}}", crawl("balena_crawl_ignored_triggers"))),
    lines("Devices read", "By each crawler. Absent with detail fleets.", "short",
          ("{{account}} {{instance}}", crawl("balena_crawl_devices")), stack=True),
    table("Crawlers and shards",
          "One line a crawler: its number from 0, how many share the work, and what it crawls.",
          "short",
          *(crawl("balena_crawl_" + name) for name in ("shard_index", "shards", "fleets", "success", "api_version")),
          crawl("balena_crawl_info", "version"), hidden=("Value #F",),
          columns=("Shard", "Shards", "Fleets", "Crawl went well", "API version"),
          overrides=[override("Crawl went well", mappings=mapping(YES_NO))]),
    lines("Fleets that move", "Fleets that came to a shard or left it, a second.", "cps",
          ("{{account}}", per_second("balena_shard_moves_total"))),
    lines("Members not learnt", "Times that the members of the shards could not be learnt, a second.", "cps",
          ("{{account}}", per_second("balena_shard_membership_errors_total"))),
])


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(__doc__)
    wrong = 0
    for made in (OVERVIEW, FLEET_PAGE, DEVICE_PAGE, CRAWLER):
        path, text = HERE / (made["uid"] + ".json"), json.dumps(made, indent=1) + "\n"
        if not arguments:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            wrong = 1
            print("%s is not what make.py writes: run python3 packaging/monitoring/dashboards/make.py" % path.name)
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
