# shellcheck shell=sh disable=SC2034
# support.sh: to be sourced by shell tests. It has a temporary directory ($tmp), processes that end with
# the test, a Redis for the test, waits for conditions, and checks that print the actual value.
#
#     . "${ASQ_TEST_SRCDIR:-.}/tests/support/support.sh"
#
# At its end a test ends only processes that it started, each by its pid.
#
# With ASQ_TEST_ACL=1 (make check-acl) that Redis has the users of contrib/redis-cli/acl: $redis_url
# names the client, $as_worker runs as the worker, $as_ctl as the operator, and look with $look_user
# as the observer. The test's own redis-cli is the default user. A denial to one of the users fails
# the test.
#
# With ASQ_TEST_REDIS=cluster-node (make check-one-slot) that Redis is a node of a Cluster with all
# slots, which refuses each command with keys of two slots.

srcdir=${ASQ_TEST_SRCDIR:-$(cd "$(dirname "$0")/../.." && pwd)}
builddir=${ASQ_TEST_BUILDDIR:-$(pwd)}
as_worker=${AS_WORKER:-$builddir/src/as-worker}
as_ctl=${AS_CTL:-$builddir/src/as-ctl}
as_studio=${AS_STUDIO:-$builddir/src/as-studio} # only built with libmicrohttpd
agent_dir=${ASQ_TEST_AGENT_DIR:-$builddir/contrib/examples/agents}
examples=$builddir/contrib/examples
limit_s=$((120 * ${ASQ_TEST_SLOW:-1}))

umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/asq-test-XXXXXX") || exit 1
out=$tmp/out err=$tmp/err # of `run`
pids=
redis_pid=
LC_ALL=C
export LC_ALL

# Tells whether a process is one of this test. The number of one that has ended may be anybody's by now.
is_ours() { # PID
    [ "$(sed 's/.*) . //; s/ .*//' "/proc/$1/stat" 2>/dev/null)" = $$ ] ||
        grep -qaF -- "$tmp" "/proc/$1/cmdline" 2>/dev/null
}

cleanup() {
    status=$?
    trap - EXIT HUP INT TERM
    [ "$status" -ne 0 ] || no_denial || status=1
    for pid in $pids; do
        is_ours "$pid" && kill -KILL "$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    rm -rf "$tmp"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

skip() { # WHY
    echo "skipped: $*"
    exit 77
}

said_to=1
fail() { # WHAT [FILE...]: fails the test, and prints the ends of the files
    {
        echo "FAILED: $1"
        shift
        for file; do
            [ -e "$file" ] || continue
            echo "---- ${file##*/}"
            tail -n 40 "$file"
        done
    } >&"$said_to"
    exit 1
}

# Waits until the command succeeds; its output goes nowhere, but for that of fail. WHAT names the condition
# in the error.
wait_until() { # WHAT COMMAND...
    what=$1
    shift
    tries=$((limit_s * 20))
    said_to=3
    until "$@" 3>&1 >/dev/null 2>&1; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { said_to=1; fail "not within $limit_s s: $what" "$out" "$err" "$tmp"/*.log; }
        sleep 0.05
    done
    said_to=1
}

# Starts COMMAND in the background; its output goes to $tmp/NAME.log, its pid to $pid.
start() { # NAME COMMAND...
    log=$tmp/$1.log
    shift
    : >"$log" # now: a test that waits for a line must not find one of before
    "$@" >"$log" 2>&1 </dev/null &
    pid=$!
    pids="$pids $pid"
}

# Waits until a worker that was just started logs that it is ready.
wait_ready() { # PID NAME
    tries=$((limit_s * 20))
    until grep -q 'ready: ' "$tmp/$2.log"; do
        running "$1" || fail "$2 does not come up" "$tmp/$2.log"
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$2 is not ready within $limit_s s" "$tmp/$2.log"
        sleep 0.05
    done
}

# Sends SIGTERM, and waits; returns the exit status of the process.
stop() { # PID
    [ "$1" != "$redis_pid" ] || no_denial || exit 1
    is_ours "$1" && kill -TERM "$1" 2>/dev/null
    tries=$((limit_s * 20))
    while is_ours "$1" && running "$1"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "process $1 does not end by SIGTERM" "$tmp"/*.log
        sleep 0.05
    done
    new=
    for other in $pids; do
        [ "$other" = "$1" ] || new="$new $other"
    done
    pids=$new
    wait "$1"
}

running() { # PID: tells whether the process has not ended (a zombie has)
    state=$(sed 's/.*) //; s/ .*//' "/proc/$1/stat" 2>/dev/null)
    [ -n "$state" ] && [ "$state" != Z ] && [ "$state" != X ]
}

# Each test has its own range of 25 ports, above those of the tests in C and below those of outgoing
# connections. Tests that begin together have process ids beside each other.
port=$((20000 + $$ * 25 % 12000))

# Starts a server with TLS on a free port, $port. COMMAND starts it by `start NAME`; DECIDED tells whether
# it has come up or ended.
serve_tls() { # NAME DECIDED COMMAND...
    serving=$1 decided=$2
    shift 2
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((port + 1))
        "$@"
        server_pid=$pid
        wait_until "$serving, or its end" "$decided"
        running "$server_pid" && return
        grep -q 'Address already in use' "$tmp/$serving.log" || break
    done
    grep -q 'Address already in use' "$tmp/$serving.log" && fail "no free port for $serving" "$tmp/$serving.log"
    grep -q -i 'tls' "$tmp/$serving.log" && skip "this redis-server has no TLS"
    fail "$serving does not start" "$tmp/$serving.log"
}

# Runs COMMAND with its output in $out and $err; the exit status must be the expected one.
run() { # STATUS COMMAND...
    expected=$1
    shift
    "$@" >"$out" 2>"$err" </dev/null
    status=$?
    [ "$status" -eq "$expected" ] || fail "exit status $status, not $expected: $*" "$out" "$err" "$tmp"/*.log
}

# ---- ASQ_TEST_ACL ----

acl_password=of-a-test
url_as() { # ROLE TEXT: prints the text, with this role's user in each URL of a client
    printf '%s\n' "$2" | sed "s/user=asq-default-client&/user=asq-default-$1\\&/g"
}

# as_role PROGRAM ROLE: prints the path of a script that runs the program as the user of that role.
as_role() {
    mkdir -p "$tmp/acl"
    cat >"$tmp/acl/${1##*/}" <<-EOF
	#!/bin/sh
	as() {
	    printf '%s\n' "\$1" | sed 's/user=asq-default-client&/user=asq-default-$2\&/g'
	}
	[ -z "\${ASQUEUE_URL-}" ] || ASQUEUE_URL=\$(as "\$ASQUEUE_URL")
	for arg; do
	    shift
	    case \$arg in *user=asq-default-client*) arg=\$(as "\$arg") ;; esac
	    set -- "\$@" "\$arg"
	done
	exec "$1" "\$@"
	EOF
    chmod +x "$tmp/acl/${1##*/}"
    echo "$tmp/acl/${1##*/}"
}

acl_on() {
    [ "${ASQ_TEST_ACL:-0}" != 0 ]
}

# Checks that Redis denied nothing to the users of the rules; prints the denials.
no_denial() {
    acl_on && [ -n "$redis_pid" ] && running "$redis_pid" || return 0
    denied=$(redis-cli -s "$redis_socket" ACL LOG 128 | awk '
        last == "reason" || last == "object" || last == "context" { of[last] = $0 }
        last == "username" && /^asq-/ { print "    " $0 ": " of["reason"] " " of["object"] " (" of["context"] ")" }
        { last = $0 }')
    [ -z "$denied" ] || { printf 'Redis has denied to users of contrib/redis-cli/acl:\n%s\n' "$denied"; return 1; }
}

look_user=
if acl_on; then
    command -v redis-cli >/dev/null || skip "no redis-cli, which ASQ_TEST_ACL needs"
    plain_as_ctl=$as_ctl
    as_worker=$(as_role "$as_worker" worker)
    as_ctl=$(as_role "$as_ctl" operator)
    look_user="--user asq-default-observer --pass $acl_password --no-auth-warning"
fi

# Starts a Redis on a Unix socket: sets $redis_socket, $redis_url, $redis_url_default (which names
# no user) and $redis_pid.
start_redis() {
    server=$(command -v redis-server || command -v valkey-server) || skip "no redis-server"
    redis_socket=$tmp/redis.sock
    redis_url_default=unix:$redis_socket
    redis_url=$redis_url_default
    : >"$tmp/redis.conf"
    case ${ASQ_TEST_REDIS:-} in
    '') one_slot= ;;
    # the bus wants a TCP port: the last one of this test's range
    cluster-node) one_slot="--cluster-enabled yes --cluster-port $((port + 24))" ;;
    *) fail "ASQ_TEST_REDIS=$ASQ_TEST_REDIS: only cluster-node is known" ;;
    esac
    if acl_on; then
        redis_url="$redis_url?user=asq-default-client&password=$acl_password"
        "$plain_as_ctl" acl -n default | sed "s/\$/ on >$acl_password/" >"$tmp/redis.conf"
    fi
    # shellcheck disable=SC2086
    start redis "$server" "$tmp/redis.conf" --port 0 --unixsocket "$redis_socket" --unixsocketperm 700 --save '' \
        --dir "$tmp" $one_slot
    redis_pid=$pid
    wait_until "redis" test -S "$redis_socket"
    [ -z "$one_slot" ] || {
        wait_until "redis" redis-cli -s "$redis_socket" CLUSTER ADDSLOTSRANGE 0 16383
        wait_until "the cluster" sh -c "redis-cli -s '$redis_socket' CLUSTER INFO | grep -q cluster_state:ok"
    }
}

# Starts a Redis as the one that ASQUEUE_URL names.
use_redis() {
    start_redis
    ASQUEUE_URL=$redis_url
    export ASQUEUE_URL
}

# Runs a command of that Redis, as its default user. The answer is in $tmp/redis.out.
redis() {
    redis-cli -s "$redis_socket" "$@" >"$tmp/redis.out" || fail "redis-cli $1"
}

needs_redis_cli() {
    command -v redis-cli >/dev/null || skip "no redis-cli"
}

needs_plugins() {
    [ -d "$agent_dir" ] || skip "no example plugins: $agent_dir"
}

# Starts as-studio on a free port. Sets $base, its URL, and $studio_pid.
start_studio() { # NAME OPTION...
    name=$1
    shift
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        port=$((port + 1))
        start "$name" "$as_studio" --listen "${host:-127.0.0.1}:$port" "$@"
        studio_pid=$pid
        wait_until "as-studio, or its end" studio_decided "$name"
        running "$studio_pid" && break
        grep -q 'another program uses the port' "$tmp/$name.log" || break
    done
    running "$studio_pid" || fail "as-studio does not start" "$tmp/$name.log"
    base=http://127.0.0.1:$port
}

studio_decided() { # NAME
    grep -q 'shows namespace' "$tmp/$1.log" || ! running "$studio_pid"
}

# Makes DIR, and builds the plugin with the class Shell there. Fails without a compiler.
build_shell_plugin() { # DIR
    mkdir "$1" || return 1
    # shellcheck disable=SC2086
    ${CC:-cc} -shared -fPIC ${SAN_CFLAGS-} -I"$srcdir/lib" -o "$1/shell.so" "$srcdir/tests/support/shell_plugin.c"
}

# Prints a line with the pids of all processes that have TEXT in their environment or command line (a
# Redis overwrites its environment, but its command line shows its socket).
processes_with() { # TEXT
    for dir in /proc/[0-9]*; do
        if cat "$dir/environ" "$dir/cmdline" 2>/dev/null | grep -qaF -- "$1"; then
            printf '%s ' "${dir#/proc/}"
        fi
    done
}

no_process_with() { # TEXT
    [ -z "$(processes_with "$1")" ]
}

expect() { # FILE PATTERN...: fails unless a line of the file matches each of the extended regular expressions
    in=$1
    shift
    for wanted; do
        grep -qE -- "$wanted" "$in" || fail "no line like: $wanted" "$in"
    done
}

expect_count() { # FILE PATTERN NUMBER: fails unless so many lines match
    found=$(grep -cE -- "$2" "$1")
    [ "$found" -eq "$3" ] || fail "$found lines instead of $3 are like: $2" "$1"
}
