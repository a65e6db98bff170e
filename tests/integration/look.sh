#!/bin/sh
# look.sh: contrib/redis-cli/look tells who owns what, what waits where, and which calls are stuck and why,
# of a deployment with calls that do not end, with keys that lie, and without a worker.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

command -v redis-cli >/dev/null || skip "no redis-cli"
[ -d "$agent_dir" ] || skip "no example plugins: $agent_dir"
start_redis
ASQUEUE_URL=$redis_url
export ASQUEUE_URL
out=$tmp/out

look() {
    "$srcdir/contrib/redis-cli/look" "$@" -- -s "$redis_socket" $look_user >"$out" 2>&1 || fail "look $*" "$out"
}

start worker "$as_worker" --agent-dir "$agent_dir" --id one --lease-time 1s --drain-timeout 1ms
worker=$pid
wait_ready "$worker" worker
"$as_ctl" create Echo --id '{x}sleeper' >/dev/null || fail "create"
"$as_ctl" create Counter --id tally >/dev/null || fail "create"
"$as_ctl" call '{x}sleeper' sleep '[3600000]' --async >/dev/null || fail "call"
"$as_ctl" call '{x}sleeper' echo '[1]' --async >/dev/null || fail "call"

echo "who owns what"
look where tally
expect "$out" '^partition 116, owned by one\.0$'
look where '{x}sleeper'
p=$(sed 's/partition \([0-9]*\),.*/\1/' "$out")
look partitions
expect "$out" '^ *partition +owner +epoch +commits +waiting +agents$'
expect "$out" '^ +116 +one\.0 +[0-9]+ +[0-9]+ +0 +1$'
expect_count "$out" ' one\.0 ' 128
told() { # the next beat tells
    [ "$(redis-cli -s "$redis_socket" HGET 'asq:{default}:worker:one.0' partitions)" = 128 ]
}
wait_until "128 partitions in the worker's hash" told
look workers
expect "$out" '^one\.0$'
expect "$out" '^ +partitions +128$'
expect "$out" '^ +stopping +0$'

echo "what waits where"
look partitions
expect "$out" "^ +$p +one\\.0 +[0-9]+ +[0-9]+ +2 +1\$"
look waiting
expect "$out" '^[0-9]+-[0-9]+ Echo/\{x\}sleeper\.sleep$|^[0-9]+-[0-9]+ .*sleeper\.sleep$'
look waiting "$p"
expect_count "$out" '^[0-9]+-[0-9]+ ' 2

echo "what is due later"
redis-cli -s "$redis_socket" EVAL "redis.call('ZADD', KEYS[1], 4000000000000, 'b') redis.call('HSET', KEYS[2], 'b', '\\n\\3a.m\\18\\0')" \
    2 "asq:{default.5}:later" "asq:{default.5}:later:jobs" >/dev/null
look later
expect "$out" '^partition 5  2096-10-02T07:06:40Z  a\.m$'
look later 5
expect "$out" '^partition 5  2096-10-02T07:06:40Z  a\.m$'
look later 6
expect_count "$out" 'partition' 0
redis-cli -s "$redis_socket" DEL "asq:{default.5}:later" "asq:{default.5}:later:jobs" >/dev/null

echo "what is stuck, and why"
is_stuck() {
    look stuck
    grep -q 'sleep' "$out"
}
wait_until "a call to be told as stuck" is_stuck
expect "$out" '^[0-9]+-[0-9a-f]+-0 [0-9]+ s \{x\}sleeper\.sleep sleeps.*; 1 more behind it  \[one\.0\]$'
look workers # whose hash has lines of its own now
expect "$out" '^ +stopping +0$'

echo "keys that lie"
redis-cli -s "$redis_socket" SET 'asq:{default.9}:agents' lies >/dev/null
look partitions
expect "$out" '^ +9 +one\.0 +[0-9]+ +[0-9]+ +0 +WRONGTYPE$'
expect "$out" '^ +116 +one\.0 +[0-9]+ +[0-9]+ +0 +1$'

echo "nobody is there"
stop "$worker" || fail "the worker ended with status $?" "$tmp/worker.log"
look stuck
expect "$out" "^partition $p: 2 batches wait, and (nobody owns it|its owner one\\.0 has not been heard of)"
look partitions
expect "$out" '^ +116 +\(nobody\) +[0-9]+ +[0-9]+ +0 +1$'
stop "$redis_pid"
echo "all as expected"
