#!/bin/sh
# stats.sh: as-ctl stats shows rates, times and failures by class and method, the most first, and how
# things are now, as text and as JSON; hostile names cannot affect a terminal.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_plugins
needs_redis_cli
use_redis

start worker "$as_worker" --agent-dir "$agent_dir" --partitions 4 --id one
wait_ready "$pid" worker

echo "no calls yet"
run 0 "$as_ctl" stats
expect "$err" "no such calls have ended in the last 60 s in namespace 'default'"
has_told() { "$as_ctl" stats | grep -q 'in 1 processes'; }
wait_until "the worker has told its gauges" has_told

echo "calls"
run 0 "$as_ctl" create Counter --id tally
for _ in 1 2 3 4; do run 0 "$as_ctl" call tally add '[1]'; done
run 1 "$as_ctl" call tally add '["no number"]'
shown() {
    "$as_ctl" stats --last 1h >"$out" 2>"$err" && grep -Eq '^Counter\.add +5 ' "$out" &&
        grep -Eq '^now: 0 running, 0 parked, 0 waiting .* 1 agents and 4 partitions in 1 processes' "$out"
}
wait_until "all calls are shown, and none runs" shown
expect "$out" '^in the last [0-9]+ min: 6 calls, [0-9.]+/s, 1 failed$'
expect "$out" '^METHOD +CALLS +RATE/S +FAILED +QUEUE p50 +p90 +p99 +max +RUN p50 +p90 +p99 +max +PARKED p99 +COMMIT p99$'
expect "$out" '^Counter\.add +5 +[0-9.]+ +1 +([0-9.]+ m?s +){8}- +[0-9.]+ m?s$'
expect "$out" '^ +1 +ASQ_EARGS +Counter\.add$'
sed -n 's/^\(Counter\.[^ ]*\) .*/\1/p' "$out" >"$tmp/order"
[ "$(head -n 1 "$tmp/order")" = Counter.add ] || fail "the most called is not the first" "$out"
run 0 "$as_ctl" stats --class Counter --method '(create)' --last 1h
expect "$out" '^Counter\.\(create\) +1 '
expect_count "$out" 'Counter\.add' 0
run 0 "$as_ctl" stats --class Nobody
expect "$err" "no such calls have ended"
run 0 "$as_ctl" stats --json
expect "$out" '"step_ms":1000'
expect "$out" '"points":\[\{"time_ms":'
run 0 "$as_ctl" stats --last 2m --json
expect "$out" '"step_ms":60000'

echo "wrong usage"
run 2 "$as_ctl" stats --last 0
run 2 "$as_ctl" stats --last 25h
run 2 "$as_ctl" stats extra

echo "hostile names"
key=$(redis-cli -s "$redis_socket" --scan --pattern 'asq:{default}:stats:m:*' | tail -n 1)
redis-cli -s "$redis_socket" HSET "$key" "$(printf '\033[2J<script> x')" 'c 9 r5 9' >/dev/null || fail "HSET"
run 0 "$as_ctl" stats --last 1h
expect "$out" '^\\x1b\[2J<script>\.x +9 '
expect_count "$out" "$(printf '\033')" 0

echo "a worker may keep none"
start quiet "$as_worker" --agent-dir "$agent_dir" --namespace quiet --no-stats
wait_ready "$pid" quiet
run 0 "$as_ctl" -n quiet create Counter --id tally
run 0 "$as_ctl" -n quiet call tally add '[1]'
[ -z "$(redis-cli -s "$redis_socket" --scan --pattern 'asq:{quiet}:stats:*')" ] || fail "figures are kept"
