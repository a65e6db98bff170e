#!/bin/sh
# examples.sh: each example works as described, with a private Redis (child mode) and with workers
# that were started elsewhere (independent mode), from the same program text, and leaves nothing
# behind.
#
# By hand: from the build directory, .../tests/integration/examples.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || skip "no redis-server"
unset ASQUEUE_URL

mkdir "$tmp/child"

# Runs an example in child mode, with its output in $tmp/out. It must leave no process and no file.
child() { # EXPECTED-STATUS COMMAND...
    expected=$1
    shift
    env TMPDIR="$tmp/child" "$@" >"$tmp/out" 2>&1 </dev/null
    status=$?
    [ "$status" -eq "$expected" ] || fail "exit status $status, not $expected: $*" "$tmp/out"
    nothing_left "$*"
}

nothing_left() { # OF-WHAT
    wait_until "the end of all processes of: $1" no_process_with "$tmp/child"
    left=$(ls -A "$tmp/child")
    [ -z "$left" ] || fail "$1 left behind: $left"
}

# Tells whether a Redis of child mode runs. Starts few programs, because the machine may be busy.
has_redis() {
    for dir_ in /proc/[0-9]*; do
        read -r comm_ 2>/dev/null <"$dir_/comm" || continue
        case $comm_ in
        redis-server | valkey-server)
            case $(readlink "$dir_/cwd") in "$tmp/child"/*) return 0 ;; esac
            ;;
        esac
    done
    return 1
}

# Runs an example in independent mode.
independent() { # EXPECTED-STATUS COMMAND...
    expected=$1
    shift
    "$@" >"$tmp/out" 2>&1 </dev/null
    status=$?
    [ "$status" -eq "$expected" ] ||
        fail "exit status $status, not $expected: $*" "$tmp/out" "$tmp"/*.log
}

# ---- What each must print --------------------------------------------------------------------

check_dist_main() {
    expect_count "$tmp/out" '"what is new\?"' 10
    for name in Ada Ben Cleo Dan Eva; do
        expect_count "$tmp/out" "^  $name " 2
    done
    expect "$tmp/out" '^without distribution'
    expect "$tmp/out" '^with distribution'
    expect_count "$tmp/out" 'start-up [0-9]+ ms, 5 answers in [0-9.]+ s' 2
}

# Locally, five sleeps are made one after the other; with distribution, at the same time.
is_faster() {
    sed -n 's/.* 5 answers in \(.*\) s/\1/p' "$tmp/out" | {
        read -r local_s
        read -r dist_s
        awk "BEGIN { exit !($local_s >= 5 * 0.5 && $dist_s >= 0.5 && $dist_s < $local_s) }"
    }
}

# Runs dist_main, and again when it was not faster: the machine may have stood still.
dist_main() { # COMMAND...
    for _ in 1 2 3 4 5; do
        "$@"
        check_dist_main
        is_faster && return
    done
    fail "not faster with distribution" "$tmp/out"
}

check_rpc_example() {
    cat >"$tmp/expected" <<'END'
deposit 100, deposit 50: balance 150
forecast: 201.59 in ten years
statement: Ada has 150 from 2 entries
attribute owner: Grace
END
    head -n 4 "$tmp/out" | cmp -s - "$tmp/expected" || fail "other figures" "$tmp/out" "$tmp/expected"
    expect "$tmp/out" '^attribute balance: refused: .*balance'
    expect "$tmp/out" '^withdraw 1000: error -1001 from Ledger\.withdraw: .*1000 wanted, 150 there'
    expect "$tmp/out" '^_forge: refused: .*_forge'
}

check_booking() {
    expect "$tmp/out" '^Ada: booked: .*"payment":"payment for Ada"'
    expect "$tmp/out" '^Ben: cancelled: .*"by":"hotel"'
    expect "$tmp/out" '^flight: book Ada book Ben cancel Ben$'
    expect "$tmp/out" '^hotel: book Ada$'
    expect "$tmp/out" '^payment: book Ada$'
}

check_guess_two_thirds() { # N
    expect "$tmp/out" "^$1 agents created in [0-9.]+ s\$"
    expect_count "$tmp/out" "^round [12]: $1 guesses in [0-9.]+ s, average [0-9.]+, two thirds of it" 2
    # Each guess is in the histogram. People learn, so the second round's average is lower.
    sed -n '/^round 1/,/^round 2/p' "$tmp/out" |
        awk -v n="$1" '$2 == "to" { sum += $4 } END { exit sum != n }' ||
        fail "the histogram does not have $1 guesses" "$tmp/out"
    awk '/^round/ { sub(",", "", $9); a[++k] = $9 + 0 } END { exit !(k == 2 && a[2] < a[1] && a[2] > 0) }' \
        "$tmp/out" || fail "the average does not fall" "$tmp/out"
}

make_pages() {
    mkdir "$tmp/www"
    cat >"$tmp/www/streams.html" <<'END'
<!DOCTYPE html><html><head><title>Streams</title><style>p { color: needle }</style>
<script>var needle = "in a script";</script></head><body>
<h1>Streams</h1><p>A stream is an append-only log; an entry of it is a
<b>needle</b> in a haystack &amp; found by its id.</p>
<!-- a needle in a comment --><p>Nothing here.</p></body></html>
END
    echo '<p>The slow page has a Needle too.' >"$tmp/www/slow.html"
    printf 'plain text, no match\nand more\n' >"$tmp/www/notes.txt"
    printf '\211PNG\r\n\032\nneedle' >"$tmp/www/image.png"
    start http_server "$builddir/tests/support/http_server" "$tmp/www"
    wait_until "the web server" test -s "$tmp/http_server.log"
    web=http://127.0.0.1:$(cat "$tmp/http_server.log")
    pages="$web/streams.html $web/slow.html?delay_ms=700 $web/notes.txt $web/missing.html
        $web/image.png $web/streams.html?stall $web/big.txt?endless $web/x?redirect
        $web/y?redirect=/slow.html http://127.0.0.1:1/ file:///etc/passwd"
}

check_web_search() {
    expect "$tmp/out" '^    A stream is an append-only log; an entry of it is a needle in a haystack & found'
    expect_count "$tmp/out" '^    The slow page has a Needle too\.$' 2 # delayed, and redirected to
    expect_count "$tmp/out" '^    .*[Nn]eedle' 3 # none in a script, style or comment
    expect "$tmp/out" 'web_search: .*missing\.html.*404'
    expect "$tmp/out" 'web_search: .*image\.png.*image/png, not text'
    expect "$tmp/out" 'web_search: .*stall'
    expect "$tmp/out" 'web_search: .*endless.*larger than'
    expect "$tmp/out" 'web_search: .*x\?redirect'
    expect "$tmp/out" 'web_search: .*127\.0\.0\.1:1/'
    expect "$tmp/out" 'web_search: .*file:.*neither http: nor https:'
    expect "$tmp/out" '^3 passages from 4 pages, 7 pages failed$'
}

# ---- Child mode ------------------------------------------------------------------------------

ASQ_EXAMPLE_SLEEP_MS=500
export ASQ_EXAMPLE_SLEEP_MS

echo "dist_main, child mode"
dist_main child 0 "$examples/dist_main"

echo "rpc_example, child mode and local:"
child 0 "$examples/rpc_example"
check_rpc_example
child 0 "$examples/rpc_example" local:
check_rpc_example

echo "booking, child mode and local:"
child 0 "$examples/booking"
check_booking
child 0 "$examples/booking" local:
check_booking

echo "guess_two_thirds, child mode and local:"
child 0 "$examples/guess_two_thirds" -r 2
check_guess_two_thirds 1000
child 0 "$examples/guess_two_thirds" -n 200 -r 2 --think 300
check_guess_two_thirds 200
child 0 "$examples/guess_two_thirds" -n 100 -r 2 local:
check_guess_two_thirds 100
child 2 "$examples/guess_two_thirds" -n 0

if [ -x "$examples/web_search" ]; then
    make_pages
    echo "web_search, child mode"
    # shellcheck disable=SC2086
    child 0 "$examples/web_search" -t 15000 needle $pages
    check_web_search
    child 1 "$examples/web_search" nonesuch "$web/notes.txt"

    echo "web_search, child mode, killed while it waits"
    start killed env TMPDIR="$tmp/child" "$examples/web_search" needle \
        "$web/slow.html?delay_ms=14000"
    killed=$pid
    wait_until "its private Redis" has_redis
    kill -KILL "$killed"
    wait "$killed" 2>/dev/null
    nothing_left "web_search, killed"
fi

# ---- Independent mode ------------------------------------------------------------------------

echo "dist_server and all of them, independent mode"
start_redis
start dist_server "$examples/dist_server" --id one --processes 2 "$(url_as worker "$redis_url")"
server=$pid
wait_ready "$server" dist_server
dist_main independent 0 "$examples/dist_main" "$redis_url"
independent 0 "$examples/rpc_example" "$redis_url"
check_rpc_example
independent 0 "$examples/booking" "$redis_url"
check_booking
if [ -x "$examples/web_search" ]; then
    # shellcheck disable=SC2086
    independent 0 "$examples/web_search" -u "$redis_url" -t 15000 needle $pages
    check_web_search
fi
independent 0 env ASQUEUE_URL="$redis_url" "$examples/rpc_example"
check_rpc_example

# The examples delete their agents.
agents=$("$as_ctl" -u "$redis_url" --json agents)
[ "$agents" = "[]" ] || fail "agents were left: $agents"
stop "$server" || fail "dist_server ended with status $?" "$tmp/dist_server.log"

if [ ! -d "$agent_dir" ]; then
    echo "no plugins, since there is no shared library: the rest is left out"
    exit 0
fi
echo "the plugins, by as-worker and as-ctl"
start as-worker "$as_worker" --redis-url "$redis_url" --agent-dir "$agent_dir" --processes 1
worker=$pid
wait_ready "$worker" as-worker
ctl() {
    "$as_ctl" -u "$redis_url" --timeout "${limit_s}s" "$@"
}
equal() { # EXPECTED COMMAND...
    expected=$1
    shift
    got=$("$@" 2>"$tmp/err")
    [ "$got" = "$expected" ] || fail "'$got', not '$expected', from: $*" "$tmp/err" "$tmp/as-worker.log"
}
equal tally ctl create Counter '{"start": 40}' --id tally
equal 42 ctl call tally add '[2]'
equal 42 ctl get tally value
equal 45 ctl call tally add '{"n": 3}'
equal null ctl call tally reset
equal 0 ctl get tally value
equal e ctl create Echo --id e
equal '{"any":["value",1.5,null]}' ctl call e echo '[{"any": ["value", 1.5, null]}]' --json
equal 20 ctl call e sleep '[20]'
if ctl call e fail '["on purpose"]' >"$tmp/out" 2>&1; then
    fail "a failing method, and exit status 0" "$tmp/out"
fi
expect "$tmp/out" 'on purpose'
if ctl call tally subtract '[1]' >"$tmp/out" 2>&1; then
    fail "an unknown method, and exit status 0" "$tmp/out"
fi
expect "$tmp/out" 'add.*reset' # the error lists the methods
stop "$worker" || fail "as-worker ended with status $?" "$tmp/as-worker.log"
stop "$redis_pid"
echo "all as expected"
