# SPDX-License-Identifier: MIT
#
# A made-up balena API on the loopback interface: start_api sets $api, and its token is in $token_file.

start_api() {
	work=$(mktemp -d)
	token_file=$work/token
	(umask 077 && echo test-token >"$token_file")
	python3 tests/fake_api.py --fleets 3 --devices 20 --port-file "$work/port" --quiet >"$work/api.log" 2>&1 &
	api_pid=$!
	trap end_api EXIT
	for _ in $(seq 300); do
		[ ! -s "$work/port" ] || break
		sleep 0.1
	done
	api=http://127.0.0.1:$(cat "$work/port")
}

end_api() {
	kill "$api_pid" 2>/dev/null || true
	rm -rf "$work"
}
