#!/bin/sh
# lists.sh: makes 10^6 agents and 10^5 waiting calls, and prints how long each list takes, with its most
# memory and the CPU time of the program and of Redis, which depend less on other load of the machine. From the build tree, after `make bench-programs`:
#
#     ../tests/bench/lists.sh [AGENTS [CALLS]]
#
# The calls wait because the namespace is paused; each is an entry of its own, and none names its
# agent's class. LISTS_KEEP=1 leaves Redis, the worker and as-studio until a line comes from the
# standard input.
set -eu

agents=${1:-1000000} calls=${2:-100000}

# shellcheck source=tests/bench/support.sh
. "$(dirname "$0")/support.sh"

has_studio() { grep -q 'shows namespace' "$dir/studio.log" || ! kill -0 "$studio"; }
redis_ms() { # the CPU time of Redis so far
    redis INFO cpu | sed -n 's/^used_cpu_\(user\|sys\):\([0-9.]*\).*/\2/p' | awk '{ s += $1 } END { print int(s * 1000) }'
}
ticks() { # PID: its CPU time so far
    sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'
}
peak() { # PID: the most memory so far, in MB
    sed -n 's/^VmHWM:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$1/status" | awk '{ printf "%.1f", $1 / 1024 }'
}

time_of() { # NAME COMMAND...: a list that ends by itself
    name=$1
    shift
    before=$(redis_ms)
    # shellcheck disable=SC2016 # GNU time's format
    "$time" -f '%e %M %U %S' -o "$dir/time" "$@" >"$dir/out" 2>"$dir/err" || { cat "$dir/err" >&2; exit 1; }
    after=$(redis_ms)
    awk -v name="$name" -v redis=$((after - before)) -v bytes="$(wc -c <"$dir/out")" \
        '{ printf "%-44s %7.2f s %8.1f MB %7.2f s %7.2f s %12d\n", name, $1, $2 / 1024, $3 + $4, redis / 1000, bytes }' \
        "$dir/time"
}
time_page() { # PATH: an answer of as-studio, whose memory is that of all of it
    before=$(redis_ms) begun=$(ticks "$studio")
    took=$(curl -sS -o "$dir/out" -w '%{time_total}' "$base$1")
    after=$(redis_ms)
    awk -v name="as-studio $1" -v took="$took" -v mb="$(peak "$studio")" -v redis=$((after - before)) \
        -v bytes="$(wc -c <"$dir/out")" -v cpu=$((($(ticks "$studio") - begun) * 1000 / $(getconf CLK_TCK))) \
        'BEGIN { printf "%-44s %7.2f s %8.1f MB %7.2f s %7.2f s %12d\n", name, took, mb, cpu / 1000, redis / 1000, bytes }'
}

time=$(command -v time || :)
needs "${time:-GNU time}" redis-server redis-cli curl tests/bench/.libs/calls tests/bench/agents/bench.so
LD_LIBRARY_PATH=$(pwd)/lib/.libs
export LD_LIBRARY_PATH ASQUEUE_URL="$url"

start_redis
start src/.libs/as-worker -d tests/bench/agents --log-level error 2>"$dir/worker.log"
wait_for has_worker
tests/bench/.libs/calls "$url" create "$agents"
src/.libs/as-ctl pause >/dev/null
tests/bench/.libs/calls "$url" leave "$calls"
port=$((20000 + $$ % 20000))
start src/.libs/as-studio --listen "127.0.0.1:$port" 2>"$dir/studio.log"
studio=$pid
wait_for has_studio
base=http://127.0.0.1:$port

printf '%-44s %9s %11s %9s %9s %12s\n' "$agents agents, $calls calls" time memory CPU Redis bytes
ctl=src/.libs/as-ctl
time_of 'as-ctl stats' $ctl stats
time_of 'as-ctl failures' $ctl failures
time_of 'as-ctl workers' $ctl workers
time_of 'as-ctl agents --count' $ctl agents --count
time_of 'as-ctl agents --count --class Bench' $ctl agents --count --class Bench
time_of 'as-ctl agents --limit 100' $ctl agents --limit 100
time_of 'as-ctl agents' $ctl agents
time_of 'as-ctl agents --json' $ctl agents --json
time_of 'as-ctl calls --count' $ctl calls --count
time_of 'as-ctl calls --limit 100' $ctl calls --limit 100
time_of 'as-ctl calls' $ctl calls
time_of 'as-ctl calls --json' $ctl calls --json
for path in /api/overview '/api/agents?limit=200' /api/agents/count /api/calls '/api/calls?state=running,parked' \
    /api/waits /api/failures; do
    time_page "$path"
done
[ -z "${LISTS_KEEP-}" ] || { echo "$url $base"; read -r _; }
