# shellcheck shell=sh disable=SC2034
# support.sh: for shell tests, to be sourced: a temporary directory ($tmp), processes that end with
# the test, a Redis of the test's own, waiting for conditions, checks that name what they found.
#
#     . "${ASQ_TEST_SRCDIR:-.}/tests/support/support.sh"
#
# Only processes that the test started are ended, each by its own pid.

srcdir=${ASQ_TEST_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
builddir=${ASQ_TEST_BUILDDIR:-$(pwd)}
as_worker=${AS_WORKER:-$builddir/src/as-worker}
as_ctl=${AS_CTL:-$builddir/src/as-ctl}
agent_dir=${ASQ_TEST_AGENT_DIR:-$builddir/contrib/examples/agents}
examples=$builddir/contrib/examples
limit_s=$((60 * ${ASQ_TEST_SLOW:-1}))

umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/asq-test-XXXXXX") || exit 1
pids=
LC_ALL=C
export LC_ALL

cleanup() {
    status=$?
    trap - EXIT HUP INT TERM
    for pid in $pids; do
        kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$tmp"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

skip() { # WHY
    echo "skipped: $*"
    exit 77
}

fail() { # WHAT [FILE...]: with the files' ends
    echo "FAILED: $1"
    shift
    for file; do
        echo "---- ${file##*/}"
        tail -n 40 "$file"
    done
    exit 1
}

# Waits until the command succeeds, WHAT being what it waits for.
wait_until() { # WHAT COMMAND...
    what=$1
    shift
    tries=$((limit_s * 20))
    until "$@" >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "not within $limit_s s: $what" "$tmp"/*.log
        sleep 0.05
    done
}

# Starts COMMAND in the background; its output goes to $tmp/NAME.log, its pid to $pid.
start() { # NAME COMMAND...
    log=$tmp/$1.log
    shift
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    pids="$pids $pid"
}

# Waits until a worker that was just started says that it is ready.
wait_ready() { # PID NAME
    tries=$((limit_s * 20))
    until grep -q 'ready: ' "$tmp/$2.log"; do
        running "$1" || fail "$2 does not come up" "$tmp/$2.log"
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$2 is not ready within $limit_s s" "$tmp/$2.log"
        sleep 0.05
    done
}

# SIGTERM, and waits; the exit status is that of the process.
stop() { # PID
    kill -TERM "$1" 2>/dev/null
    tries=$((limit_s * 20))
    while running "$1"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "process $1 does not end by SIGTERM" "$tmp"/*.log
        sleep 0.05
    done
    new=
    for other in $pids; do
        [ "$other" = "$1" ] || new="$new $other"
    done
    pids=$new
    wait "$1"
}

running() { # PID: has it not ended? (a zombie has)
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null)
    [ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

# A Redis on a Unix socket: sets $redis_socket, $redis_url and $redis_pid.
start_redis() {
    server=$(command -v redis-server || command -v valkey-server) || skip "no redis-server"
    redis_socket=$tmp/redis.sock
    redis_url=unix:$redis_socket
    start redis "$server" --port 0 --unixsocket "$redis_socket" --unixsocketperm 700 --save '' \
        --dir "$tmp"
    redis_pid=$pid
    wait_until "redis" test -S "$redis_socket"
}

# Processes that have TEXT in their environment or command line (a Redis, which shows its socket there,
# overwrites its environment), whoever started them: a line of pids.
processes_with() { # TEXT
    for dir in /proc/[0-9]*; do
        if cat "$dir/environ" "$dir/cmdline" 2>/dev/null | grep -qaF -- "$1"; then
            printf '%s ' "${dir#/proc/}"
        fi
    done
}

no_process_with() { # TEXT
    [ -z "$(processes_with "$1")" ]
}

expect() { # FILE PATTERN: a line of the file matches the extended regular expression
    grep -qE -- "$2" "$1" || fail "no line like: $2" "$1"
}

expect_count() { # FILE PATTERN NUMBER
    found=$(grep -cE -- "$2" "$1")
    [ "$found" -eq "$3" ] || fail "$found lines instead of $3 are like: $2" "$1"
}
