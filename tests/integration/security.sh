#!/bin/sh
# security.sh: checks each "cannot" of SECURITY.md: for the five users of contrib/redis-cli/acl, for two
# namespaces, for a program that a method starts, and for another user of the host. tests/cannot.md
# lists them all, with their tests.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

# shellcheck disable=SC2034 # read by support.sh
ASQ_TEST_ACL=0 # this test makes the users itself
. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
start_redis
password=pass-of-a-test
redis() {
    redis-cli -s "$redis_socket" "$@" >"$out" 2>&1 || fail "redis-cli $*" "$out"
}
url() { # ROLE [NAMESPACE]
    echo "unix:$redis_socket?user=asq-${2:-default}-$1&password=$password&ns=${2:-default}"
}
as() { # ROLE COMMAND...
    user=$1
    shift
    timeout 20 redis-cli -s "$redis_socket" --user "asq-default-$user" --pass "$password" --no-auth-warning "$@" >"$out" 2>&1
}
can() { # ROLE COMMAND...
    as "$@"
    if grep -qE 'NOPERM|ACL failure|can.t run|can.t access|No permissions|no permissions' "$out"; then
        fail "denied: $*" "$out"
    fi
}
cannot() { # ROLE COMMAND...
    as "$@"
    grep -qE 'NOPERM|ACL failure|can.t run|can.t access|No permissions|no permissions' "$out" || fail "not denied: $*" "$out"
}

for ns in default other default2; do
    "$as_ctl" acl --namespace "$ns" >"$tmp/rules" || fail "as-ctl acl" "$tmp/rules"
    expect_count "$tmp/rules" "^user asq-$ns-(client|worker|operator|observer|mover) reset off " 5
    while read -r _ name rules; do
        # shellcheck disable=SC2086 # words; none of them has a meaning to the shell
        (set -f && redis ACL SETUSER "$name" $rules) || exit 1
        as "${name##*-}" PING
        [ "$ns" != default ] || grep -qE 'WRONGPASS|invalid' "$out" || fail "a user is on before it has a password" "$out"
        redis ACL SETUSER "$name" on ">$password"
    done <"$tmp/rules"
done

start worker "$as_worker" -u "$(url worker)" --agent-dir "$agent_dir" --id one --lease-time 60s
worker=$pid
wait_ready "$worker" worker
start other "$as_worker" -u "$(url worker other)" --agent-dir "$agent_dir" --id two --lease-time 60s
other=$pid
wait_ready "$other" other
p=116 # of the agent "tally"
"$as_ctl" -u "$(url client)" create Counter '{"start": 40}' --id tally >"$out" 2>&1 || fail "create" "$out"
"$as_ctl" -u "$(url client other)" create Counter --id tally >"$out" 2>&1 || fail "create" "$out"
state() {
    redis-cli -s "$redis_socket" HGET "asq:{default.$p}:agents" tally | cksum
}
before=$(state)
epoch=$(redis-cli -s "$redis_socket" HGET "asq:{default.$p}:lease" epoch)

echo "nobody runs what is not in its list"
for role in client worker operator observer mover; do
    can "$role" PING
    for command in "CONFIG GET requirepass" "CONFIG SET maxmemory 1" "KEYS *" FLUSHALL FLUSHDB "SCRIPT FLUSH" \
        "SCRIPT KILL" "FUNCTION LIST" SHUTDOWN SAVE BGSAVE "REPLICAOF 127.0.0.1 1" "ACL LIST" \
        "ACL SETUSER x" "ACL LOG" "CLIENT LIST" "CLIENT KILL TYPE normal" "CLIENT PAUSE 1" "MODULE LIST" "SLOWLOG GET" \
        "LATENCY RESET" "SWAPDB 0 1" "PUBSUB CHANNELS" "MIGRATE 127.0.0.1 1 asq:{default.0}:jobs 0 1" "PSUBSCRIBE *" \
        "COPY asq:{default.0}:jobs x" "DUMP asq:{default.0}:jobs" \
        "SORT asq:{default}:workers BY x GET asq:{other.0}:agents" "OBJECT ENCODING asq:{default}:meta" \
        "XGROUP CREATE asq:{default.0}:jobs g 0" MONITOR; do
        # shellcheck disable=SC2086
        (set -f && cannot "$role" $command) || exit 1
    done
done

for role in client operator observer; do # a worker needs XTRIM to bound its dead letters
    cannot "$role" XTRIM "asq:{default.0}:jobs" MAXLEN 0
done

echo "nobody reaches another namespace"
for role in client worker operator observer mover; do
    for ns in other default2; do
        cannot "$role" XADD "asq:{$ns.$p}:jobs" '*' call x batch x
        cannot "$role" XRANGE "asq:{$ns.$p}:jobs" - +
        cannot "$role" HGETALL "asq:{$ns}:meta"
        cannot "$role" HMGET "asq:{$ns}:meta" format partitions
        cannot "$role" GET "asq:{$ns.$p}:r:0123456789abcdef"
        cannot "$role" UNLINK "asq:{$ns.$p}:r:0123456789abcdef"
        cannot "$role" HGET "asq:{$ns.$p}:agents" tally
        cannot "$role" HGETALL "asq:{$ns}:worker:two.0"
        cannot "$role" XREVRANGE "asq:{$ns.$p}:dead" + -
        cannot "$role" GET another-program
        cannot "$role" XREAD COUNT 1 STREAMS "asq:{$ns.$p}:jobs" 0
        cannot "$role" RENAME "asq:{$ns.$p}:agents" "asq:{default.$p}:agents"
        cannot "$role" RENAME "asq:{default.$p}:agents" "asq:{$ns.$p}:agents"
        cannot "$role" XTRIM "asq:{$ns.$p}:jobs" MAXLEN 0
        cannot "$role" SUBSCRIBE "asq:{$ns}:c:0123456789abcdef"
        cannot "$role" PUBLISH "asq:{$ns}:c:0123456789abcdef" x
        # A script does not reach the namespace either, whether it names its keys or not.
        cannot "$role" EVAL "return redis.call('HGET', 'asq:{$ns.$p}:agents', 'tally')" 0
        cannot "$role" EVAL_RO "return redis.call('HGET', KEYS[1], 'tally')" 1 "asq:{$ns.$p}:agents"
    done
    "$as_ctl" -u "unix:$redis_socket?user=asq-default-$role&password=$password&ns=other" call tally read -t 5s \
        >"$out" 2>&1 && fail "the $role of default calls an agent of other" "$out"
    expect "$out" 'NOPERM'
    "$as_ctl" -u "unix:$redis_socket?user=asq-default-$role&password=$password&ns=other" stop two -t 5s \
        >"$out" 2>&1 && fail "the $role of default stops a worker of other" "$out"
    expect "$out" 'NOPERM|can.t run|can.t access'
done
running "$other" || fail "a worker of other was stopped" "$tmp/other.log"

echo "a client"
can client XADD "asq:{default.$p}:jobs" 0-0 call x batch x # an id that Redis refuses
can client GET "asq:{default.$p}:r:0123456789abcdef"
can client XRANGE "asq:{default.$p}:p:$p-0123456789abcdef0123456789abcdef-0" - +
cannot client XADD "asq:{default.$p}:p:$p-0123456789abcdef0123456789abcdef-0" '*' v forged
can client XADD "asq:{default.$p}:o:$p-0123456789abcdef0123456789abcdef-promise" NOMKSTREAM 1-0 json 1
can client XRANGE "asq:{default.$p}:o:$p-0123456789abcdef0123456789abcdef-promise" - +
cannot client UNLINK "asq:{default.$p}:o:$p-0123456789abcdef0123456789abcdef-promise"
cannot client HSET "asq:{default.$p}:agents" tally x
cannot client HGET "asq:{default.$p}:agents" tally
cannot client HSET "asq:{default.$p}:lease" token x
cannot client HGETALL "asq:{default.$p}:lease"
cannot client HSET "asq:{default.$p}:attempts" x 9
cannot client XADD "asq:{default.$p}:dead" '*' call x batch x
cannot client XRANGE "asq:{default.$p}:dead" - +
cannot client XDEL "asq:{default.$p}:jobs" 1-1
cannot client UNLINK "asq:{default.$p}:jobs"
cannot client XADD "asq:{default.$p}:r:0123456789abcdef" '*' call x batch x
cannot client HGETALL "asq:{default}:worker:one.0"
cannot client PUBLISH "asq:{default}:c:workers" stop
cannot client UNLINK "asq:{default.$p}:lease"
cannot client UNLINK "asq:{default.$p}:agents"
cannot client UNLINK "asq:{default}:meta"
cannot client HSET "asq:{default}:meta" partitions 1
cannot client ZADD "asq:{default.$p}:later" 1 x
cannot client HSET "asq:{default.$p}:later:jobs" x x
cannot client UNLINK "asq:{default.$p}:later:jobs"
cannot client EVAL "return redis.call('UNLINK', KEYS[1])" 1 "asq:{default.$p}:later:jobs"
cannot client EVAL "return redis.call('UNLINK', KEYS[1])" 1 "asq:{default.$p}:jobs"
cannot client EVAL "return redis.call('SET', KEYS[1], 'forged')" 1 "asq:{default.$p}:r:0123456789abcdef"
cannot client SET "asq:{default.$p}:r:0123456789abcdef" forged
cannot client APPEND "asq:{default.$p}:r:0123456789abcdef" forged
cannot client PUBLISH "asq:{default}:c:0123456789abcdef" forged
cannot client SUBSCRIBE "asq:{default}:c:workers"
cannot client SMEMBERS "asq:{default}:workers"
cannot client HSET "asq:{default}:worker:one.0" stopping 1
cannot client EVAL "return redis.call('HSET', KEYS[1], 'tally', 'x')" 1 "asq:{default.$p}:agents"
cannot client EVAL "return redis.call('XADD', KEYS[1], '*', 'batch', 'x')" 1 "asq:{default.$p}:dead"

echo "an operator"
can operator HGET "asq:{default.$p}:agents" tally
can operator HGETALL "asq:{default.$p}:lease"
can operator XRANGE "asq:{default.$p}:p:$p-0123456789abcdef0123456789abcdef-0" - +
cannot operator XADD "asq:{default.$p}:p:$p-0123456789abcdef0123456789abcdef-0" '*' v forged
can operator XADD "asq:{default.$p}:o:$p-0123456789abcdef0123456789abcdef-promise" NOMKSTREAM 1-0 json 1
can operator XRANGE "asq:{default.$p}:o:$p-0123456789abcdef0123456789abcdef-promise" - +
cannot operator UNLINK "asq:{default.$p}:o:$p-0123456789abcdef0123456789abcdef-promise"
cannot operator HSET "asq:{default.$p}:agents" tally x
cannot operator HDEL "asq:{default.$p}:agents" tally
cannot operator UNLINK "asq:{default.$p}:agents"
cannot operator HSET "asq:{default.$p}:lease" token x
cannot operator UNLINK "asq:{default.$p}:lease"
cannot operator HSET "asq:{default}:meta" partitions 1
cannot operator SET "asq:{default.$p}:r:0123456789abcdef" forged
cannot operator XADD "asq:{default.$p}:r:0123456789abcdef" '*' call x batch x
cannot operator HSET "asq:{default.$p}:r:0123456789abcdef" x x
cannot operator EVAL "return redis.call('SET', KEYS[1], 'forged')" 1 "asq:{default.$p}:r:0123456789abcdef"
cannot operator UNLINK "asq:{default.$p}:dead"
cannot operator PUBLISH "asq:{default}:c:0123456789abcdef" forged
can operator PUBLISH "asq:{default}:c:workers" x
cannot operator HSET "asq:{default.$p}:later:jobs" x x
cannot operator EVAL "return redis.call('HSET', KEYS[1], 'tally', 'x')" 1 "asq:{default.$p}:agents"

echo "an observer"
for read in "HGET asq:{default.$p}:agents tally" "XRANGE asq:{default.$p}:jobs - +" "HGETALL asq:{default.$p}:lease" \
    "XREVRANGE asq:{default.$p}:dead + -" "SMEMBERS asq:{default}:workers"; do
    # shellcheck disable=SC2086
    (set -f && can observer $read) || exit 1
done
for write in "XADD asq:{default.$p}:jobs * call x batch x" "XADD asq:{default.$p}:dead * call x batch x" \
    "XDEL asq:{default.$p}:jobs 1-1" "HSET asq:{default.$p}:agents tally x" "HDEL asq:{default.$p}:agents tally" \
    "HSET asq:{default.$p}:lease token x" "HSET asq:{default}:worker:one.0 stopping 1" "SET asq:{default.$p}:r:x x" \
    "UNLINK asq:{default.$p}:r:x" "DEL asq:{default.$p}:agents" "RENAME asq:{default.$p}:agents x" \
    "PEXPIRE asq:{default.$p}:agents 1" "PERSIST asq:{default}:worker:one.0" "SREM asq:{default}:workers one.0" \
    "ZADD asq:{default.$p}:later 1 x" "PUBLISH asq:{default}:c:workers x" "EVAL return 0" \
    "SUBSCRIBE asq:{default}:c:workers"; do
    # shellcheck disable=SC2086
    (set -f && cannot observer $write) || exit 1
done

echo "a mover"
can mover HMGET "asq:{default}:meta" format
cannot mover PUBLISH "asq:{default}:c:workers" x
cannot mover SUBSCRIBE "asq:{default}:c:workers"
cannot mover SET another-program x

echo "what they get of as-ctl"
denied() { # ROLE ARGUMENT...: as-ctl ends with status 1, and the refusal of Redis on stderr
    role=$1
    shift
    "$as_ctl" -u "$(url "$role")" "$@" -t 10s >"$out" 2>"$tmp/err"
    status=$?
    [ $status -eq 1 ] || fail "as-ctl $* as $role: status $status" "$out" "$tmp/err"
    expect "$tmp/err" 'NOPERM|can.t run|can.t access'
}
denied client stop one
denied client workers
denied client show tally
denied client dead list
denied observer call tally add '[1]'
denied observer create Counter --id x
denied observer delete tally
denied observer stop one
"$as_ctl" -u "$(url operator)" show tally >"$out" 2>&1 || fail "the operator cannot show an agent" "$out"

echo "nothing has changed"
[ "$(state)" = "$before" ] || fail "the state of the agent has changed"
[ "$(redis-cli -s "$redis_socket" HGET "asq:{default.$p}:lease" epoch)" = "$epoch" ] || fail "the lease has changed"
[ "$("$as_ctl" -u "$(url client)" call tally add '[0]')" = 40 ] || fail "the agent does not answer"
running "$worker" || fail "the worker has ended" "$tmp/worker.log"

# In a container the tests run as root, which may look into any process, so the check runs as the user
# nobody.
root=$(id -u)
as_nobody=
[ "$root" != 0 ] || as_nobody="setpriv --reuid=65534 --regid=65534 --clear-groups"
nobody() {
    $as_nobody "$@"
}
blind() { # PID WHO: the user nobody, called WHO in messages, cannot look into this process
    nobody cat "/proc/$1/environ" >"$out" 2>&1 && fail "$2 reads the environment" "$out"
    nobody head -c 1 "/proc/$1/mem" >"$out" 2>&1 && fail "$2 reads the memory" "$out"
    nobody ls "/proc/$1/fd/" >"$out" 2>&1 && fail "$2 sees the descriptors" "$out"
}

echo "another user of the host"
if [ "$root" = 0 ] && command -v setpriv >/dev/null; then
    printf '%s\n' "$password" >"$tmp/password"
    nobody true || fail "setpriv"
    for process in $worker $(pgrep -P "$worker"); do
        blind "$process" "another user"
    done
    nobody cat "$tmp/password" >"$out" 2>&1 && fail "another user reads the password file" "$out"
    nobody redis-cli -s "$redis_socket" PING >"$out" 2>&1
    if grep -q PONG "$out"; then
        fail "another user reaches the Redis" "$out"
    fi
fi

echo "a program of the worker's own user"
case ${SAN_CFLAGS-} in # the leak check of AddressSanitizer attaches like a debugger, so such a worker stays open
*address*) open=1 ;;
*) open='' ;;
esac
if [ -z "$open" ] && { [ "$root" != 0 ] || command -v setpriv >/dev/null; } && build_shell_plugin "$tmp/plugins" 2>"$tmp/err"; then
    chmod 711 "$tmp"
    chmod -R go+rX "$tmp/plugins"
    chmod 777 "$redis_socket"
    if nobody "$as_worker" --version >"$out" 2>&1; then
        start mate $as_nobody "$as_worker" -u "$(url worker default2)" --agent-dir "$tmp/plugins" --id three
        mate=$pid
        wait_ready "$mate" mate
        "$as_ctl" -u "$(url client default2)" create Shell --id sh >"$out" 2>&1 || fail "create" "$out" "$tmp/mate.log"
        "$as_ctl" -u "$(url client default2)" call sh run \
            '["{ head -c 1 /proc/$PPID/environ && echo seen; head -c 1 /proc/$PPID/mem && echo seen; ls /proc/$PPID/fd/ && echo seen; } 2>&1; echo done"]' \
            >"$out" 2>&1 || fail "call" "$out" "$tmp/mate.log"
        expect "$out" 'environ.*denied.*mem.*denied.*fd/.*denied.*done'
        grep -q seen "$out" && fail "a program that a method starts looks into its worker" "$out"
        "$as_ctl" -u "$(url client default2)" call sh run '["echo $PPID"]' >"$out" 2>&1 || fail "call" "$out"
        blind "$(tr -cd '0-9' <"$out" | head -c 10)" "its own user"
        stop "$mate" || fail "the worker ended with status $?" "$tmp/mate.log"
    fi
    chmod 700 "$tmp"
fi

echo "what SECURITY.md says is shown"
tr -s '[:space:]' ' ' <"$srcdir/SECURITY.md" >"$tmp/promised"
awk -F ' *[|] *' '$2 != "" && $2 != "who" && $2 !~ /^-/ { print $3 "|" $4 "|" $5 }' "$srcdir/tests/cannot.md" >"$tmp/cannot"
[ "$(wc -l <"$tmp/cannot")" -ge 40 ] || fail "tests/cannot.md is not read" "$tmp/cannot"
while IFS='|' read -r promise file test; do
    grep -qF -- "$promise" "$tmp/promised" || fail "SECURITY.md does not say: $promise"
    grep -qF -- "$test" "$srcdir/tests/$file" || fail "tests/$file does not have: $test"
done <"$tmp/cannot"

stop "$worker" || fail "the worker ended with status $?" "$tmp/worker.log"
stop "$other" || fail "the worker ended with status $?" "$tmp/other.log"
stop "$redis_pid"
echo "all as expected"
