#!/bin/sh
# sleepers.sh: has N agents sleep for an hour each (asq_ctx_sleep), and prints what a sleeping call takes in the
# worker and in Redis beyond its idle agent, and how long a hand-over of all of them takes: one worker is asked to
# end, another one is started at that moment, and the time is taken until the first has ended, and the other one
# has answered calls to agents of all partitions. From the build tree, after `make bench-programs`:
#
#     ../tests/bench/sleepers.sh [N]...
#
# SLEEPERS_WORKER: the options of both workers (--unload-after 1s --partitions 128). SLEEPERS_BIN: an as-worker
# of another build.
set -eu

# shellcheck source=tests/bench/support.sh
. "$(dirname "$0")/support.sh"

options=${SLEEPERS_WORKER:---unload-after 1s --partitions 128} bin=${SLEEPERS_BIN:-src/.libs/as-worker}

# Counts the calls that sleep without a run: those in `later`, and those whose entry is in the stream.
count='local n, p = 0, tonumber(ARGV[1])
    for i = 0, p - 1 do
        local prefix = "asq:{default." .. i .. "}:"
        n = n + redis.call("ZCARD", prefix .. "later")
        for _, field in ipairs(redis.call("HKEYS", prefix .. "attempts")) do
            if string.sub(field, 1, 1) == "~" then n = n + 1 end
        end
    end
    return n'
partitions() { redis HGET 'asq:{default}:meta' partitions; }
asleep() { redis EVAL "$count" 0 "$(partitions)"; }
all_sleep() { [ "$(asleep)" -ge "$n" ]; }
children() { pgrep -P "$1" | head -1; }
is_free() { ! kill -0 "$1"; }
used() { redis INFO memory | sed -n 's/^used_memory:\([0-9]*\).*/\1/p'; }
rss() { # PID: in KiB
    sed -n 's/^VmRSS:[^0-9]*\([0-9]*\) kB/\1/p' "/proc/$1/status"
}
now() { date +%s%N; }
start_worker() {
    # shellcheck disable=SC2086 # options are words
    start "$bin" -u "$url" -d tests/bench/agents --processes 1 --log-level warning $options 2>>"$dir/worker.log"
    worker=$pid
}
# Redis gives back memory, and agents that are not called leave the list of those awake, within seconds.
settle() { sleep "${SLEEPERS_SETTLE:-15}"; }

measure() { # N
    n=$1
    start_redis
    start_worker
    wait_for has_worker
    tests/bench/.libs/calls "$url" create "$n"
    settle
    child=$(children "$worker")
    rss_before=$(rss "$child") used_before=$(used)
    begun=$(now)
    tests/bench/.libs/calls "$url" sleep "$n"
    until all_sleep; do sleep 1; done
    took=$((($(now) - begun) / 1000000))
    settle
    rss_asleep=$(rss "$child") used_asleep=$(used)
    begun=$(now)
    kill -TERM "$worker"
    old=$worker
    start_worker
    wait_for is_free "$old"
    tests/bench/.libs/calls "$url" async 1000
    handed=$((($(now) - begun) / 1000000))
    settle
    rss_next=$(rss "$(children "$worker")")
    [ "$(asleep)" -ge "$n" ] || echo "sleepers: only $(asleep) of $n still sleep" >&2
    printf '%9d %12d %12d %12d %12d %9d.%d s %9d.%d s\n' "$n" $(((rss_asleep - rss_before) * 1024 / n)) \
        $(((used_asleep - used_before) / n)) $((rss_asleep / 1024)) $((rss_next / 1024)) \
        $((took / 1000)) $((took % 1000 / 100)) $((handed / 1000)) $((handed % 1000 / 100))
    stop
}

needs redis-server redis-cli pgrep "$bin" tests/bench/.libs/calls tests/bench/agents/bench.so
LD_LIBRARY_PATH=${LD_LIBRARY_PATH:-$(pwd)/lib/.libs}
export LD_LIBRARY_PATH ASQUEUE_URL="$url"
[ $# -gt 0 ] || set -- 10000 100000
printf '%9s %12s %12s %12s %12s %11s %11s\n' calls 'worker, B' 'Redis, B' 'worker, MB' 'next, MB' 'all sleep' hand-over
for n; do
    measure "$n"
done
