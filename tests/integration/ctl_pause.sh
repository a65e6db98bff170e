#!/bin/sh
# ctl_pause.sh: as-ctl pause and resume, for people and as JSON, and what other commands tell of a
# pause: workers, calls.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_plugins
use_redis
silent() { # WHAT
    if [ -s "$out" ] || [ -s "$err" ]; then fail "output of $1" "$out" "$err"; fi
}

start worker "$as_worker" --agent-dir "$agent_dir" --partitions 4 --id one
wait_ready "$pid" worker
run 0 "$as_ctl" create Counter --id tally
run 0 "$as_ctl" create Echo --id e

echo "a class is paused, and workers and calls tell"
# Asks as-ctl again, because the worker may answer before it has read what is paused.
is_obeyed() { # OPTION...
    run 0 "$as_ctl" pause "$@"
    [ ! -s "$err" ]
}
wait_until "the worker obeys" is_obeyed --class Counter
silent pause
expect "$tmp/worker.log" 'class Counter is paused'
run 0 "$as_ctl" workers
expect "$err" 'class Counter is paused since '
run 0 "$as_ctl" call tally add '[1]' --async
is_told() {
    run 0 "$as_ctl" calls
    grep -q 'is not started, because' "$out"
}
wait_until "the call has come to the worker" is_told
expect "$out" 'waiting .*Counter.add .*tally .*is not started, because class Counter is paused'
expect "$err" 'class Counter is paused since '
run 0 "$as_ctl" calls --json
expect "$out" '"why":"is not started, because class Counter is paused \(as-ctl resume\)"'
[ ! -s "$err" ] || fail "a note beside JSON" "$err"
run 0 "$as_ctl" call e echo '[2]' --timeout "${limit_s}s"
run 1 "$as_ctl" get tally value --timeout 1

echo "the namespace, beside it"
run 0 "$as_ctl" pause --json
[ "$(cat "$out")" = '{"paused":null}' ] || fail "JSON" "$out"
run 0 "$as_ctl" workers
expect "$err" "namespace 'default' is paused since .*: no call begins"
expect "$err" 'class Counter is paused since '
run 0 "$as_ctl" resume
expect "$err" 'class Counter is paused since '
run 0 "$as_ctl" resume --class Counter --json
[ "$(cat "$out")" = '{"resumed":"Counter"}' ] || fail "JSON" "$out"
run 0 "$as_ctl" get tally value --timeout "${limit_s}s"
[ "$(cat "$out")" = 1 ] || fail "the call that waited has not run" "$out"
run 0 "$as_ctl" workers
[ ! -s "$err" ] || fail "a pause that has ended is told" "$err"

echo "wrong names"
run 0 "$as_ctl" pause --class Conuter
expect "$err" 'no worker has a class Conuter'
run 0 "$as_ctl" resume --class Conuter
run 2 "$as_ctl" pause --class '*'
expect "$err" 'no class name'
run 2 "$as_ctl" pause Counter
run 0 "$as_ctl" resume
silent "resume of what is not paused"
