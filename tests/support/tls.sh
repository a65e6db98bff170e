# shellcheck shell=sh disable=SC2034,SC2154
# tls.sh: to be sourced by shell tests behind support.sh: certificates, and what as-ctl says to servers
# that have them. Sets $server and $cli. Skips the test without TLS.

unset ASQUEUE_URL ASQUEUE_TLS_CA ASQUEUE_TLS_CERT ASQUEUE_TLS_KEY SSL_CERT_FILE SSL_CERT_DIR

grep -q 'define HAVE_TLS 1' "$builddir/config.h" || skip "this build has no TLS"
command -v openssl >/dev/null || skip "no openssl program"
server=$(command -v redis-server || command -v valkey-server) || skip "no redis-server"
cli=$(command -v redis-cli || command -v valkey-cli) || skip "no redis-cli"
out=$tmp/out

# ---- certificates: $tmp/NAME.crt and $tmp/NAME.key ----

serial=0
key() { # NAME
    openssl ecparam -name prime256v1 -genkey -noout -out "$tmp/$1.key" 2>>"$tmp/openssl.log" ||
        fail "openssl" "$tmp/openssl.log"
}

ca() { # NAME
    key "$1"
    openssl req -x509 -new -key "$tmp/$1.key" -days 30 -subj "/CN=$1" -out "$tmp/$1.crt" \
        2>>"$tmp/openssl.log" || fail "openssl" "$tmp/openssl.log"
}

sign() { # NAME CA OPTION...
    signed=$1 by=$2
    shift 2
    openssl x509 -req -in "$tmp/$signed.csr" -CA "$tmp/$by.crt" -CAkey "$tmp/$by.key" \
        -set_serial $((serial += 1)) -out "$tmp/$signed.crt" -extfile "$tmp/$signed.ext" "$@" \
        2>>"$tmp/openssl.log"
}

request() { # NAME COMMON-NAME ALTERNATIVE-NAMES
    key "$1"
    openssl req -new -key "$tmp/$1.key" -subj "/CN=$2" -out "$tmp/$1.csr" 2>>"$tmp/openssl.log"
    printf '%s\n' "${3:+subjectAltName=$3}" >"$tmp/$1.ext"
}

cert() { # NAME CA COMMON-NAME ALTERNATIVE-NAMES
    request "$1" "$3" "$4"
    sign "$1" "$2" -days 30 || fail "openssl" "$tmp/openssl.log"
}

# ---- as-ctl ----

taken() { # URL
    "$as_ctl" -u "$1" ping >"$out" 2>&1 || fail "refused: $1" "$out"
}

refused() { # URL PATTERN... ; waits for $patience
    "$as_ctl" -u "$1" ping -t "${patience:-10s}" >"$out" 2>&1 && fail "taken: $1" "$out"
    shift
    expect "$out" "$@"
    grep -q Success "$out" && fail "a failure is told as success" "$out"
    grep -q 'pw@\|=sentinel-pw' "$out" && fail "a password is shown" "$out"
    return 0
}
