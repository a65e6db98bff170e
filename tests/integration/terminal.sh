#!/bin/sh
# terminal.sh: as-ctl (text and JSON), as-worker's log and look print text from Redis, methods and
# arguments without control characters (C1 ones included), changes of direction and invalid UTF-8.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis

is_clean() { # FILE WHAT
    [ -s "$1" ] || fail "$2 says nothing"
    grep -q '[[:cntrl:]]' "$1" && fail "control characters: $2" "$1"
    grep -q "$(printf '\302[\200-\237]')" "$1" && fail "C1 control characters: $2" "$1"
    grep -q "$(printf '\342\200[\213-\217\250-\256]')" "$1" && fail "changes of direction: $2" "$1"
    iconv -f UTF-8 -t UTF-8 <"$1" >/dev/null || fail "no UTF-8: $2" "$1"
}
clean() { # COMMAND...: its output is clean, whether it succeeds or not
    "$@" >"$out" 2>&1
    is_clean "$out" "$*"
}

# Adds ids that no worker can have; the worker removes them from the set when it sees them.
strange_ids() {
    redis SADD 'asq:{default}:workers' "evil$esc$c1" "$raw"
}

esc=$(printf '\033]0;pwned\007')
c1=$(printf '\302\23331mRED\342\200\256')
raw=$(printf 'raw\23331m\377\376')

# The lease time is long, because the worker removes the strange members as dead after it.
start worker "$as_worker" --agent-dir "$agent_dir" --id one --lease-time 60s
worker=$pid
wait_ready "$worker" worker
"$as_ctl" create Echo --id e >/dev/null || fail "create"
redis HSET 'asq:{default.1}:agents' "evil$esc$c1" "$raw" "$raw" x
redis SADD 'asq:{default}:workers' two
redis HSET 'asq:{default}:worker:two' host "$esc$c1" version "$c1$raw" lease_time_ms 60000 \
    stuck "5-x 20 s $esc$c1"
redis HSET "asq:{default}:worker:evil$esc$c1" host "$esc$c1" version "$c1$raw" lease_time_ms 10000 \
    stuck "5-x 20 s $esc$c1" classes \
    '{"Evil\u001b]0;p\u0007\u009b31m":{"doc":"\u001b[2J\u202e","methods":[{"name":"m\u009b31m","params":"\u001b[1m","doc":"d\u009b"}]}}'
redis PEXPIRE "asq:{default}:worker:evil$esc$c1" 99000
for label in "label$esc$c1" "$raw" "$(printf 'new\nline 2026-11-28T00:00:00.000+00:00 info    all is well')"; do
    redis XADD 'asq:{default.1}:jobs' '*' call "$label" batch junk
done
letters() {
    [ "$("$as_ctl" dead list --json | grep -o '"batch_bytes"' | wc -l)" -eq 3 ]
}
wait_until "three dead letters" letters

echo "as-ctl"
strange_ids
for command in workers agents classes 'dead list' 'show e' 'stop nobody'; do
    # shellcheck disable=SC2086
    clean "$as_ctl" $command
    # shellcheck disable=SC2086
    clean "$as_ctl" --json $command
done
letter=$("$as_ctl" dead list --json | sed 's/^\[{"id":"\([^"]*\)".*/\1/')
clean "$as_ctl" dead show "$letter"
clean "$as_ctl" dead show "$letter" --json
clean "$as_ctl" call e echo '["\u009b31mRED\u001b[2J\u202e\u007f"]'
expect "$out" '^"\\u009b31mRED\\u001b\[2J\\u202e\\u007f"$'
clean "$as_ctl" call e "no${c1}thing"
clean "$as_ctl" call e "$raw"
clean "$as_ctl" call e "$raw" --json
clean "$as_ctl" call e fail '["\u009b31mRED\u202e"]'
expect "$out" '\\u009b31mRED\\u202e \(ASQ_EUSER\(1\)\)'
"$as_ctl" workers >"$out" 2>&1 || fail "workers" "$out"
expect "$out" '^one\.0 +yes ' # strange members do not hide the others
"$as_ctl" call e echo '["grün €"]' >"$out" # harmless characters stay
expect "$out" '^"grün €"$'

echo "look"
strange_ids
for command in workers partitions stuck agents dead; do
    clean "$srcdir/contrib/redis-cli/look" "$command" -- -s "$redis_socket" $look_user
done

echo "the logs"
is_clean "$tmp/worker.log" "the log"
expect "$tmp/worker.log" 'label\\x1b\]0;pwned\\x07\\u009b31mRED\\u202e is a dead letter'
expect_count "$tmp/worker.log" '^2026-11-28T00:00:00' 0
stop "$worker" || fail "the worker ended with status $?" "$tmp/worker.log"
start json "$as_worker" --agent-dir "$agent_dir" --id two --lease-time 1s --log-format json
wait_ready "$pid" json
redis XADD 'asq:{default.2}:jobs' '*' call "label$esc$c1" batch junk
redis XADD 'asq:{default.3}:jobs' '*' call "$raw" batch junk
wait_until "the line of a dead letter" grep -q 'dead letter' "$tmp/json.log"
stop "$pid" || fail "the worker ended with status $?" "$tmp/json.log"
is_clean "$tmp/json.log" "the log as JSON"

echo "what is denied is told"
redis ACL SETUSER blind on nopass '~*' +@all -smembers -xrange -hkeys
blind() {
    "$srcdir/contrib/redis-cli/look" "$1" -- -s "$redis_socket" --user blind --pass x \
        --no-auth-warning >"$out" 2>"$tmp/err"
    status=$?
    [ "$status" -eq 1 ] || fail "look $1 of a user who may not: status $status" "$out" "$tmp/err"
    expect "$tmp/err" '^look: Redis: NOPERM'
}
for command in workers stuck waiting agents dead; do
    blind "$command"
done
stop "$redis_pid"
echo "all as expected"
