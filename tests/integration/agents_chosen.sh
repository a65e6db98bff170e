#!/bin/sh
# agents_chosen.sh: as-ctl agents lists and counts agents by class, prefix and number; as-ctl delete
# ends several, or all of a class or with a prefix, after a question; others end by themselves.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis
prints() { # TEXT COMMAND...
    text=$1
    shift
    run 0 "$@"
    [ "$(cat "$out")" = "$text" ] || fail "not '$text' from: $*" "$out"
}
refused() { # PATTERN COMMAND...
    pattern=$1
    shift
    run 2 "$@"
    expect "$err" "$pattern"
}
# Adds N snapshots PREFIX-1, PREFIX-2, ... of class Cat with an empty map as their state.
add() { # PARTITION PREFIX N
    # shellcheck disable=SC2016
    redis EVAL 'local record = "\10\3Cat\34\2\66\0" for i = 1, ARGV[2] do
        redis.call("HSET", KEYS[1], ARGV[1] .. "-" .. i, record) end' 1 "asq:{default.$1}:agents" "$2" "$3"
}

redis HSET 'asq:{default}:meta' format 1 partitions 4
echo "none"
prints 0 "$as_ctl" agents --count
prints '{"count":0}' "$as_ctl" agents --count --class Cat --json
run 0 "$as_ctl" agents --prefix x --class Cat
expect "$err" "^as-ctl: no agents of class Cat with prefix x in namespace 'default'\$"
prints '{"deleted_count":0}' "$as_ctl" delete --class Cat --json
run 0 "$as_ctl" delete --class Cat
expect "$err" "^as-ctl: no agents of class Cat in namespace 'default'\$"

echo "some of many"
add 0 red 3000
add 1 'r*d' 20
add 2 blue 500
add 3 '{room}' 7
redis EVAL 'redis.call("HSET", KEYS[1], "dog", "\10\3Dog\34\2\66\0")' 1 'asq:{default.1}:agents'
prints 3528 "$as_ctl" agents --count
prints 3000 "$as_ctl" agents --count --prefix red
prints 20 "$as_ctl" agents --count --prefix 'r*d'
prints 0 "$as_ctl" agents --count --prefix 'r[e]d'
prints 1 "$as_ctl" agents --count --class Dog
prints 0 "$as_ctl" agents --count --class Dog --prefix red
refused 'longer than an id may be' "$as_ctl" agents --prefix "$(head -c 300 /dev/zero | tr '\0' x)"
refused 'exclude each other' "$as_ctl" agents --count --limit 3
run 0 "$as_ctl" agents --limit 3 --class Cat
[ "$(wc -l <"$out")" -eq 4 ] || fail "not three agents" "$out"
expect "$err" '^as-ctl: the first 3; --limit shows more$'
run 0 "$as_ctl" agents --limit 3 --prefix red --json
[ "$(grep -o '"id":"red-' "$out" | wc -l)" -eq 3 ] || fail "not three agents in the JSON" "$out"
expect "$out" '^\[\{.*\}\]$'
[ ! -s "$err" ] || fail "a note with --json" "$err"
# All of them exactly: nothing is cut.
run 0 "$as_ctl" agents --limit 20 --prefix 'r*d'
[ ! -s "$err" ] || fail "a note, though nothing was cut" "$err"

echo "a prefix with a tag asks its partition alone"
redis CONFIG RESETSTAT
run 0 "$as_ctl" agents --prefix '{room}'
[ "$(redis-cli -s "$redis_socket" INFO commandstats | sed -n 's/^cmdstat_hscan:calls=\([0-9]*\),.*/\1/p')" -eq 1 ] ||
    fail "more than one partition was asked"

echo "deleting"
redis FLUSHALL
start worker "$as_worker" --agent-dir "$agent_dir" --id one
wait_ready "$pid" worker
for i in 1 2 3 4 5; do
    "$as_ctl" create Echo --id "e-$i" >/dev/null && "$as_ctl" create Counter --id "c-$i" >/dev/null || fail "create"
done
refused 'either IDs, or' "$as_ctl" delete e-1 --class Echo
refused "needs an ID, --class or --prefix" "$as_ctl" delete
refused 'deleting 2 agents needs --yes' "$as_ctl" delete e-1 e-2 </dev/null
refused 'deleting 5 agents of class Echo needs --yes' "$as_ctl" delete --class Echo </dev/null
prints 10 "$as_ctl" agents --count
run 1 "$as_ctl" delete e-1 nobody e-2 --yes --json
[ "$(cat "$out")" = '{"deleted":["e-1","e-2"]}' ] || fail "not both" "$out"
expect "$err" '"code":"ASQ_ENOAGENT".*"agent":"nobody"'
prints 1 "$as_ctl" delete --class Counter --prefix c-3 --yes
run 0 "$as_ctl" delete --class Counter --prefix c-3
expect "$err" "^as-ctl: no agents of class Counter with prefix c-3 in"
prints 4 "$as_ctl" agents --count --class Counter
prints 3 "$as_ctl" delete --class Echo --yes
prints 0 "$as_ctl" agents --count --class Echo
prints 4 "$as_ctl" agents --count

echo "without waiting"
for i in 1 2 3 4 5; do "$as_ctl" create Echo --id "n-$i" >/dev/null || fail "create"; done
prints '{"accepted":["n-1","n-2"]}' "$as_ctl" delete n-1 n-2 --no-wait --yes --json
prints '{"accepted":"n-3"}' "$as_ctl" delete n-3 --no-wait --json
are_gone() { # ID...: each call is behind the deletion
    for id; do
        run 1 "$as_ctl" call "$id" size
        expect "$err" ASQ_ENOAGENT
    done
}
are_gone n-1 n-2 n-3
prints '{"accepted_count":2}' "$as_ctl" delete --class Echo --prefix n- --no-wait --yes --json
are_gone n-4 n-5
prints 4 "$as_ctl" agents --count

echo "agents that end by themselves"
prints short "$as_ctl" create Echo --id short --ttl 1s
run 0 "$as_ctl" show short
expect "$out" '^ttl_ms +1000$'
expect "$out" '^expires_ms +[0-9]+$'
prints later "$as_ctl" create Echo --id later --expires 1h
run 0 "$as_ctl" agents --class Echo --prefix later
expect "$out" '^later +Echo +[0-9]+  20'
refused 'ttl' "$as_ctl" create Echo --ttl 10ms
ended_short() { ! "$as_ctl" show short >/dev/null 2>&1; }
wait_until "the agent has ended" ended_short
prints 1 "$as_ctl" delete --class Echo --yes

echo "the question"
command -v script >/dev/null || { echo "no script: not tried"; exit 0; }
answers() { # STATUS ANSWER: the exit status of a deletion that is answered so at a terminal
    echo "$2" | script -qec "'$as_ctl' delete c-1 c-2" /dev/null >"$out" 2>&1
    status=$?
    [ "$status" -eq "$1" ] || fail "exit status $status, not $1, after '$2'" "$out"
    expect "$out" "delete 2 agents from namespace 'default'\? \[y/N\]"
}
answers 1 n
prints 4 "$as_ctl" agents --count
answers 0 y
prints 2 "$as_ctl" agents --count
