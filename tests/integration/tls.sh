#!/bin/sh
# tls.sh: rediss: accepts the right servers, and refuses others with an error. The test makes
# certificates, and a Redis with TLS for each; as-ctl is the client, and a worker's certificates are
# renewed while it runs.
#
# By hand: from the build directory, .../tests/integration/tls.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
. "$srcdir/tests/support/tls.sh"

# ---- Certificates ----------------------------------------------------------------------------------

# Makes an expired certificate. OpenSSL before 3.4 takes no dates, later ones no negative days.
old_cert() { # NAME CA COMMON-NAME ALTERNATIVE-NAMES
    request "$1" "$3" "$4"
    sign "$1" "$2" -not_before 20200101000000Z -not_after 20200201000000Z ||
        sign "$1" "$2" -days -1 || fail "openssl" "$tmp/openssl.log"
}

ca ca
ca other_ca
cert good ca localhost DNS:localhost,IP:127.0.0.1,IP:::1
cert evil ca evil.example DNS:evil.example,IP:192.0.2.7
cert of_other other_ca localhost DNS:localhost,IP:127.0.0.1
old_cert expired ca localhost DNS:localhost,IP:127.0.0.1
cert name_only ca 127.0.0.1 DNS:127.0.0.1
cert common_only ca localhost ''
cert wildcard ca wildcard 'DNS:*.redis.example'
cert partial ca partial 'DNS:redis*.example,DNS:local*'
cert client ca client DNS:client
cert other_client other_ca client DNS:client
old_cert expired_client ca client DNS:client
cat "$tmp/client.key" "$tmp/client.crt" >"$tmp/client.both"
openssl ec -aes128 -passout pass:x -in "$tmp/client.key" -out "$tmp/client.locked" 2>>"$tmp/openssl.log"
mkdir "$tmp/ca_dir"
cp "$tmp/ca.crt" "$tmp/ca_dir/$(openssl x509 -hash -noout -in "$tmp/ca.crt").0"
echo "no certificate" >"$tmp/garbage"

# ---- Servers ---------------------------------------------------------------------------------------

# Starts a Redis with TLS on $port. The options replace the usual ones.
serve() { # CERTIFICATE [OPTION...]
    serve_tls "redis_$1" redis_decided start_redis_with_tls "$@"
    redis_pid=$server_pid
}

start_redis_with_tls() { # CERTIFICATE [OPTION...]
    name=$1
    shift
    start "redis_$name" "$server" --port 0 --tls-port "$port" --bind 127.0.0.1 --dir "$tmp" --save '' \
        --unixsocket "$tmp/redis.sock" --tls-cert-file "$tmp/$name.crt" --tls-key-file "$tmp/$name.key" \
        --tls-ca-cert-file "$tmp/ca.crt" --tls-auth-clients no --requirepass pw "$@"
}

redis_decided() {
    ! running "$server_pid" || "$cli" -s "$tmp/redis.sock" -a pw --no-auth-warning ping 2>/dev/null | grep -q PONG
}

end_server() {
    stop "$redis_pid"
    rm -f "$tmp/redis.sock"
}

url() { # HOST [PARAMETERS]
    echo "rediss://:pw@$1:$port?cacert=$tmp/ca.crt${2:+&$2}"
}

# ---- The server's certificate ----------------------------------------------------------------------

serve good
taken "$(url localhost)"
taken "$(url 127.0.0.1)"
taken "rediss://:pw@localhost:$port?cacert=$tmp/ca_dir"
ASQUEUE_TLS_CA=$tmp/ca.crt taken "rediss://:pw@localhost:$port"
SSL_CERT_FILE=$tmp/ca.crt taken "rediss://:pw@localhost:$port"
refused "rediss://:pw@localhost:$port" 'from a CA that is not trusted here .*cacert='
ASQUEUE_TLS_CA='' refused "rediss://:pw@localhost:$port" 'CA that is not trusted'
ASQUEUE_TLS_CA=$tmp/none refused "rediss://:pw@localhost:$port" "cannot read CA file $tmp/none: No such file"
ASQUEUE_TLS_CA=$tmp/none taken "$(url localhost)" # the URL names another file
refused "rediss://:pw@localhost:$port?cacert=$tmp/garbage" "CA file $tmp/garbage: "
refused "rediss://:pw@localhost:$port?cacert=$tmp/other_ca.crt" 'CA that is not trusted'
refused "$(url localhost sni=elsewhere.example)" 'certificate is for localhost, 127.0.0.1, ::1, not for elsewhere.example'
taken "rediss://:pw@localhost:$port?verify=no"
"$as_ctl" -u "rediss://:pw@localhost:$port?verify=maybe" ping >"$out" 2>&1 && fail "verify=maybe" "$out"
expect "$out" "verify is 'maybe'; known: full"
"$as_ctl" -u "redis://:pw@localhost:$port" ping >"$out" 2>&1 && fail "redis: to a port with TLS" "$out"
refused "rediss://:wrong@localhost:$port?cacert=$tmp/ca.crt" 'Redis does not take the user or password: WRONGPASS'
end_server

serve of_other
refused "$(url localhost)" 'CA that is not trusted'
refused "$(url localhost verify=ca)" 'CA that is not trusted'
taken "$(url localhost verify=no)"
end_server
serve expired
refused "$(url localhost)" 'certificate has expired'
refused "$(url localhost verify=ca)" 'certificate has expired'
end_server
serve evil
refused "$(url localhost)" 'certificate is for evil.example, 192.0.2.7, not for localhost'
refused "$(url 127.0.0.1)" 'certificate is for evil.example, 192.0.2.7, not for 127.0.0.1'
taken "$(url localhost verify=ca)"
taken "$(url localhost sni=evil.example)"
taken "$(url 127.0.0.1 sni=evil.example)"
end_server
serve name_only
refused "$(url 127.0.0.1)" 'certificate is for .*not for 127.0.0.1'
end_server
serve wildcard
taken "$(url localhost sni=one.redis.example)"
refused "$(url localhost sni=redis.example)" 'certificate is for \*.redis.example, not for redis.example'
refused "$(url localhost sni=a.one.redis.example)" 'certificate is for'
refused "$(url localhost)" 'certificate is for'
end_server
serve partial
refused "$(url localhost)" 'certificate is for'
refused "$(url localhost sni=redis1.example)" 'certificate is for'
end_server
serve common_only
taken "$(url localhost)" # without alternative names the common name counts
end_server

# ---- The client's certificate ----------------------------------------------------------------------

serve good --tls-auth-clients yes
mine="cert=$tmp/client.crt&key=$tmp/client.key"
refused "$(url localhost)" 'client certificate.*cert= and key='
taken "$(url localhost "$mine")"
taken "$(url localhost "cert=$tmp/client.both")"
ASQUEUE_TLS_CERT=$tmp/client.crt ASQUEUE_TLS_KEY=$tmp/client.key taken "$(url localhost)"
refused "$(url localhost "cert=$tmp/other_client.crt&key=$tmp/other_client.key")" \
    "the client certificate $tmp/other_client.crt"
refused "$(url localhost "cert=$tmp/expired_client.crt&key=$tmp/expired_client.key")" \
    "the client certificate $tmp/expired_client.crt"
refused "$(url localhost "cert=$tmp/client.crt&key=$tmp/good.key")" \
    "the key $tmp/good.key does not match the certificate $tmp/client.crt"
refused "$(url localhost "cert=$tmp/client.crt")" "no key for the certificate $tmp/client.crt"
refused "$(url localhost "key=$tmp/client.key")" 'but no certificate'
refused "$(url localhost "cert=$tmp/none&key=$tmp/client.key")" "cannot read certificate file $tmp/none: No such file"
refused "$(url localhost "cert=$tmp/client.crt&key=$tmp/none")" "cannot read key file $tmp/none: No such file"
refused "$(url localhost "cert=$tmp/client.crt&key=$tmp/garbage")" "$tmp/garbage"
refused "$(url localhost "cert=$tmp/client.crt&key=$tmp/client.locked")" 'is encrypted'

# ---- Renewed while a worker runs -------------------------------------------------------------------

cp "$tmp/client.crt" "$tmp/renewed.crt"
cp "$tmp/client.key" "$tmp/renewed.key"
worker_url=$(url localhost "cert=$tmp/renewed.crt&key=$tmp/renewed.key")
start worker "$as_worker" --redis-url "$worker_url" --agent-dir "$agent_dir" --lease-time 2s
worker_pid=$pid
wait_ready "$worker_pid" worker

reconnected() { # TIMES
    [ "$(grep -c 'connected to Redis again' "$tmp/worker.log")" -ge "$1" ]
}
drop() {
    "$cli" -s "$tmp/redis.sock" -a pw --no-auth-warning client kill type normal skipme yes >/dev/null
}
drop
wait_until "the worker is back" reconnected 1
# A certificate of another CA, or none, is refused; the worker waits, logs the reason, and goes on
# when the files are right again.
cp "$tmp/other_client.key" "$tmp/renewed.key"
cp "$tmp/other_client.crt" "$tmp/renewed.crt"
drop
wait_until "the refusal is told" grep -q "client certificate $tmp/renewed.crt" "$tmp/worker.log"
rm "$tmp/renewed.key"
wait_until "the missing key is told" grep -q "cannot read key file" "$tmp/worker.log"
cert client2 ca client2 DNS:client2
cp "$tmp/client2.key" "$tmp/renewed.key"
cp "$tmp/client2.crt" "$tmp/renewed.crt"
wait_until "the worker is back" reconnected 2
"$as_ctl" -u "$worker_url" create Counter '{"start": 40}' --id tally -t 30s >"$out" 2>&1 || fail "create" "$out" "$tmp/worker.log"
"$as_ctl" -u "$worker_url" call tally add '[2]' -t 30s >"$out" 2>&1 || fail "call" "$out" "$tmp/worker.log"
expect "$out" '^42$'
stop "$worker_pid" || fail "the worker did not end in order" "$tmp/worker.log"
end_server

# ---- What a wrong server hears ----------------------------------------------------------------------

mkfifo "$tmp/quiet"
exec 9<>"$tmp/quiet" # openssl ends with its standard input
# Starts a server that answers one handshake, and logs the bytes that it gets.
listen() { # CERTIFICATE
    port=$((port + 1))
    # shellcheck disable=SC2016
    start "listener_$1" sh -c 'exec openssl s_server -accept "127.0.0.1:$1" -cert "$2.crt" -key "$2.key" -naccept 1 <"$3"' \
        listener "$port" "$tmp/$1" "$tmp/quiet"
    wait_until "openssl s_server" grep -q ACCEPT "$tmp/listener_$1.log"
}
for name in evil of_other expired; do
    listen "$name"
    refused "$(url localhost)" 'certificate'
    if grep -aE 'AUTH|HELLO|PING|pw' "$tmp/listener_$name.log"; then
        fail "a server with a wrong certificate has heard commands" "$tmp/listener_$name.log"
    fi
done
listen good # the right server hears the password first
"$as_ctl" -u "$(url localhost)" ping -t 2s >"$out" 2>&1 && fail "openssl s_server answers as Redis" "$out"
expect "$tmp/listener_good.log" 'AUTH|HELLO'

# A client sends a host name with its first bytes (SNI), but no address.
sni() { # URL
    port=$((port + 1))
    # shellcheck disable=SC2016
    start "sni_$port" sh -c 'exec openssl s_server -accept "127.0.0.1:$1" -cert "$2.crt" -key "$2.key" \
        -tlsextdebug -naccept 1 <"$3"' listener "$port" "$tmp/good" "$tmp/quiet"
    wait_until "openssl s_server" grep -q ACCEPT "$tmp/sni_$port.log"
    "$as_ctl" -u "$(url "$@")" ping -t 2s >"$out" 2>&1 && fail "openssl s_server answers as Redis" "$out"
    grep -q 'TLS client extension' "$tmp/sni_$port.log" || fail "no extensions shown" "$tmp/sni_$port.log"
    grep -a -A3 'server name' "$tmp/sni_$port.log" >"$tmp/sni"
}
sni localhost
expect "$tmp/sni" 'localhost'
sni localhost sni=other.example
expect "$tmp/sni" 'other\.examp' # the dump has 16 bytes a line
sni 127.0.0.1
[ -s "$tmp/sni" ] && fail "an address goes along as a name" "$tmp/sni"

# ---- A server without TLS --------------------------------------------------------------------------

serve good --tls-port 0 --port $((port + 1))
refused "$(url localhost)" 'speak TLS at this port'
end_server
echo "all as it must be"
