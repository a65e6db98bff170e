#!/bin/sh
# agents.sh: as-ctl agents takes no more memory for a longer list, and keeps the timeout.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
use_redis
redis HSET 'asq:{default}:meta' format 1 partitions 4

echo "no agents"
"$as_ctl" agents >"$out" 2>"$err" || fail "agents" "$err"
[ ! -s "$out" ] || fail "something is printed where nothing is" "$out"
expect "$err" "^as-ctl: no agents in namespace 'default'\$"
"$as_ctl" agents --class Cat >"$out" 2>"$err" || fail "agents" "$err"
expect "$err" "^as-ctl: no agents of class Cat in namespace 'default'\$"
[ "$("$as_ctl" agents --json)" = '[]' ] || fail "no empty list"

echo "many agents"
# Adds snapshots of class Cat with an empty map as their state.
# shellcheck disable=SC2016
redis EVAL 'local record = "\10\3Cat\34\2\66\0" for i = 1, 100000 do
    redis.call("HSET", KEYS[1], "agent-" .. i, record) end' 1 'asq:{default.2}:agents'
redis HSET 'asq:{default.3}:agents' large "$(head -c 100000 /dev/zero | tr '\0' x)"
"$as_ctl" agents >"$out" 2>"$err" || fail "agents" "$err"
expect_count "$out" '^AGENT +CLASS +PARTITION +EXPIRES$' 1
[ "$(sed -n 's/^\(agent-[0-9]*\) .*/\1/p' "$out" | sort -u | wc -l)" -eq 100000 ] || fail "not all are there"
expect "$out" '^large '
"$as_ctl" agents --json >"$out" 2>"$err" || fail "agents" "$err"
expect_count "$out" '^\[\{"id":.*\}\]$' 1
[ "$(grep -o '"id":"agent-[0-9]*"' "$out" | sort -u | wc -l)" -eq 100000 ] || fail "not all are in the JSON"
if [ -z "${SAN_CFLAGS-}" ] && [ -r /proc/self/status ]; then
    # Prints the most memory, in kilobytes, that as-ctl has used when it has printed so many lines. It prints more
    # than a pipe holds, so it waits for its reader while its memory is read.
    peak() { # LINES
        mkfifo "$tmp/fifo" || exit 1
        "$as_ctl" agents >"$tmp/fifo" 2>"$err" &
        agents=$!
        pids="$pids $agents"
        {
            sed -n "$1q"
            sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$agents/status" >"$tmp/peak"
            cat >/dev/null
        } <"$tmp/fifo"
        wait "$agents" || fail "agents" "$err"
        rm "$tmp/fifo"
        cat "$tmp/peak"
    }
    before=$(peak 100)
    after=$(peak 95000)
    case $before,$after in ,* | *,) fail "no figures" ;; esac
    [ "$after" -lt $((before + 8192)) ] || fail "100000 agents take $((after - before)) kB"
fi

echo "the timeout is one of the whole command"
# Redis is stopped after the first agents, so the next page does not come.
mkfifo "$tmp/fifo" || exit 1
"$as_ctl" agents -t 3s >"$tmp/fifo" 2>"$err" &
agents=$!
pids="$pids $agents"
{
    sed -n '/^agent-/q'
    kill -STOP "$redis_pid"
    cat >/dev/null
} <"$tmp/fifo"
wait "$agents"
status=$?
kill -CONT "$redis_pid"
[ "$status" -eq 1 ] || fail "as-ctl agents: status $status" "$err"
expect "$err" 'ASQ_ETIMEOUT'
stop "$redis_pid"
echo "all as expected"
