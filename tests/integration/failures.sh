#!/bin/sh
# failures.sh: as-ctl failures lists what has failed, chosen by class, method, agent, code and time,
# as text and as JSON; hostile names and messages cannot affect a terminal; as-worker keeps as many
# as it is told, with or without arguments.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_plugins
use_redis
lines() { # N WHAT: $out has a header and N lines
    [ "$(sed 1d "$out" | wc -l)" -eq "$1" ] || fail "not $1 lines: $2" "$out" "$err"
}

start worker "$as_worker" --agent-dir "$agent_dir" --partitions 4 --id one
wait_ready "$pid" worker
run 0 "$as_ctl" create Counter --id tally
run 0 "$as_ctl" create Echo --id e

echo "none yet"
run 0 "$as_ctl" failures
[ ! -s "$out" ] || fail "output" "$out"
expect "$err" "no such failures in namespace 'default'"
run 0 "$as_ctl" failures --json
[ "$(cat "$out")" = "[]" ] || fail "JSON" "$out"

echo "all, and chosen ones"
run 1 "$as_ctl" call tally add '["no number"]'
run 1 "$as_ctl" call tally missing
run 1 "$as_ctl" call e missing '["\u001b[31mred\u202e"]'
run 1 "$as_ctl" call nobody add '[1]'
run 0 "$as_ctl" failures
lines 4 "all"
expect "$out" 'Counter\.add  *tally  *ASQ_EARGS .*arguments \["no number"\]'
sed -n 2p "$out" | grep -q nobody || fail "the newest is not first" "$out"
if grep -q "$(printf '\033')\|$(printf '\342\200\256')" "$out"; then fail "a control character" "$out"; fi
run 0 "$as_ctl" failures --class Counter
lines 2 "--class"
run 0 "$as_ctl" failures --method missing --agent e
lines 1 "--method, --agent"
for code in ASQ_EARGS eargs "$("$as_ctl" failures --json --method add --agent tally | sed 's/.*"number":\(-[0-9]*\).*/\1/')"; do
    run 0 "$as_ctl" failures --code "$code"
    lines 1 "--code $code"
done
run 0 "$as_ctl" failures --code 'ASQ_EUSER(3)'
[ ! -s "$out" ] || fail "--code" "$out"
run 0 "$as_ctl" failures --limit 1
lines 1 "--limit"
expect "$err" 'the newest 1; --limit shows more'
run 0 "$as_ctl" failures --since 1h
lines 4 "--since 1h"
run 0 "$as_ctl" failures --since 2020-01-01T12:30
lines 4 "--since, a time"
run 0 "$as_ctl" failures --since 2999-01-01T12:30:00+0100
[ ! -s "$out" ] || fail "--since, the future" "$out"
# A time as the list prints it.
oldest=$("$as_ctl" failures | sed -n '$s/ .*//p')
run 0 "$as_ctl" failures --since "$oldest"
lines 4 "--since $oldest"

echo "JSON"
run 0 "$as_ctl" failures --json --method add --agent tally
expect "$out" '"class":"Counter"' '"method":"add"' '"agent":"tally"' '"code":"ASQ_EARGS"' '"attempt":1' \
    '"again":false' '"worker":"one' '"call_id":"' '"args":"\[\\"no number\\"\]"' '"message":"'

echo "look, with redis-cli alone"
ASQUEUE_URL=$(url_as observer "$redis_url") "$srcdir/contrib/redis-cli/look" failures >"$out" 2>&1 || fail "look" "$out"
expect "$out" '^    message +' '^    agent +tally$' '^    args +\["no number"\]$'

echo "wrong usage"
run 2 "$as_ctl" failures --code nonsense
expect "$err" "'nonsense' is no error"
run 2 "$as_ctl" failures --since 2026-13-99
expect "$err" "is no time"
run 2 "$as_ctl" failures --since soon
run 2 "$as_worker" --keep-arguments maybe
run 2 "$as_worker" --keep-failures -1

echo "a worker without arguments, one that keeps none"
stop "$pid"
start bare "$as_worker" --agent-dir "$agent_dir" --id two --keep-arguments no --keep-failures 3
wait_ready "$pid" bare
redis-cli -s "$redis_socket" EVAL "for p=0,3 do redis.call('DEL','asq:{default.'..p..'}:failures') end" 0 >/dev/null
i=0
while [ $i -lt 5 ]; do
    run 1 "$as_ctl" call tally add '["the secret"]'
    i=$((i + 1))
done
run 0 "$as_ctl" failures --json
expect "$out" '"args":null' '"call_id"'
[ "$(grep -o '"call_id"' "$out" | wc -l)" -eq 3 ] || fail "not 3 kept" "$out"
if grep -q 'the secret' "$out"; then fail "arguments were kept" "$out"; fi
stop "$pid"
start none "$as_worker" --agent-dir "$agent_dir" --id three --keep-failures 0
wait_ready "$pid" none
redis-cli -s "$redis_socket" EVAL "for p=0,3 do redis.call('DEL','asq:{default.'..p..'}:failures') end" 0 >/dev/null
run 1 "$as_ctl" call tally missing
run 0 "$as_ctl" failures
[ ! -s "$out" ] || fail "one was kept" "$out"
