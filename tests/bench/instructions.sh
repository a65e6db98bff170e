#!/bin/sh
# instructions.sh: counts the instructions that client and worker execute for a call, by callgrind. The
# counts do not depend on other load of the machine. From the build tree, after `make bench-programs`:
#
#     ../tests/bench/instructions.sh [--no-stats] [corked|broadcast|async|sync]...
#
# With --no-stats the worker keeps no figures; what they cost is the difference. It is an upper bound:
# valgrind is so slow that what a worker does each second, as telling its figures to Redis, is shared by
# few calls, and it has a system call in place of each reading of the clock.
#
# Each figure is the difference of a run with many calls and one with fewer, which excludes start
# and end. The output of callgrind is kept in tests/bench/counted, for callgrind_annotate.
set -eu

few=4096 many=20480
kept=$(pwd)/tests/bench/counted
no_stats=''

# shellcheck source=tests/bench/support.sh
. "$(dirname "$0")/support.sh"

count() { # KIND CALLS: runs both under callgrind, into $dir/client and $dir/worker
    start_redis
    # shellcheck disable=SC2086 # an option, or none
    start valgrind --tool=callgrind --trace-children=yes --callgrind-out-file="$dir/worker.%p" \
        src/.libs/as-worker -u "$url" -d tests/bench/agents --log-level error $no_stats \
        2>"$dir/worker.log"
    wait_for has_worker
    valgrind --tool=callgrind --callgrind-out-file="$dir/client" \
        tests/bench/.libs/calls "$url" "$1" "$2" 2>"$dir/client.log"
    stop
    # The supervisor has a count, too. The largest count is that of the process that runs the agents.
    mv "$(ls -S "$dir"/worker.[0-9]* | head -n 1)" "$dir/worker"
    rm -f "$dir"/worker.[0-9]*
}
total() { sed -n 's/^totals: //p' "$1"; }

needs valgrind redis-server redis-cli tests/bench/.libs/calls tests/bench/agents/bench.so
LD_LIBRARY_PATH=$(pwd)/lib/.libs
export LD_LIBRARY_PATH
mkdir -p "$kept"
[ "${1-}" != --no-stats ] || { no_stats=$1; shift; }
[ $# -gt 0 ] || set -- corked broadcast async sync
printf '%-12s %8s %8s\n' 'per call' client worker
for kind; do
    count "$kind" $few
    client=$(total "$dir/client") in_worker=$(total "$dir/worker")
    count "$kind" $many
    printf '%-12s %8d %8d\n' "$kind" $((($(total "$dir/client") - client) / (many - few))) \
        $((($(total "$dir/worker") - in_worker) / (many - few)))
    mv "$dir/client" "$kept/$kind.client"
    mv "$dir/worker" "$kept/$kind.worker"
done
