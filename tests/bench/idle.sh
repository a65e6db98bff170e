#!/bin/sh
# idle.sh: counts the commands that worker processes without any calls send to Redis, and those that their
# scripts run. From the build tree, after `make bench-programs`:
#
#     ../tests/bench/idle.sh [PROCESSES:PARTITIONS]...
#
# For each pair it starts a Redis and so many worker processes, waits until all have their share of the
# partitions, and counts for 10 s, which is a lease time, by MONITOR. IDLE_SETTLE: seconds to wait before
# (20). IDLE_STEP: processes that start at once (100), for each of which all others compute anew what they
# own. IDLE_KEEP=FILE: the kinds of commands, with their numbers, go there.
set -eu

settle=${IDLE_SETTLE:-20} most=${IDLE_STEP:-100} keep=${IDLE_KEEP:-/dev/null} seconds=10

# shellcheck source=tests/bench/support.sh
. "$(dirname "$0")/support.sh"

number() { redis INFO "$1" | sed -n "s/^$2:\([0-9.]*\).*/\1/p"; }
# Adds up the partitions that the processes say to have.
owned() {
    redis EVAL "local n = 0 for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do
        n = n + (tonumber(redis.call('HGET', 'asq:{default}:worker:' .. id, 'partitions') or 0) or 0) end return n" \
        1 'asq:{default}:workers'
}
listed() { redis SCARD 'asq:{default}:workers'; }
is_settled() { [ "$(listed)" -eq "$processes" ] && [ "$(owned)" -eq "$partitions" ]; }

# Counts for so many seconds by the time stamps, because Redis may be behind with the lines.
count() { # counts by kind: "client|script COMMAND", in $dir/kinds
    redis MONITOR 2>/dev/null | awk -v s=$seconds '
        NR == 2 { from = $1 }
        NR > 1 && $1 > from + s { exit }
        $4 ~ /^"/ { n[($3 == "lua]" ? "script " : "client ") toupper(substr($4, 2, length($4) - 2))]++ }
        END { for (kind in n) print n[kind], kind }' >"$dir/kinds" || :
}
sum() { awk -v who="$1" -v s=$seconds '$2 == who { n += $1 } END { printf "%.0f", n / s }' "$dir/kinds"; }

start_workers() { # PROCESSES PARTITIONS
    processes=0 partitions=$2
    while [ "$processes" -lt "$1" ]; do
        n=$(($1 - processes < most ? $1 - processes : most))
        processes=$((processes + n))
        start src/as-worker -u "$url" -d tests/bench/agents --processes "$n" --partitions "$partitions" --capacity 1 \
            --log-level warning 2>>"$dir/worker.log"
        wait_for is_settled
    done
}

measure() { # PROCESSES PARTITIONS
    start_redis --maxclients 20000
    start_workers "$1" "$2"
    sleep "$settle"
    total=$(number stats total_commands_processed) net=$(number stats total_net_output_bytes)
    cpu=$(number cpu used_cpu_user) sys=$(number cpu used_cpu_sys)
    sleep $seconds
    total=$(($(number stats total_commands_processed) - total))
    net=$(($(number stats total_net_output_bytes) - net))
    cpu=$(echo "$cpu $sys $(number cpu used_cpu_user) $(number cpu used_cpu_sys)" |
        awk -v s=$seconds '{ printf "%.1f", ($3 + $4 - $1 - $2) * 100 / s }')
    count
    printf '%9d %10d %12s %12s %12d %10d %6s %%\n' "$processes" "$partitions" "$(sum client)" "$(sum script)" \
        $((total / seconds)) $((net / seconds / 1024)) "$cpu"
    { echo "# $processes processes, $partitions partitions, in $seconds s"; sort -rn "$dir/kinds"; } >>"$keep"
    stop
}

needs redis-server redis-cli src/as-worker tests/bench/agents/bench.so
[ $# -gt 0 ] || set -- 1:128 32:128 128:128 16:16384
printf '%9s %10s %12s %12s %12s %10s %8s\n' processes partitions 'commands/s' 'in scripts/s' 'total/s' 'KiB/s out' 'Redis'
for pair; do
    measure "${pair%:*}" "${pair#*:}"
done
