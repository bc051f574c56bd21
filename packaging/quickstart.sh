#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Shows the whole way once: builds, starts collectd or Telegraf with balenacrawl, waits for the
# first crawl and prints what Prometheus would scrape. Everything listens on loopback, lives in a
# temporary directory and ends with this script.
set -euo pipefail

usage() {
	cat <<'TEXT'
usage: packaging/quickstart.sh [collectd|telegraf] [--keep] [--with-prometheus]

Builds balenacrawl, starts the agent (default: collectd) with it on loopback, waits for the first
crawl and prints the agent's Prometheus text for balena and the URL to scrape.

  --keep             leave the agent running until Ctrl-C
  --with-prometheus  a Prometheus too, with the scrape configuration, rules and console pages of
                     packaging/monitoring; prints the links and leaves all running until Ctrl-C
  --help             this text

  BALENA_TOKEN     API key or session token; without it a fake API with a small fleet is crawled
  BALENA_API_URL   another server than balenaCloud (only used with BALENA_TOKEN)

Missing Debian or Ubuntu packages are installed with apt-get (sudo unless root). An installed
telegraf is used; without one it is built with Go >= 1.26 and kept in ~/.cache/balenacrawl. So is
an installed prometheus; without one Debian's package is unpacked there, not installed.
Exit status: 0 done, 1 the crawl or the build failed, 2 wrong arguments, 3 something is missing
that this script does not install.
TEXT
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
agent=""
keep=0 with_prometheus=0
for arg in "$@"; do
	case "$arg" in
	collectd | telegraf)
		if [ -n "$agent" ]; then
			usage >&2
			exit 2
		fi
		agent=$arg
		;;
	--keep) keep=1 ;;
	--with-prometheus) keep=1 with_prometheus=1 ;;
	--help | -h)
		usage
		exit 0
		;;
	*)
		printf 'unknown argument: %s\n' "$arg" >&2
		usage >&2
		exit 2
		;;
	esac
done
agent=${agent:-collectd}

. "$root/packaging/lib-common.sh"
. "$root/packaging/lib-telegraf.sh"

open_work
agent_pid="" fake_pid="" prometheus_pid=""

cleanup() {
	trap '' INT TERM HUP
	end_process "$prometheus_pid"
	end_process "$agent_pid"
	end_process "$fake_pid"
	close_work
}
trap cleanup EXIT

# start LOG COMMAND...: in the background, in a process group of its own, so that Ctrl-C reaches
# this script alone and the order of ending is ours. Its pid is in $!.
start() {
	local log=$1
	shift
	set -m
	"$@" </dev/null >"$log" 2>&1 &
	set +m
}

# The lines of the agent's log that say something about us or about a failure.
show_agent_log() {
	complain "the agent's log:"
	grep -aiE 'balena|error|fail|refus|unable|E!' "$work/agent.log" |
		grep -avE 'successfully loaded|Loading config|Starting process' | tail -n 8 | sed 's/^/    /' >&2 ||
		show_log "$work/agent.log"
}

install_packages() {
	local packages=(gcc libc6-dev meson ninja-build pkgconf python3 ca-certificates
		'libcurl4-openssl-dev|libcurl4-gnutls-dev' libjson-c-dev)
	if [ "$agent" = collectd ]; then
		# write_prometheus needs the last two, which collectd-core only suggests.
		packages+=(collectd-core collectd-dev 'libmicrohttpd12|libmicrohttpd12t64' libprotobuf-c1)
	fi
	ensure_packages "${packages[@]}"
}

find_telegraf() {
	local status=0
	telegraf=$(command -v telegraf || true)
	[ -z "$telegraf" ] || return 0
	pinned_telegraf || status=$?
	[ "$status" -ne 0 ] || return 0
	complain "no telegraf is installed, and $telegraf_reason"
	complain "get Telegraf from https://docs.influxdata.com/telegraf/v1/install/ or Go from https://go.dev/doc/install, then run this again"
	if [ "$status" -ne 3 ]; then show_log "$work/telegraf.log"; fi
	exit 3
}

find_prometheus() {
	unpack prometheus prometheus
	if command -v prometheus >/dev/null; then return 0; fi
	complain "no prometheus is installed, and Debian's package could not be had"
	complain "install it (apt-get install prometheus, or https://prometheus.io/download/ into the PATH), then run this again"
	exit 3
}

start_fake_api() {
	say "BALENA_TOKEN is not set: starting a fake balena API with made-up devices, so nothing below is real"
	start "$work/fake.log" "$python" "$root/tests/fake_api.py" --port 0 --port-file "$work/fake.port" \
		--seed 1 --fleets 3 --devices 12 --token test-token
	fake_pid=$!
	local i
	for ((i = 0; i < 100; i++)); do
		if [ -s "$work/fake.port" ]; then break; fi
		if ! kill -0 "$fake_pid" 2>/dev/null; then
			complain "the fake API did not start:"
			show_log "$work/fake.log"
			exit 1
		fi
		sleep 0.1
	done
	api_url=http://127.0.0.1:$(cat "$work/fake.port")
	token=test-token
	interval=10
}

# collectd.conf: Debian's plugin directory for the output, then ours; each LoadPlugin looks in the
# directory named last before it.
write_collectd_conf() {
	mkdir "$work/base"
	cat >"$work/agent.conf" <<CONF
Hostname "quickstart"
FQDNLookup false
BaseDir "$work/base"
PIDFile "$work/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
Interval 2
PluginDir "/usr/lib/collectd"
LoadPlugin write_prometheus
<Plugin write_prometheus>
  Host "127.0.0.1"
  Port "$port"
</Plugin>
PluginDir "$root/build/plugin_collectd"
LoadPlugin balena
<Plugin balena>
  <Account "quickstart">
    TokenFile "$work/token"
    ApiUrl "$api_url"
    Interval $interval
    StartJitter 0
  </Account>
</Plugin>
CONF
	command=(collectd -f -C "$work/agent.conf" -P "$work/collectd.pid")
}

write_telegraf_conf() {
	cat >"$work/agent.conf" <<CONF
[agent]
  interval = "${interval}s"
  round_interval = false
  flush_interval = "1s"
  omit_hostname = true
  metric_batch_size = 10000
  metric_buffer_limit = 1000000
  skip_processors_after_aggregators = true
[[inputs.execd]]
  command = ["$root/build/telegraf_execd/telegraf-balena", "--api-url", "$api_url",
    "--token-file", "$work/token", "--min-interval", "$interval", "--start-jitter", "0"]
  signal = "STDIN"
  data_format = "influx"
[[outputs.prometheus_client]]
  listen = "127.0.0.1:$port"
  metric_version = 2
  expiration_interval = "5m"
  write_timeout = "60s"
  collectors_exclude = ["gocollector"]
  [outputs.prometheus_client.metric_types]
    counter = ["balena_api_*_total", "balena_shard_*_total"]
    gauge = ["balena_devices_online", "balena_device_*", "balena_fleet_*", "balena_crawl_*"]
CONF
	command=("$telegraf" --config "$work/agent.conf")
}

# As it is shipped, but for the address and the pace. Rules and pages are used where they are.
start_prometheus() {
	local monitoring=$root/packaging/monitoring
	prometheus_url=http://127.0.0.1:$(free_port)
	{
		printf 'global: {evaluation_interval: 5s}\nrule_files: ["%s/rules/*.yml"]\n' "$monitoring"
		sed -E "s/127\.0\.0\.1:[0-9]+/127.0.0.1:$port/; s/(scrape_interval|scrape_timeout): .*/\1: 5s/" \
			"$monitoring/prometheus/balena-$agent.yml"
	} >"$work/prometheus.yml"
	start "$work/prometheus.log" prometheus --config.file="$work/prometheus.yml" \
		--storage.tsdb.path="$work/prometheus" --web.listen-address="${prometheus_url#http://}" \
		--web.console.templates="$monitoring/consoles" --web.console.libraries="$monitoring/consoles"
	prometheus_pid=$!
}

wait_for_prometheus() {
	local until=$((SECONDS + 60)) told=$SECONDS
	while ! http_get "$prometheus_url/api/v1/query?query=balena_crawl_success" 2>/dev/null | grep -q '"value"'; do
		if ! kill -0 "$prometheus_pid" 2>/dev/null || [ "$SECONDS" -ge "$until" ]; then
			complain "Prometheus did not start, or scraped nothing within 60 s:"
			show_log "$work/prometheus.log"
			exit 1
		fi
		if [ $((SECONDS - told)) -ge 5 ]; then
			told=$SECONDS
			say "  ... waiting for the first scrape"
		fi
		sleep 0.5
	done
}

# Of a Prometheus that is only unpacked the pages of its own are not there.
print_links() {
	local page
	say "all fleets: $prometheus_url/consoles/balena.html"
	for page in graph alerts targets; do
		if http_get "$prometheus_url/$page" >/dev/null 2>&1; then say "$page: $prometheus_url/$page"; fi
	done
}

# Waits for a crawl that went well and for its last line to have reached the output: the agents
# hand lines on little by little.
wait_for_crawl() {
	local until=$((SECONDS + 150)) told=$SECONDS count=-1 last=-2 still=0 success
	while :; do
		if ! kill -0 "$agent_pid" 2>/dev/null; then
			complain "$agent ended by itself"
			show_agent_log
			exit 1
		fi
		# A configuration that our part refuses: both agents live on without it.
		if grep -qaE 'balena plugin: no usable account|telegraf-balena exited: exit status 2' "$work/agent.log"; then
			complain "the configuration was refused"
			show_agent_log
			exit 1
		fi
		if [ "$SECONDS" -ge "$until" ]; then
			complain "no finished crawl after 150 s"
			show_agent_log
			exit 1
		fi
		if [ $((SECONDS - told)) -ge 5 ]; then
			told=$SECONDS
			say "  ... waiting ($count lines so far)"
		fi
		sleep 0.5
		http_get "$url" >"$work/all.txt" 2>/dev/null || continue
		grep -a balena "$work/all.txt" >"$work/balena.txt" || true
		count=$(wc -l <"$work/balena.txt")
		success=$(sed -n 's/^[a-z_]*balena_crawl_success{[^}]*} \([0-9]*\).*/\1/p' "$work/balena.txt")
		case "$success" in
		"") continue ;;
		0)
			complain "the crawl failed"
			show_agent_log
			exit 1
			;;
		esac
		if [ "$count" -eq "$last" ]; then still=$((still + 1)); else still=0; fi
		last=$count
		if [ "$still" -ge 4 ]; then return 0; fi
	done
}

print_result() {
	local lines
	lines=$(wc -l <"$work/balena.txt")
	head -n 5000 "$work/balena.txt"
	if [ "$lines" -gt 5000 ]; then say "... and $((lines - 5000)) lines more at $url"; fi
	say "$lines lines for balena; the first crawl is done"
}

say "quickstart with $agent"
install_packages
pick_python
if [ "$agent" = telegraf ]; then find_telegraf; fi
if [ "$with_prometheus" -eq 1 ]; then find_prometheus; fi

say "building into build/"
feature=auto
if [ "$agent" = collectd ]; then feature=enabled; fi
if ! build_tree "$root/build" "$work/build.log" --buildtype=release -Dtests=disabled "-Dcollectd=$feature"; then
	complain "the build failed:"
	show_log "$work/build.log"
	exit 1
fi

if [ -n "${BALENA_TOKEN:-}" ]; then
	api_url=${BALENA_API_URL:-https://api.balena-cloud.com}
	token=$BALENA_TOKEN
	interval=60
	say "crawling $api_url with the token of BALENA_TOKEN"
else
	start_fake_api
fi
# In a file that only this user can read; the agent gets its name, not the token.
(umask 077 && printf '%s\n' "$token" >"$work/token")
unset BALENA_TOKEN BALENA_API_URL token

port=$(free_port)
url=http://127.0.0.1:$port/metrics
"write_${agent}_conf"
say "starting ${command[0]##*/}, metrics at $url"
: >"$work/agent.log" # there before it is looked at
start "$work/agent.log" "${command[@]}"
agent_pid=$!
wait_for_crawl
print_result

if [ "$with_prometheus" -eq 1 ]; then
	start_prometheus
	say "starting Prometheus at $prometheus_url"
	wait_for_prometheus
	print_links
fi
if [ "$keep" -eq 1 ]; then
	say "$agent keeps running; scrape $url (Ctrl-C ends all)"
	trap 'exit 0' INT
	status=0 ended=""
	wait -n -p ended "$agent_pid" ${prometheus_pid:+"$prometheus_pid"} || status=$?
	if [ "$ended" = "$prometheus_pid" ]; then
		complain "Prometheus ended by itself (status $status)"
		show_log "$work/prometheus.log"
	else
		complain "$agent ended by itself (status $status)"
		show_agent_log
	fi
	exit 1
fi
say "with --keep it would go on running and could be scraped at $url"
