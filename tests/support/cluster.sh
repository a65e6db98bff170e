# shellcheck shell=sh disable=SC2034,SC2154
# cluster.sh: to be sourced by shell tests behind support.sh: a Redis Cluster of three masters. Node N
# serves clients at $port_N of 127.0.0.1 and of 127.0.0.(N + 1), which it announces,
# and at the Unix socket $tmp/node_N.sock the test's own redis-cli, as the
# default user, which needs no password. The other users are those of `as-ctl acl`, with the password
# pw. Each node takes an hour to see that another one fails. Skips the test before Redis 7.0.

server=$(command -v redis-server || command -v valkey-server) || skip "no redis-server"
cli=$(command -v redis-cli || command -v valkey-cli) || skip "no redis-cli"
major=$("$server" --version | sed -n 's/.* v=\([0-9]*\)\..*/\1/p')
[ "${major:-0}" -ge 7 ] || skip "a Cluster needs Redis 7.0 or newer"

# Runs a command of a node.
node() { # N COMMAND...
    of=$1
    shift
    "$cli" -s "$tmp/node_$of.sock" "$@"
}

# Runs a command of a node that must not fail.
node_do() { # N COMMAND...
    node "$@" >"$tmp/node.out" 2>&1 || fail "node $*" "$tmp/node.out"
    grep -qE '^(ERR|[A-Z]+ )' "$tmp/node.out" && fail "node $*" "$tmp/node.out"
    return 0
}

nodes_do() { # COMMAND... ; at each node
    for at in 1 2 3; do
        node_do "$at" "$@"
    done
}

port_of() { # N: prints where node N serves clients
    eval echo "\$port_$1"
}

id_of() { # N
    node "$1" CLUSTER MYID
}

# Starts node N on free ports, with the lines that configure_node prints; it reads $port.
start_node() { # N
    serve_tls "node_$1" node_decided run_node "$1"
    eval "port_$1=$port pid_$1=$server_pid"
    port=$((port + 1)) # of the bus
}

run_node() { # N
    {
        cat <<END
bind 127.0.0.1 127.0.0.$(($1 + 1))
dir $tmp
logfile ""
save ""
unixsocket $tmp/node_$1.sock
cluster-enabled yes
cluster-config-file node_$1.nodes
cluster-node-timeout 3600000
cluster-require-full-coverage no
cluster-port $((port + 1))
cluster-announce-ip 127.0.0.$(($1 + 1))
END
        configure_node "$1"
        cat "$tmp/users"
    } >"$tmp/node_$1.conf"
    rm -f "$tmp/node_$1.sock" "$tmp/node_$1.nodes"
    of_node=$1
    start "node_$1" "$server" "$tmp/node_$1.conf"
}

node_decided() {
    ! running "$server_pid" || node "$of_node" PING | grep -q PONG
}

# Starts the nodes, with a third of the slots each.
start_cluster() {
    "$as_ctl" acl -n default >"$tmp/rules" || fail "as-ctl acl" "$tmp/rules"
    sed 's/$/ on >pw/' "$tmp/rules" >"$tmp/users"
    for n in 1 2 3; do
        start_node "$n"
    done
    node_do 1 CLUSTER ADDSLOTSRANGE 0 5460
    node_do 2 CLUSTER ADDSLOTSRANGE 5461 10922
    node_do 3 CLUSTER ADDSLOTSRANGE 10923 16383
    for n in 2 3; do
        # shellcheck disable=SC2154 # set by start_node
        node_do "$n" CLUSTER MEET 127.0.0.1 "$port_1" $((port_1 + 1))
    done
    wait_until "the Cluster" cluster_is_ready
}

cluster_is_ready() {
    for n in 1 2 3; do
        node "$n" CLUSTER INFO | tr -d '\r' >"$tmp/info"
        grep -q '^cluster_state:ok$' "$tmp/info" && grep -q '^cluster_slots_ok:16384$' "$tmp/info" &&
            grep -q '^cluster_known_nodes:3$' "$tmp/info" || return 1
    done
}

# Print the node that has a slot, or a key, as it says itself.
node_with_slot() { # SLOT
    for n in 1 2 3; do
        node "$n" CLUSTER NODES | grep 'myself' | tr ' ' '\n' | sed -n '9,$p' |
            awk -F- -v slot="$1" '$1 + 0 <= slot && slot <= ($2 == "" ? $1 : $2) + 0 { found = 1 } END { exit !found }' &&
            echo "$n" && return
    done
    fail "nobody has slot $1"
}

slot_of() { # KEY
    node 1 CLUSTER KEYSLOT "$1"
}

node_with_key() { # KEY
    node_with_slot "$(slot_of "$1")"
}

# Moves a slot with its keys, as redis-cli --cluster reshard does.
move_slot() { # SLOT FROM TO
    slot=$1 from=$2 to=$3
    node_do "$to" CLUSTER SETSLOT "$slot" IMPORTING "$(id_of "$from")"
    node_do "$from" CLUSTER SETSLOT "$slot" MIGRATING "$(id_of "$to")"
    while :; do
        keys=$(node "$from" CLUSTER GETKEYSINSLOT "$slot" 100)
        [ -n "$keys" ] || break
        # shellcheck disable=SC2086 # keys are words, without bytes that the shell knows
        (set -f && node_do "$from" MIGRATE 127.0.0.1 "$(port_of "$to")" '' 0 5000 KEYS $keys) || exit 1
    done
    for one in "$to" "$from" $((6 - from - to)); do
        node_do "$one" CLUSTER SETSLOT "$slot" NODE "$(id_of "$to")"
    done
}

# Prints the slots of the partitions from 0 to NUMBER - 1 that a node has.
slots_of_partitions() { # N NUMBER
    p=0
    while [ "$p" -lt "$2" ]; do
        s=$(slot_of "asq:{default.$p}:jobs")
        [ "$(node_with_slot "$s")" -ne "$1" ] || echo "$s"
        p=$((p + 1))
    done
}

# Prints how often a node has refused a command because the slot is elsewhere.
moved_of() { # N
    node "$1" INFO errorstats | tr -d '\r' | sed -n 's/^errorstat_MOVED:count=//p' | grep . || echo 0
}

# Prints the ids among the arguments whose agent is kept by a node.
agents_of() { # N ID...
    on=$1
    shift
    for id; do
        [ "$(node "$on" EVAL "for _, k in ipairs(redis.call('KEYS', 'asq:{default.*}:agents')) do
            if redis.call('HEXISTS', k, ARGV[1]) == 1 then return 1 end end return 0" 0 "$id")" != 1 ] || echo "$id"
    done
}

# ---- a deployment on it: a worker, and a program with agents on all nodes ----

partitions=12
ids='a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23 a24'
calls=0 # of each agent

start_worker() { # URL [OPTION...]
    url=$1
    shift
    start worker "$as_worker" --redis-url "$url" --agent-dir "$agent_dir" --partitions $partitions "$@"
    worker_pid=$pid
    wait_ready "$worker_pid" worker
}

# Starts the program line_caller; `say` writes its input.
start_caller() { # URL
    rm -f "$tmp/lines"
    mkfifo "$tmp/lines"
    # shellcheck disable=SC2016
    start caller sh -c 'exec "$1" "$2" <"$3"' caller "$builddir/tests/support/line_caller" "$1" "$tmp/lines"
    caller_pid=$pid
    exec 4>"$tmp/lines"
    wait_until "the program" grep -q '^open$' "$tmp/caller.log"
}

say() { # LINE...
    for line; do
        echo "$line" >&4
    done
}

end_caller() {
    exec 4>&-
    wait_until "the end of the program" caller_has_ended
    stop "$caller_pid" || fail "the program did not end in order" "$tmp/caller.log"
}

caller_has_ended() {
    ! running "$caller_pid"
}

create_agents() { # URL
    for id in $ids; do
        "$as_ctl" -u "$1" create Counter --id "$id" -t 30s >"$out" 2>&1 || fail "create" "$out" "$tmp/worker.log"
    done
    for n in 1 2 3; do
        # shellcheck disable=SC2086
        [ -n "$(agents_of "$n" $ids)" ] || fail "node $n has no agent"
    done
}

# The program calls each agent once: each must have the effects of all calls before, and none twice.
call_all() {
    calls=$((calls + 1))
    for id in $ids; do
        say "add $id 1"
    done
    wait_until "call $calls of each agent" all_have_answered
}

all_have_answered() {
    grep ' failed: ' "$tmp/caller.log" && fail "a call has failed" "$tmp/caller.log" "$tmp/worker.log"
    [ "$(grep -c " $calls\$" "$tmp/caller.log")" -eq "$(echo "$ids" | wc -w)" ]
}

# Fails if a node has denied one of the users a command, a key or a channel.
nothing_denied() {
    for n in 1 2 3; do
        node "$n" ACL LOG >"$tmp/denied"
        grep -qxE 'command|key|channel' "$tmp/denied" && fail "node $n has denied something" "$tmp/denied"
    done
    return 0
}

# Prints the number of heartbeats of the only worker process.
beats() {
    node "$(node_with_key 'asq:{default}:meta')" EVAL "local id = redis.call('SMEMBERS', 'asq:{default}:workers')[1]
        return redis.call('HGET', 'asq:{default}:worker:' .. id, 'beat')" 0
}

# Has the clients of a node connect again, also those that hear pushes.
cut() { # N
    node_do "$1" CLIENT KILL TYPE normal SKIPME yes
    node_do "$1" CLIENT KILL TYPE pubsub
}
