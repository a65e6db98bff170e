#!/bin/sh
# cluster_nat.sh: a Redis Cluster whose nodes announce names and ports at which no client reaches them,
# as behind a network that translates addresses: with the map in the URL (nat=) all goes on as
# anywhere, also when slots move; without it there is an error in time that tells the address and the
# map. That the map counts for certificates as well is in cluster_tls.sh.
#
# By hand: from the build directory, .../tests/integration/cluster_nat.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL
. "$srcdir/tests/support/cluster.sh"
needs_plugins

# Nobody listens at the ports 1 to 3. The port of the bus is announced as it is.
configure_node() { # N
    cat <<END
port $port
cluster-announce-port $1
cluster-announce-bus-port $((port + 1))
END
}

url() { # ROLE [PARAMETERS [SCHEME]]
    echo "${3:-redis+cluster}://asq-default-$1:pw@127.0.0.1:$(port_of "$seed")${2:+?$2}"
}

command_fails() { # WITHIN-S COMMAND...
    within=$1
    since=$(date +%s)
    shift
    "$@" >"$out" 2>&1 && fail "no failure: $*" "$out"
    took=$(($(date +%s) - since))
    [ "$took" -le $((within * ${ASQ_TEST_SLOW:-1})) ] || fail "the failure took $took s: $*" "$out"
    grep -q ':pw@' "$out" && fail "a password is shown" "$out"
    return 0
}

seed=1
start_cluster
home=$(node_with_key 'asq:{default}:meta')
seed=$((home % 3 + 1)) # so that each connection to the keys of the namespace needs the map
map=
for n in 1 2 3; do
    map=$map${map:+,}127.0.0.$((n + 1)):$n=127.0.0.1:$(port_of "$n")
done

echo "without the map"
hint='; if this node is reached elsewhere, map it: redis.cluster://HOSTS.nat=127.0.0.[234]:[123]=HOST:PORT'
missing="node 127.0.0.([234]:[123]) of the Cluster: 127.0.0.([234]:[123]): Connection refused$hint"
command_fails 20 "$as_ctl" -u "$(url operator)" ping -t 2s
expect "$out" "$missing"
command_fails 20 "$as_ctl" -u "$(url operator '' redis)" ping -t 2s # noticed to be a node
expect "$out" "$missing"
command_fails 20 "$as_ctl" -u "$(url mover)" migrate --to "$(url mover ns=other)" -t 2s
expect "$out" "$missing"
start lost "$as_worker" --redis-url "$(url worker)" --agent-dir "$agent_dir"
lost=$pid
wait_until "the worker tells why" grep -qE "$missing" "$tmp/lost.log"
stop "$lost" || fail "the worker did not end in order" "$tmp/lost.log"

echo "a map that leads nowhere"
nowhere=127.0.0.2:1=127.0.0.1:7,127.0.0.3:2=127.0.0.1:9,127.0.0.4:3=127.0.0.1:11
command_fails 20 "$as_ctl" -u "$(url operator "nat=$nowhere")" ping -t 2s
expect "$out" \
    'node (.*) of the Cluster: 127.0.0.1:(7|9|11): Connection refused .where nat= in the URL leads for 127.0.0.[234]:[123].'

echo "with the map"
metrics=127.0.0.1:$((port += 1))
grep -q 'define HAVE_LIBMICROHTTPD 1' "$builddir/config.h" && command -v curl >/dev/null || metrics=
start_worker "$(url worker "nat=$map")" --lease-time 3s ${metrics:+--metrics "$metrics"}
create_agents "$(url operator "nat=$map")"
start_caller "$(url client "nat=$map")"
call_all

# What as-ctl and metrics tell is of all nodes.
tell() {
    total=$(($(echo "$ids" | wc -w)))
    "$as_ctl" -u "$(url operator "nat=$map")" agents -t 30s >"$out" 2>&1 || fail "agents" "$out"
    [ "$(grep -cE '(^| )a[0-9]+( |$)' "$out")" -eq "$total" ] || fail "not all agents are listed" "$out"
    wait_until "as-ctl workers tells all partitions" workers_tell
    [ -z "$metrics" ] || wait_until "metrics tell all partitions" metrics_tell
}

workers_tell() {
    "$as_ctl" -u "$(url operator "nat=$map")" workers -t 30s >"$out" 2>&1
    grep -qE "  yes .* $partitions  " "$out"
}

metrics_tell() {
    curl -s -m "$limit_s" "http://$metrics/metrics" >"$out"
    grep -qE "^asqueue_partitions(\{.*\})? $partitions\$" "$out"
}
tell

echo "slots that move, also that of the namespace"
before=$(moved_of "$home")
for slot in $(slots_of_partitions "$home" $partitions | head -n 2) "$(slot_of 'asq:{default}:meta')"; do
    move_slot "$slot" "$home" $((seed % 3 + 1))
done
call_all
[ "$(moved_of "$home")" -gt "$before" ] || fail "node $home has sent nobody away"
tell

echo "connections that are lost"
for n in 1 2 3; do
    cut "$n"
done
before=$(beats)
call_all
heartbeat_goes_on() {
    [ "$(beats)" -gt $((before + 1)) ]
}
wait_until "two heartbeats" heartbeat_goes_on
end_caller
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"
"$as_ctl" -u "$(url operator "nat=$map")" workers -t 30s >"$out" 2>&1 || fail "workers" "$out"
grep -qE "heartbeat's connection: (node|asking)" "$tmp/worker.log" && fail "the heartbeat had no connection" "$tmp/worker.log"

echo "names that nobody resolves"
map=
for n in 1 2 3; do
    node_do "$n" CONFIG SET cluster-announce-hostname "node$n.inner.example"
    map=$map${map:+,}node$n.inner.example:$n=127.0.0.1:$(port_of "$n")
done
nodes_do CONFIG SET cluster-preferred-endpoint-type hostname
names_are_known() {
    for n in 1 2 3; do
        [ "$(node "$n" CLUSTER NODES | grep -c 'inner\.example')" -eq 3 ] || return 1
    done
}
wait_until "the names" names_are_known
start_worker "$(url worker "nat=$map")" ${metrics:+--metrics "$metrics"}
start_caller "$(url client "nat=$map")"
call_all
tell

echo "no names at all: ports at the host that was asked"
end_caller
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"
nodes_do CONFIG SET cluster-preferred-endpoint-type unknown-endpoint
map=
for n in 1 2 3; do
    map=$map${map:+,}127.0.0.1:$n=127.0.0.1:$(port_of "$n")
done
start_worker "$(url worker "nat=$map")"
start_caller "$(url client "nat=$map")"
call_all
for slot in $(slots_of_partitions "$seed" $partitions | head -n 1); do
    move_slot "$slot" "$seed" "$home"
done
call_all
end_caller
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"
nothing_denied

echo "migrate, which has connections of its own to all nodes"
moved="redis+cluster://127.0.0.1:$(port_of "$home")?nat=$map&ns=moved"
"$as_ctl" -u "$(url mover "nat=$map")" migrate --to "$moved" -t 30s >"$out" 2>&1 || fail "migrate" "$out"
"$as_ctl" -u "$moved" agents -t 30s >"$out" 2>&1 || fail "agents" "$out"
[ "$(grep -cE '(^| )a[0-9]+( |$)' "$out")" -eq "$(echo "$ids" | wc -w)" ] || fail "not all agents have moved" "$out"
nothing_denied
echo "all as it must be"
