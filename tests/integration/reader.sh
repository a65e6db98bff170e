#!/bin/sh
# reader.sh: a user of Redis without any right to write can look at all of a deployment, and sees an
# error for a denied command instead of empty output.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis
start worker "$as_worker" --agent-dir "$agent_dir" --id one --lease-time 10s
worker=$pid
wait_ready "$worker" worker
"$as_ctl" create Counter --id tally >/dev/null || fail "create"
for n in 1 2 3 4 5; do
    redis XADD 'asq:{default.7}:dead' "170000000000$n-0" call "Echo/e.echo$n" id '' reason 'for a test' \
        attempts 3 worker one.0 batch "$(head -c 50000 /dev/zero | tr '\0' x)"
done
redis ACL SETUSER reader on '>pw' resetkeys '%R~asq:{default}:*' '%R~asq:{default.*}:*' '&asq:{default}:*' \
    +@read +@connection +subscribe +ping +info -@dangerous +info -@write -eval -evalsha 2>/dev/null ||
    skip "this Redis has no key permissions"

as_reader() { # COMMAND...
    "$as_ctl" -u "$redis_url_default?user=reader&password=pw" "$@" >"$out" 2>"$err" ||
        fail "as-ctl $* of a reader: status $?" "$out" "$err"
}
all_of_it() {
    as_reader ping
    as_reader workers
    expect "$out" '^one\.0 +yes '
    as_reader classes
    expect "$out" '^Counter '
    as_reader agents
    expect "$out" '^tally +Counter +116$'
    as_reader show tally
    expect "$out" '^class +Counter$'
    as_reader dead list
    expect_count "$out" '^7-170000000000[1-5]-0 ' 5
    as_reader dead list --limit 2
    expect_count "$out" '^7-170000000000[45]-0 ' 2
    expect_count "$out" '^7-' 2
    as_reader dead list --json
    expect "$out" '"batch_bytes":50000'
    as_reader dead show 7-1700000000003-0
    expect "$out" '^batch_bytes +50000$'
}
echo "without scripts"
all_of_it
echo "with scripts that only read"
redis ACL SETUSER reader +eval_ro
all_of_it

echo "what is denied is told"
denied() { # RULE COMMAND...
    rule=$1
    shift
    redis ACL SETUSER reader "-$rule"
    "$as_ctl" -u "$redis_url_default?user=reader&password=pw" "$@" >"$out" 2>"$err"
    status=$?
    redis ACL SETUSER reader "+$rule"
    [ "$status" -eq 1 ] || fail "as-ctl $* without $rule: status $status" "$out" "$err"
    expect "$err" 'NOPERM'
}
denied smembers workers
denied hgetall workers
denied pttl workers
denied smembers classes
denied hscan agents
denied hget show tally
redis ACL SETUSER reader -eval_ro
denied xrevrange dead list
denied xrange dead show 7-1700000000003-0
"$as_ctl" -u "$redis_url_default?user=reader&password=pw" stop one >"$out" 2>"$err" && fail "a reader stops workers" "$out"
expect "$err" 'NOPERM'
stop "$worker" || fail "the worker ended with status $?" "$tmp/worker.log"
stop "$redis_pid"
echo "all as expected"
