#!/bin/sh
# ctl_cancel.sh: as-ctl cancel ends calls that wait or run, by their ids, and tells how each ended.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_plugins
use_redis

start worker "$as_worker" --agent-dir "$agent_dir" --id one
wait_ready "$pid" worker
for id in e f; do
    "$as_ctl" create Echo --id "$id" >/dev/null || fail "create"
done
sleeps=$("$as_ctl" call e sleep '[600000]' --async) || fail "call"
# Another agent's call waits behind one that runs.
first=$("$as_ctl" call f sleep '[600000]' --async) || fail "call"
waits=$("$as_ctl" call f echo '["x"]' --async) || fail "call"
done=$("$as_ctl" call tally add '[1]' --async) || fail "call"
"$as_ctl" result "$done" >/dev/null 2>&1 # there is no agent tally: the call has failed

echo "a call that waits, one that runs, one that has ended"
run 0 "$as_ctl" cancel "$waits" --json
[ "$(cat "$out")" = "[{\"call_id\":\"$waits\",\"end\":\"canceled\"}]" ] || fail "the waiting call" "$out"
run 0 "$as_ctl" cancel "$sleeps" "$done"
[ "$(cat "$out")" = "$sleeps canceled
$done failed" ] || fail "the running call" "$out"
run 1 "$as_ctl" result "$sleeps"
expect "$err" 'ASQ_ECANCELED'

echo "unknown ids"
unknown=$(echo "$first" | sed 's/-[0-9a-f]*-/-00000000000000000000000000000001-/')
run 1 "$as_ctl" cancel "$unknown" "$done"
expect "$err" 'ASQ_EEXPIRED'
[ "$(cat "$out")" = "$done failed" ] || fail "the other call" "$out"
run 2 "$as_ctl" cancel nonsense
expect "$err" "'nonsense' is not a call id"

echo "without waiting"
run 0 "$as_ctl" cancel "$first" --async
[ ! -s "$out" ] || fail "output" "$out"
run 1 "$as_ctl" result "$first"
expect "$err" 'ASQ_ECANCELED'

echo "no worker answers"
stop "$pid"
"$as_ctl" call e echo '["x"]' --async >"$tmp/id" || fail "call"
run 1 "$as_ctl" cancel "$(cat "$tmp/id")" --timeout 300
expect "$err" 'ASQ_ETIMEOUT'
