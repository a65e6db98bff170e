# shellcheck shell=sh
# shellcheck disable=SC2034 # scripts use what is set here
# support.sh: sourced by the scripts beside it, which run in the build tree: a Redis and other processes of
# their own, which end with the script, and a directory that goes with it.

script=$(basename "$0" .sh)
dir=$(mktemp -d)
url=unix:$dir/redis.sock
started=''

start() { # COMMAND...: in the background; sets pid
    "$@" &
    pid=$!
    started="$pid $started"
}
stop() { # ends all that was started, the last one first
    for pid in $started; do
        kill "$pid" 2>/dev/null || continue
        wait "$pid" || :
    done
    started=''
    rm -f "$dir/redis.sock"
}
trap 'stop; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

wait_for() { # COMMAND...: waits until it succeeds, for at most five minutes
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 3000 ] || { echo "$script: nothing after five minutes: $*" >&2; exit 1; }
        sleep 0.1
    done
}
needs() { # PROGRAM...
    for program; do
        command -v "$program" >/dev/null || [ -e "$program" ] ||
            { echo "$script: $program is missing; see the head of this script" >&2; exit 1; }
    done
}

redis() { redis-cli -s "$dir/redis.sock" "$@"; }
is_up() { [ "$(redis PING)" = PONG ]; }
has_worker() { [ "$(redis SCARD 'asq:{default}:workers')" -gt 0 ]; }
start_redis() { # OPTION...
    start redis-server --port 0 --unixsocket "$dir/redis.sock" --save '' --dir "$dir" "$@" >"$dir/redis.log"
    wait_for is_up
}
