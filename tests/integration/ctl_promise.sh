#!/bin/sh
# ctl_promise.sh: as-ctl promise, and the commands of Redis that do the same without it.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
use_redis
build_shell_plugin "$tmp/plugins" 2>"$tmp/err" || skip "no compiler for a plugin"
start worker "$as_worker" --agent-dir "$tmp/plugins" --partitions 4 --id one --processes 2
wait_ready "$pid" worker
run 0 "$as_ctl" create Shell --id boss --timeout "${limit_s}s"

n=0
# Has the agent make a promise; sets $call and $id.
ask() {
    n=$((n + 1))
    run 0 "$as_ctl" call boss ask "[\"$tmp/ids\"]" --async
    call=$(cat "$out")
    wait_until "promise $n" has_lines "$n"
    id=$(sed -n "${n}p" "$tmp/ids")
}
has_lines() { [ "$(wc -l <"$tmp/ids")" -ge "$1" ]; }
gives() { # STATUS PATTERN
    run "$1" "$as_ctl" result "$call" --timeout "${limit_s}s"
    cat "$err" >>"$out"
    expect "$out" "$2"
}

echo "as-ctl resolves, once"
ask
run 0 "$as_ctl" promise show "$id"
expect "$out" '"state": "open"' "\"id\": \"$id\"" "\"call\": \"$call\""
run 0 "$as_ctl" promise resolve "$id" '{"approved": true}'
if [ -s "$out" ] || [ -s "$err" ]; then fail "output of resolve" "$out" "$err"; fi
gives 0 '"approved": true'
run 1 "$as_ctl" promise resolve "$id" 2
expect "$err" "promise $id was settled before, by another one.*ASQ_ESTATE"
run 1 "$as_ctl" promise reject "$id" no
run 0 "$as_ctl" promise show "$id" --json
expect "$out" '"state":"resolved"' '"value":\{"approved":true\}' '"expires_ms":[0-9]'
echo '"piped"' >"$tmp/value"
ask
"$as_ctl" promise resolve "$id" - <"$tmp/value" || fail "standard input"
gives 0 '"piped"'

echo "as-ctl rejects"
ask
run 0 "$as_ctl" promise reject "$id" 'not today'
gives 1 'not today.*ASQ_EREJECTED'
ask
run 0 "$as_ctl" promise reject "$id" 'too late' --code ASQ_EDEADLINE
gives 1 'too late.*ASQ_EDEADLINE'
run 0 "$as_ctl" promise show "$id"
expect "$out" '"state": "rejected"' '"message": "too late"'

echo "what is no promise"
none=$(echo "$id" | sed 's/-.*-/-00000000000000000000000000000000-/')
run 1 "$as_ctl" promise resolve "$none" 1
expect "$err" "there is no promise $none.*ASQ_EEXPIRED"
run 1 "$as_ctl" promise show "$none"
run 2 "$as_ctl" promise resolve nonsense 1
expect "$err" "'nonsense' is not the id of a promise"
run 2 "$as_ctl" promise resolve "$call" 1
expect "$err" "is the id of a call"
run 2 "$as_ctl" promise resolve "$id" '{'

# The recipe of contrib/redis-cli/README.md.
settle() { # FIELD VALUE
    key="asq:{default.${id%%-*}}"
    redis XADD "$key:o:$id" NOMKSTREAM 1-0 "$@"
    redis-cli -s "$redis_socket" XADD "$key:jobs" '*' call promise promise "$id" >/dev/null || fail "telling"
}

echo "redis-cli resolves and rejects, once"
ask
settle json '{"by": ["hand"]}'
[ "$(cat "$tmp/redis.out")" = 1-0 ] || fail "the winner's answer" "$tmp/redis.out"
gives 0 '"hand"'
settle json 2
expect "$tmp/redis.out" 'equal or smaller'
run 1 "$as_ctl" promise resolve "$id" 3
expect "$err" 'settled before'
ask
settle error 'by hand'
gives 1 'by hand.*ASQ_EREJECTED'
id=$none
settle json 1
[ -z "$(cat "$tmp/redis.out")" ] || fail "a promise that there is none of" "$tmp/redis.out"
run 0 "$as_ctl" dead list
[ ! -s "$out" ] || fail "dead letters" "$out"

echo "no worker is needed"
ask
kill -9 "$pid"
run 0 "$as_ctl" promise resolve "$id" '"later"'
start again "$as_worker" --agent-dir "$tmp/plugins" --id two
wait_ready "$pid" again
gives 0 '"later"'
stop "$pid"
stop "$redis_pid"
echo "all as expected"
