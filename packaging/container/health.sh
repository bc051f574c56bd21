#!/bin/bash
# SPDX-License-Identifier: MIT
#
# balena-health [PORT]: whether the metrics are served, and each account's last crawl that went well is not
# older than three intervals, or ten minutes if that is longer. HEALTH_MAX_AGE in the environment sets
# another age, in seconds. Says what is wrong. For the images: nothing but bash and awk.
set -euo pipefail

port=8000
case "$#:${1:-}" in
0:) ;;
1:--help | 1:-h)
	sed -n '4,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
	exit 0
	;;
1:[0-9]*) port=$1 ;;
*)
	echo "usage: balena-health [PORT]" >&2
	exit 2
	;;
esac

if ! exec 3<>"/dev/tcp/127.0.0.1/$port"; then
	echo "nobody listens on port $port"
	exit 1
fi 2>/dev/null
printf 'GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
# Under collectd the names begin with its own; an account is told by the labels.
awk -v now="$(date +%s)" -v most="${HEALTH_MAX_AGE:-0}" '
	NR == 1 && $2 != 200 { print "the answer is " $2; bad = 1; exit }
	!/^(collectd_)?balena_crawl_/ { next }
	{ labels = $1; sub(/^[^{]*/, "", labels) }
	/^[a-z_]*balena_crawl_interval_seconds[{ ]/ { interval[labels] = $2 }
	/^[a-z_]*balena_crawl_last_success_timestamp_seconds[{ ]/ { success[labels] = $2 }
	END {
		if (bad)
			exit 1
		for (labels in interval) {
			crawls++
			allowed = most > 0 ? most : 3 * interval[labels] > 600 ? 3 * interval[labels] : 600
			if (!(labels in success)) {
				print labels ": no crawl went well yet"
				bad = 1
				continue
			}
			age = now - success[labels]
			if (age > allowed) {
				printf "%s: the last crawl that went well is %d s old, %d are allowed\n", labels, age, allowed
				bad = 1
			}
		}
		if (!crawls) {
			print "no crawl has ended yet"
			bad = 1
		}
		exit bad
	}' <&3
