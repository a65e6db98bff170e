#!/bin/sh
# cluster_tls.sh: rediss+cluster: reaches each node over TLS as the Cluster announces it, by name or by
# address, checks its certificate for that, logs in at each one, and sends nothing to a node with
# another certificate, while calls to the others go on. The behaviour without TLS is in check_cluster.c
# and others, all about certificates in tls.sh, addresses that are not reached in cluster_nat.sh.
#
# By hand: from the build directory, .../tests/integration/cluster_tls.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
. "$srcdir/tests/support/tls.sh"
. "$srcdir/tests/support/cluster.sh"
needs_plugins
patience=3s # of refusals, which a Cluster may be about to end

# ---- Certificates, and nodes that have them --------------------------------------------------------

# The name that all nodes announce is not the host of the URL, for which node 1 alone has a certificate.
ca ca
cert named1 ca named1 DNS:localhost,IP:127.0.0.1
cert named2 ca named2 DNS:localhost
cert named3 ca named3 DNS:localhost
cert evil ca evil DNS:evil.example
cert addressed1 ca addressed1 IP:127.0.0.2,IP:127.0.0.1
cert addressed2 ca addressed2 IP:127.0.0.3
cert addressed3 ca addressed3 IP:127.0.0.4
cert loopback ca loopback IP:127.0.0.1
for n in 1 2 3; do
    cert "inner$n" ca "inner$n" "DNS:node$n.inner.example"
done

configure_node() { # N
    cat <<END
port 0
tls-port $port
tls-cluster yes
tls-replication yes
tls-auth-clients no
tls-cert-file $tmp/named$1.crt
tls-key-file $tmp/named$1.key
tls-ca-cert-file $tmp/ca.crt
cluster-announce-hostname localhost
cluster-preferred-endpoint-type hostname
END
}

show() { # N CERTIFICATE
    node_do "$1" CONFIG SET tls-cert-file "$tmp/$2.crt" tls-key-file "$tmp/$2.key"
}

announce() { # SETTING VALUE ; at each node
    nodes_do CONFIG SET "cluster-$1" "$2"
}

# Tells whether all nodes call NUMBER nodes so.
are_called() { # TEXT NUMBER
    for n in 1 2 3; do
        [ "$(node "$n" CLUSTER SLOTS | grep -cxF -- "$1")" -ge "$2" ] || return 1
    done
}

url() { # ROLE [HOST [PARAMETERS]]
    echo "rediss+cluster://asq-default-$1:pw@${2:-127.0.0.1}:$(port_of 1)?cacert=$tmp/ca.crt${3:+&$3}"
}

start_cluster
wait_until "the names" are_called localhost 3

echo "names that the nodes announce"
start_worker "$(url worker)"
taken "$(url operator)"
taken "$(url operator localhost)"
create_agents "$(url operator)"
start_caller "$(url client)"
call_all
first=$(echo "$ids" | sed 's/ .*//')
"$as_ctl" -u "$(url operator)" get "$first" value -t 30s >"$out" 2>&1 || fail "get" "$out"
expect "$out" '^1$'

echo "the user and the password reach each node"
for n in 1 2 3; do
    node "$n" CLIENT LIST | grep -vF "addr=$tmp" >"$tmp/clients$n"
    for role in worker client; do
        grep -q " user=asq-default-$role " "$tmp/clients$n" || fail "the $role is not logged in at node $n" "$tmp/clients$n"
    done
    grep ' user=default ' "$tmp/clients$n" && fail "somebody at node $n is not logged in" "$tmp/clients$n"
done
nothing_denied
node_do 3 ACL SETUSER asq-default-operator resetpass '>other'
refused "$(url operator)" "node localhost:$(port_of 3) of the Cluster: Redis does not take the user or password"
node_do 3 ACL SETUSER asq-default-operator resetpass '>pw'
taken "$(url operator)"

echo "a slot that moves is followed to another name and port"
before=$(moved_of 2)
for slot in $(slots_of_partitions 2 $partitions | head -n 2); do
    move_slot "$slot" 2 3
done
call_all
[ "$(moved_of 2)" -gt "$before" ] || fail "node 2 has sent nobody away"

echo "a node with a certificate for another name"
home=$(node_with_key 'asq:{default}:meta')
for victim in $((home % 3 + 1)) "$home"; do
    where=localhost:$(port_of "$victim")
    # shellcheck disable=SC2086
    there=$(agents_of "$victim" $ids | head -n 1)
    worker_lines=$(wc -l <"$tmp/worker.log")
    caller_lines=$(wc -l <"$tmp/caller.log")
    show "$victim" evil
    cut "$victim"
    node_do "$victim" CONFIG RESETSTAT
    refusal="node $where of the Cluster: the server's certificate is for evil.example, not for localhost; give that node"
    told() { # NAME LINES
        tail -n +"$(($2 + 1))" "$tmp/$1.log" | grep -F "$refusal"
    }
    wait_until "the worker tells why" told worker "$worker_lines"
    wait_until "the program tells why" told caller "$caller_lines"
    refused "$(url operator)" "$refusal" 'cluster-announce-hostname'
    # Connections that are waited for name it as well.
    "$as_ctl" -u "$(url mover)" migrate --to "$(url mover 127.0.0.1 ns=other)" -t 3s >"$out" 2>&1 &&
        fail "migrate reaches a node with a false certificate" "$out"
    expect "$out" "$refusal"
    say "begin $there 0"
    for id in $ids; do
        # shellcheck disable=SC2086
        agents_of "$victim" $ids | grep -qx "$id" || say "add $id 0"
    done
    others_have_answered() {
        [ "$(tail -n +"$((caller_lines + 1))" "$tmp/caller.log" | grep -c " $calls\$")" -eq "$others" ]
    }
    # shellcheck disable=SC2086
    others=$(($(echo "$ids" | wc -w) - $(agents_of "$victim" $ids | wc -l)))
    wait_until "calls to agents of other nodes" others_have_answered
    node "$victim" INFO commandstats | tr -d '\r' >"$tmp/commands"
    expect "$tmp/commands" '^cmdstat_eval:' # of the test itself
    grep -E '^cmdstat_(auth|hello|ping|client|cluster.shards|xadd|xread|evalsha)' "$tmp/commands" &&
        fail "a node with a false certificate was sent commands" "$tmp/commands"
    show "$victim" "named$victim"
    say wait
    others=$((others + 1))
    wait_until "the call that was kept" others_have_answered
    taken "$(url operator)"
    call_all
done

echo "addresses that the nodes announce"
for n in 1 2 3; do
    show "$n" "addressed$n"
done
announce preferred-endpoint-type ip
for n in 1 2 3; do
    cut "$n"
done
taken "$(url operator)"
taken "$(url operator 127.0.0.2)"
call_all
show 2 addressed3
refused "$(url operator)" "node 127.0.0.3:$(port_of 2) of the Cluster: .* is for 127.0.0.4, not for 127.0.0.3; give"
show 2 addressed2

echo "nodes that announce no name, where the others do"
for n in 1 2; do
    show "$n" "named$n"
done
node_do 3 CONFIG SET cluster-announce-hostname ''
announce preferred-endpoint-type hostname
wait_until "the missing name" are_called '?' 1
taken "$(url operator)"
show 3 named3
refused "$(url operator)" "node 127.0.0.4:$(port_of 3) of the Cluster: .* is for localhost, not for 127.0.0.4; give"

echo "unknown endpoints: the host that was asked"
for n in 1 2 3; do
    show "$n" loopback
done
announce preferred-endpoint-type unknown-endpoint
for n in 1 2 3; do
    cut "$n"
done
taken "$(url operator)"
call_all
for slot in $(slots_of_partitions 3 $partitions | head -n 2); do
    move_slot "$slot" 3 1
done
call_all
show 2 addressed2
refused "$(url operator)" "node 127.0.0.1:$(port_of 2) of the Cluster: .* is for 127.0.0.3, not for 127.0.0.1; give"
show 2 loopback
end_caller
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"

echo "names that are reached elsewhere, with certificates for the names or for where they are reached"
map=
for n in 1 2 3; do
    show "$n" "inner$n"
    node_do "$n" CONFIG SET cluster-announce-hostname "node$n.inner.example" cluster-announce-tls-port "$n"
    map=$map${map:+,}node$n.inner.example:$n=127.0.0.1:$(port_of "$n")
done
announce preferred-endpoint-type hostname
for n in 1 2 3; do
    wait_until "the names" are_called "node$n.inner.example" 1
done
taken "$(url operator 127.0.0.1 "nat=$map")"
refused "$(url operator)" "127.0.0.1:$(port_of 1) .* is for node1.inner.example, not for 127.0.0.1; give"
start_worker "$(url worker 127.0.0.1 "nat=$map")"
start_caller "$(url client 127.0.0.1 "nat=$map")"
call_all
for slot in $(slots_of_partitions 1 $partitions | head -n 2); do
    move_slot "$slot" 1 2
done
call_all
show 2 inner3
refused "$(url operator 127.0.0.1 "nat=$map")" \
    "node 127.0.0.1:$(port_of 2) .* is for node3.inner.example, not for 127.0.0.1 .announced as node2.inner.example.; give"
show 2 loopback
taken "$(url operator 127.0.0.1 "nat=$map")"
end_caller
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"
nothing_denied
# Command lines show what they were started with; logs must not.
grep ':pw@' "$tmp/worker.log" "$tmp/caller.log" && fail "a log has a password" "$tmp/worker.log" "$tmp/caller.log"
echo "all as it must be"
