#!/bin/sh
# ctl_workers.sh: as-ctl workers tells when a worker was last seen, and what it does at the moment.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis

# An operator may not make the namespace.
redis HSET 'asq:{default}:meta' format 1 partitions 4
run 0 "$as_ctl" workers
[ ! -s "$out" ] || fail "something is printed where nothing is" "$out"
expect "$err" "^as-ctl: no workers in namespace 'default'\$"
[ "$("$as_ctl" workers --json)" = '[]' ] || fail "no empty list"

echo "what a worker does at the moment"
# With a long lease time its hash is written seldom: only an answer can have the calls in time.
start worker "$as_worker" --agent-dir "$agent_dir" --id one --unload-after 0 --lease-time 600s
worker=$pid
wait_ready "$worker" worker
"$as_ctl" create Echo --id e >/dev/null || fail "create"
"$as_ctl" call e sleep '[600000]' --async >/dev/null || fail "call"
"$as_ctl" call e echo '["x"]' --async >/dev/null || fail "call"
shown() {
    "$as_ctl" workers >"$out" 2>"$err"
    grep -Eq '^one\.0 +yes +[0-9]+ [a-z]+ +[0-9]+ [a-z]+ +[^ ]+ +[0-9]+ +[0-9]+ +[0-9]+ +0 +1 +1 ' "$out"
}
wait_until "one call is parked and one waits" shown
expect "$out" '^WORKER +ALIVE +SEEN +UP +HOST +PID +PARTITIONS +CAPACITY +RUNNING +PARKED +WAITING +CALLS '
run 0 "$as_ctl" workers --json
expect "$out" '"seen_ms":[0-9]+'
expect "$out" '"uptime_ms":[0-9]+'
expect "$out" '"running":0'
expect "$out" '"waiting":1'
expect "$out" '"figures_age_ms":[0-9]+'
expect "$out" '"lacks":\[\]'
"$as_ctl" workers 2>"$err" >/dev/null
! grep -q classes "$err" || fail "no class is missing" "$err"

echo "workers that cannot be asked"
redis-cli -s "$redis_socket" ACL SETUSER looks on '>x' '~*' '&*' +@all -publish >/dev/null || fail "ACL"
export ASQUEUE_URL="$redis_url_default?user=looks&password=x"
run 0 "$as_ctl" workers
expect "$out" '^one\.0 +yes +[0-9]+ [a-z]+ +- +[^ ]+ +[0-9]+ +[0-9]+ +[0-9]+ +- +[0-9]+ +- '
run 0 "$as_ctl" workers --json
expect_count "$out" 'figures_age_ms' 0

echo "classes that are missing"
ASQUEUE_URL=$redis_url
start other "$as_worker" --agent-dir "$agent_dir" --id other --lease-time 10s
wait_ready "$pid" other
kill "$worker"
stop "$worker" # the second signal gives the parked call up
redis HSET 'asq:{default}:worker:two' beat 1 lease_time_ms 600000 knows 'Counter 7,New 1'
redis PEXPIRE 'asq:{default}:worker:two' 6000000
redis SADD 'asq:{default}:workers' two
run 0 "$as_ctl" workers
expect "$err" '^as-ctl: other\.0 lacks classes that other workers have: Counter 7, New$'
expect "$err" '^as-ctl: two lacks classes that other workers have: .*Echo'
"$as_ctl" create Ecco --id x >"$tmp/create.out" 2>&1 &
awaited() {
    "$as_ctl" workers >"$out" 2>"$err"
    grep -q 'calls in partitions of other\.0 wait for classes that no live worker has, .*: Ecco 0$' "$err"
}
wait_until "the class is told that nobody has" awaited
expect "$tmp/other.log" "there is no class 'Ecco'"
wait_until "as-ctl create tells so" grep -q '^as-ctl: no worker has a class Ecco$' "$tmp/create.out"
kill $!
