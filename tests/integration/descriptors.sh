#!/bin/sh
# descriptors.sh: a worker with a low limit of open files raises it as far as allowed, logs the
# numbers if that is not enough, and is not ready while it cannot read calls.
#
# By hand: from the build directory, .../tests/integration/descriptors.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL
start_redis
url=unix:$redis_socket

limited() { # NAME SOFT HARD: starts a worker of 1,024 partitions, for which it needs 64 readers
    # shellcheck disable=SC2016 # for the inner shell
    start "$1" sh -c 'ulimit -Sn "$1" && ulimit -Hn "$2" && shift 2 && exec "$@"' sh "$2" "$3" \
        "$as_worker" -u "$url?ns=$1" --agent-dir "$agent_dir" --id "$1" --partitions 1024
}

wait_line() { # PID NAME PATTERN: waits for a line in the log of a process
    tries=$((limit_s * 20))
    until grep -qE -- "$3" "$tmp/$2.log"; do
        running "$1" || fail "$2 has ended" "$tmp/$2.log"
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$2 does not say: $3" "$tmp/$2.log"
        sleep 0.05
    done
}

limited low 100 1000
low=$pid
wait_ready "$low" low
expect "$tmp/low.log" 'limit of open files was raised from 100 to 192: 64 connections'
child=$(pgrep -P "$low" | head -n 1)
expect "/proc/$child/limits" '^Max open files +192 +1000 '
stop "$low"

# Some of the readers cannot be opened: the log has the numbers and the failures; other streams are
# still read.
limited few 60 60
few=$pid
wait_line "$few" few 'may open 60 files, and needs up to 192: 64 connections to read 1024 partitions'
wait_line "$few" few 'reading calls: .*Too many open files'
if grep 'ready: ' "$tmp/few.log"; then
    fail "it is ready though it does not read all of its calls"
fi
stop "$few"
