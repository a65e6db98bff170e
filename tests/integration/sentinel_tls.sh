#!/bin/sh
# sentinel_tls.sh: rediss+sentinel: checks the certificates of the Sentinels and of the master, each
# for the host by which it is called, and sends passwords to nobody else. The behaviour without TLS is
# in check_sentinel.c, all about certificates in tls.sh.
#
# By hand: from the build directory, .../tests/integration/sentinel_tls.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
. "$srcdir/tests/support/tls.sh"

# ---- Certificates ----------------------------------------------------------------------------------

ca ca
cert good ca good IP:127.0.0.1,DNS:localhost
cert evil ca evil DNS:evil.example

# ---- A master and its Sentinels --------------------------------------------------------------------

# Starts a server with TLS on $port.
serve() { # NAME CERTIFICATE CONFIGURATION-FILE [OPTION...]
    cp "$3" "$tmp/$1.base"
    serve_tls "$1" decided start_with_tls "$@"
}

start_with_tls() { # NAME CERTIFICATE CONFIGURATION-FILE [OPTION...]
    name=$1 certificate=$2
    shift 3
    cp "$tmp/$name.base" "$tmp/$name.conf"
    cat >>"$tmp/$name.conf" <<END
port 0
tls-port $port
bind 127.0.0.1 127.0.0.2
dir $tmp
logfile ""
tls-cert-file $tmp/$certificate.crt
tls-key-file $tmp/$certificate.key
tls-ca-cert-file $tmp/ca.crt
tls-auth-clients no
tls-replication yes
END
    start "$name" "$server" "$tmp/$name.conf" "$@"
}

decided() {
    ! running "$server_pid" ||
        "$cli" --tls --cacert "$tmp/ca.crt" --insecure -p "$port" ping 2>/dev/null | grep -qE 'PONG|NOAUTH'
}

printf 'requirepass pw\nsave ""\n' >"$tmp/of_master"
serve master good "$tmp/of_master"
master_port=$port
sentinel() { # NAME CERTIFICATE MASTER-HOST
    cat >"$tmp/of_sentinel" <<END
sentinel monitor m $3 $master_port 1
sentinel auth-pass m pw
requirepass sentinel-pw
END
    serve "$1" "$2" "$tmp/of_sentinel" --sentinel
}
sentinel here good 127.0.0.1
here_port=$port
sentinel elsewhere good 127.0.0.2
elsewhere_port=$port
sentinel false evil 127.0.0.1
false_port=$port

url() { # PORT... ; of Sentinels
    hosts=
    for one; do
        hosts=$hosts${hosts:+,}127.0.0.1:$one
    done
    echo "rediss+sentinel://:pw@$hosts/m?sentinel-password=sentinel-pw&cacert=$tmp/ca.crt"
}

taken "$(url "$here_port")"
# The Sentinel's own certificate; another one is asked then.
refused "$(url "$false_port")" "127.0.0.1:$false_port: .*certificate is for evil.example, not for 127.0.0.1"
taken "$(url "$false_port" "$here_port")"
# The master's certificate is for 127.0.0.1, and this Sentinel calls it by another address.
refused "$(url "$elsewhere_port")" 'certificate is for .*127.0.0.1.*, not for 127.0.0.2'
taken "$(url "$elsewhere_port")&verify=ca"
# The CA counts for both.
refused "rediss+sentinel://:pw@127.0.0.1:$here_port/m?sentinel-password=sentinel-pw" 'CA that is not trusted'
refused "redis+sentinel://:pw@127.0.0.1:$here_port/m?sentinel-password=sentinel-pw" "127.0.0.1:$here_port"
refused "$(url "$here_port" | sed 's/sentinel-password=sentinel-pw/sentinel-password=x/')" 'sentinel-user or its password'
# A worker and its heartbeat.
start worker "$as_worker" --redis-url "$(url "$here_port")" --agent-dir "$agent_dir"
worker_pid=$pid
wait_ready "$worker_pid" worker
"$as_ctl" -u "$(url "$here_port")" create Counter '{"start": 40}' --id tally -t 30s >"$out" 2>&1 ||
    fail "create" "$out" "$tmp/worker.log"
"$as_ctl" -u "$(url "$here_port")" call tally add '[2]' -t 30s >"$out" 2>&1 || fail "call" "$out" "$tmp/worker.log"
expect "$out" '^42$'
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"
# Its command line shows what it was started with, as with redis://; its log must not.
grep -q 'pw@\|sentinel-pw' "$tmp/worker.log" && fail "the log has a password" "$tmp/worker.log"
exit 0
