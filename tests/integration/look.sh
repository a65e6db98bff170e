#!/bin/sh
# look.sh: contrib/redis-cli/look shows owners, waiting calls, and stuck calls with their reasons,
# for a deployment with calls that do not end, with wrong keys, and without a worker.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis

look() {
    "$srcdir/contrib/redis-cli/look" "$@" -- -s "$redis_socket" $look_user >"$out" 2>&1 || fail "look $*" "$out"
}

refuses() { # EXPECTED LOOK-ARGUMENT...
    expected=$1
    shift
    "$srcdir/contrib/redis-cli/look" "$@" >"$out" 2>&1
    [ $? -eq 2 ] || fail "the status of look $*" "$out"
    [ "$(tail -n 1 "$out")" = "look: $expected" ] || fail "look $*, not: $expected" "$out"
}

start worker "$as_worker" --agent-dir "$agent_dir" --id one --unload-after 0 --lease-time 10s --drain-timeout 5s
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
told() { # by the next heartbeat
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
redis-cli -s "$redis_socket" EVAL "redis.call('ZADD', KEYS[1], 4000000000500, 'b') redis.call('HSET', KEYS[2], 'b', '\\n\\3a.m\\18\\0')" \
    2 "asq:{default.5}:later" "asq:{default.5}:later:jobs" >/dev/null
look later
expect "$out" '^partition 5  2096-10-02T07:06:40Z  a\.m$'
look later 5
expect "$out" '^partition 5  2096-10-02T07:06:40Z  a\.m$'
redis-cli -s "$redis_socket" HSET "asq:{default.5}:lease" clock "3600000 1700000000000" >/dev/null
look later
expect "$out" '^partition 5  2096-10-02T06:06:40Z  a\.m$' # by the clock of Redis
redis-cli -s "$redis_socket" HDEL "asq:{default.5}:lease" clock >/dev/null
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
look workers # their hash has the field `stuck` now, of several lines
expect "$out" '^ +stopping +0$'

echo "keys of a wrong type"
redis-cli -s "$redis_socket" SET 'asq:{default.9}:agents' lies >/dev/null
look partitions
expect "$out" '^ +9 +one\.0 +[0-9]+ +[0-9]+ +0 +WRONGTYPE$'
expect "$out" '^ +116 +one\.0 +[0-9]+ +[0-9]+ +0 +1$'

echo "nobody is there"
stop "$worker" || fail "the worker ended with status $?" "$tmp/worker.log"
look stuck
expect "$out" "^partition $p: 2 batches wait, and (nobody owns it|its owner one\\.0 has sent no heartbeat)"
look partitions
expect "$out" '^ +116 +\(nobody\) +[0-9]+ +[0-9]+ +0 +1$'
redis-cli -s "$redis_socket" DEL 'asq:{default.9}:agents' >/dev/null
look where tally
expect "$out" '^partition 116, owned by \(nobody\)$'

# Adds entries to a stream of partition 7.
add() { # KEY FIELD NUMBER
    redis-cli -s "$redis_socket" EVAL "for i = 1, ARGV[2] do redis.call('XADD', KEYS[1], '*', ARGV[1], i .. '.m') end" \
        1 "asq:{default.7}:$1" "$2" "$3" >/dev/null || fail "XADD"
}
entry='^7-[0-9]+-[0-9]+$'
# The list is complete, after one more entry it is cut, and with the command that the line tells it is complete again.
# shellcheck disable=SC2046,SC2086 # LOOK-ARGUMENTS are words
cuts() { # LOOK-ARGUMENTS PATTERN NUMBER KEY FIELD
    look $1
    expect_count "$out" "$2" "$3"
    expect_count "$out" '^and .* more' 0
    add "$4" "$5" 1
    look $1
    expect_count "$out" "$2" "$3"
    expect_count "$out" '^and .* more' 1
    expect "$out" "^and 1 more in partition 7: look -c $(($3 + 1)) ${1% *} 7\$"
    look $(sed -n 's/^and .*: look //p' "$out")
    expect_count "$out" "$2" $(($3 + 1))
    expect_count "$out" '^and .* more' 0
}
lists_are_cut() {
    redis-cli -s "$redis_socket" DEL 'asq:{default.7}:dead' 'asq:{default.7}:failures' 'asq:{default.7}:jobs' \
        'asq:{default.7}:later' 'asq:{default.7}:later:jobs' >/dev/null
    add dead call 100
    cuts dead "$entry" 100 dead call
    add failures method 100
    cuts 'failures 7' "$entry" 100 failures method
    look -c 1 failures
    expect "$out" '^    method     1\.m$'
    expect "$out" '^and 100 more in partition 7: look -c 101 failures 7$'
    add jobs call 3
    cuts waiting '^[0-9]+-[0-9]+ [0-9]+\.m$' 3 jobs call
    look -c 1 waiting 7
    expect "$out" '^and 3 more in partition 7: look -c 4 waiting 7$'
    redis-cli -s "$redis_socket" EVAL "for i = 1, 1001 do redis.call('ZADD', KEYS[1], 4e12 + i, i) redis.call('HSET', KEYS[2], i, '\n\3a.m') end" \
        2 'asq:{default.7}:later' 'asq:{default.7}:later:jobs' >/dev/null || fail "ZADD"
    look later 7
    expect_count "$out" '^partition 7  2096-10-02T.*  a\.m$' 1000
    expect "$out" '^and 1 more in partition 7: look -c 1001 later 7$'
    look -c 1001 later 7
    expect_count "$out" '^partition 7  2096-10-02T.*  a\.m$' 1001
    expect_count "$out" '^and .* more' 0
}
for p in 128 1x 01; do
    # shellcheck disable=SC2086 # words
    refuses "there is no partition '$p' in default: they go from 0 to 127" dead $p -- -s "$redis_socket" $look_user
done
path=$PATH
for other in awk mawk gawk original-awk; do
    command -v "$other" >/dev/null || continue
    echo "a list that is cut says so, with $other"
    mkdir "$tmp/$other"
    ln -s "$(command -v "$other")" "$tmp/$other/awk"
    PATH=$tmp/$other:$path
    lists_are_cut
done
PATH=$path

echo "ASQUEUE_URL names Redis and namespace"
ASQUEUE_URL=$(url_as observer "$redis_url") "$srcdir/contrib/redis-cli/look" partitions >"$out" 2>&1 || fail "look by ASQUEUE_URL" "$out"
expect "$out" '^ +116 +\(nobody\) '
stop "$redis_pid"

echo "what is no command is told, and so is an option in the wrong place"
refuses "there is no command 'partition'" partition
refuses "-c takes a number from 1 to 999999999, not '0'" -c 0 dead
refuses "-c takes a number from 1 to 999999999, not 'all'" -n q -c all dead
refuses "'-h' is not an option of look: put -n NAMESPACE and -c COUNT first, and redis-cli's options behind --" -h x partitions
refuses "'where' needs an agent's id" where

# Makes a redis-cli that records its arguments and its password, and answers.
mkdir "$tmp/bin"
cat >"$tmp/bin/redis-cli" <<END
#!/bin/sh
echo "\$* (\${REDISCLI_AUTH-none})" >>"$tmp/given"
echo '"0"'
END
chmod +x "$tmp/bin/redis-cli"
given() { # URL EXPECTED LOOK-ARGUMENT...
    url=$1 expected=$2
    shift 2
    rm -f "$tmp/given"
    PATH=$tmp/bin:$PATH ASQUEUE_URL=$url "$srcdir/contrib/redis-cli/look" "$@" >"$out" 2>&1 || fail "look with $url" "$out"
    [ "$(head -n 1 "$tmp/given")" = "--no-raw $expected" ] || fail "of $url, not: $expected" "$tmp/given"
}
meta='HGET asq:{default}:meta partitions'
given 'redis://h:123/4?ns=prod' '-h h -p 123 -n 4 HGET asq:{prod}:meta partitions (none)' partitions
given 'redis://h?ns=prod' '-h h HGET asq:{q}:meta partitions (none)' -n q partitions
given 'redis://u:p%40x%2F%20@h' "-h h --user u $meta (p@x/ )" partitions
given 'redis://:a@b@[::1]:7/' "-h ::1 -p 7 $meta (a@b)" partitions
given 'redis://secret@h' "-h h $meta (secret)" partitions
given 'unix:/a/b.sock?user=u&password=p%3Dq&ns=N&db=3' '-n 3 --user u -s /a/b.sock HGET asq:{N}:meta partitions (p=q)' \
    partitions
given 'rediss://r.example/0?cacert=/a/b&verify=no' \
    "--insecure --cacert /a/b --sni r.example --tls -h r.example -n 0 $meta (none)" partitions
given 'redis://secret@h?ns=prod' "-s /x $meta (none)" partitions -- -s /x
REDISCLI_AUTH=elsewhere given 'redis://u@h' "-h h --user u $meta (elsewhere)" partitions
for url in 'ftp://h' 'child:' 'redis://h?x=1' 'redis://%zz@h' 'redis://h?ns=a%0Ab' 'redis://h?ns=%22'; do
    rm -f "$tmp/given"
    PATH=$tmp/bin:$PATH ASQUEUE_URL=$url "$srcdir/contrib/redis-cli/look" partitions >"$out" 2>&1
    [ $? -eq 2 ] || fail "the status of look with $url" "$out"
    [ ! -e "$tmp/given" ] || fail "redis-cli was run with $url" "$tmp/given"
done
echo "all as expected"
