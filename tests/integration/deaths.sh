#!/bin/sh
# deaths.sh: who looks after worker processes have died finds out, however late: which one, when and how it
# died, and who has taken over from it. as-ctl workers --dead and a fresh as-ctl top tell it.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis

redis HSET 'asq:{default}:meta' format 1 partitions 16
run 0 "$as_ctl" workers --dead
[ ! -s "$out" ] || fail "something is printed where nothing is" "$out"
expect "$err" "^as-ctl: no worker of namespace 'default' has died in the last 24 hours\$"
[ "$("$as_ctl" workers --dead --json)" = '[]' ] || fail "no empty list"

worker() { # NAME
    start "$1" "$as_worker" --agent-dir "$agent_dir" --id "$1" --lease-time 3s
    wait_ready "$pid" "$1"
}
process_of() { # ID: the pid that its hash has
    redis-cli -s "$redis_socket" HGET "asq:{default}:worker:$1" pid
}
owns() { # ID: it has partitions, by their leases
    p=0
    while [ $p -lt 16 ]; do
        [ "$(redis-cli -s "$redis_socket" HGET "asq:{default.$p}:lease" owner)" = "$1" ] && return
        p=$((p + 1))
    done
    return 1
}
# Lines of the dead, one for each: {"id":…,"pid":…,"heirs":{…}}. A machine that is busy may have others missed
# as well, which the test does not look at.
dead() {
    "$as_ctl" workers --dead --json | sed 's/{"id"/\n&/g' | grep '"id"' >"$out"
}
died() { # PID PATTERN: it has died once, and its line has the pattern
    dead && [ "$(grep -c -- "\"pid\":$1," "$out")" = 1 ] && grep -- "\"pid\":$1," "$out" | grep -Eq -- "$2"
}
heirs='"heirs":\{"[a-z]+\.0":[1-9]'

echo "a process that dies by a signal, and whose supervisor starts it again"
worker one
one=$pid
worker two
two=$pid
worker three
three=$pid
wait_until "one has partitions" owns one.0
wait_until "two has partitions" owns two.0
first=$(process_of two.0)
kill -KILL "$first" # a signal that no sanitizer catches
wait_until "its supervisor tells how it died" died "$first" '"id":"two\.0","time_ms":[0-9]+,"how":"SIGKILL","signal":"SIGKILL"'
wait_until "somebody has taken over" died "$first" "$heirs"
wait_until "it is there again" owns two.0
run 0 "$as_ctl" workers --dead
expect "$out" '^WORKER +DIED +HOW +HOST +PID +HEIRS$'
expect "$out" "^two\.0 +[0-9-]+T[0-9:]+[+-][0-9]+ +SIGKILL +[^ ]+ +$first +[a-z]+\.0 [0-9]+"
run 0 "$as_ctl" workers
expect "$err" '^as-ctl: [0-9]+ worker process(es have| has) died in the last 24 hours, the last one [a-z]+\.0, .* ago \(.+\); '

echo "a process that is stopped for longer than its lease time, and goes on"
second=$(process_of two.0)
kill -STOP "$second"
wait_until "it is missed" died "$second" '"how":"no heartbeat for [0-9.]+ s","silent_ms":[0-9]+,"host"'
kill -CONT "$second"
wait_until "it is heard again" died "$second" '"heard_ms":[0-9]+'
run 0 "$as_ctl" workers --dead
expect "$out" "^two\.0 .* no heartbeat for [0-9.]+ s, then heard again +[^ ]+ +$second "
wait_until "it has partitions again" owns two.0

echo "a host that is gone: two survivors miss it"
kill -STOP "$two"
kill -KILL "$second" "$two"
wait_until "it is missed, and somebody has taken over" died "$second" "\"silent_ms\":[0-9]+,\"host\".*$heirs"
run 0 "$as_ctl" top --batch 1
expect "$out" '^[a-z]+\.0 died [0-9.]+ [a-z]+ ago: .*  its partitions went to [a-z]+\.0 [0-9]+'
expect "$out" '[0-9]+ more in 24 h: as-ctl workers --dead'
expect "$out" "^two\.0 +died .* no heartbeat for [0-9.]+ s; heirs: [a-z]+\.0 [0-9]+.* $second "
expect "$out" "^two\.0 +died .* SIGKILL; heirs: [a-z]+\.0 [0-9]+.* $first "

echo "a survivor that was stopped itself has not heard the dead one since"
process=$(process_of one.0)
kill -STOP "$process"
wait_until "the survivor is missed" died "$process" '"silent_ms":[0-9]+,"host"'
kill -CONT "$process"
wait_until "the survivor is heard again" died "$process" '"heard_ms":[0-9]+'
wait_until "the survivor has partitions again" owns one.0
died "$second" '"silent_ms":[0-9]+,"host"' || fail "a dead worker counts as heard again" "$out"

echo "one that stops in order has not died"
left=$(process_of one.0)
stop "$one"
! died "$left" '"host"' || died "$left" '"heard_ms"' || fail "a worker that has left counts as dead" "$out"

echo "one that nobody was there to miss"
kill -STOP "$three"
kill -KILL "$(process_of three.0)" "$three"
redis DEL 'asq:{default}:worker:three.0' # as its TTL does later
worker last
unseen() {
    dead && grep -Eq '^\{"id":"three\.0","time_ms":[0-9]+,"how":"unknown","found_by":"last\.0","heirs":\{"last\.0":[1-9]' "$out"
}
wait_until "its death is known by its leases" unseen
