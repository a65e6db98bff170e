#!/bin/sh
# page.sh: the page of as-studio in Chromium, by tests/page: with a false server in states that are seldom, and with
# as-studio before a deployment that has load, failures, dead letters, a ring of waits and many agents. Needs Chromium,
# Node.js and what `make page-modules` fetches.
#
# PAGE_TEST=TEXT chooses tests by a part of their names; PAGE_SCREENSHOTS=DIR keeps a picture of each that fails.
# shellcheck disable=SC2154 # support.sh sets tmp, srcdir, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

command -v node >/dev/null || skip "no Node.js (Debian: nodejs)"
for name in chromium chromium-browser google-chrome; do
    CHROMIUM=${CHROMIUM:-$(command -v $name)}
done
[ -n "$CHROMIUM" ] || skip "no Chromium (Debian: chromium)"
PAGE_MODULES=$builddir/tests/page
[ -d "$PAGE_MODULES/node_modules/playwright-core" ] || skip "no playwright-core: make page-modules"
STUDIO_VENDOR=$builddir/src/studio/vendor
[ -e "$STUDIO_VENDOR/uPlot.js" ] || STUDIO_VENDOR=$srcdir/src/studio/vendor
HOME=$tmp # Chromium keeps files there
export CHROMIUM PAGE_MODULES STUDIO_VENDOR HOME

echo "with a false server"
node "$srcdir/tests/page/states.mjs" || fail "the page with a false server"

[ -x "$as_studio" ] || { echo "as-studio is not built: without libmicrohttpd"; exit 0; }
[ -d "$agent_dir" ] || { echo "no example plugins: without a deployment"; exit 0; }
plugins=$tmp/plugins
mkdir "$plugins" && cp "$agent_dir"/counter.so "$agent_dir"/echo.so "$plugins" || exit 1
# shellcheck disable=SC2086
${CC:-cc} -shared -fPIC ${SAN_CFLAGS-} -I"$srcdir/lib" -o "$plugins/trouble.so" "$srcdir/tests/page/trouble.c" || skip "no compiler"
use_redis

start_worker() { # ID OPTION...
    id=$1
    shift
    start "$id" "$as_worker" --agent-dir "$plugins" --id "$id" --capacity 8 --lease-time 5s --max-attempts 1 \
        --traces "$STUDIO_WRITES/v1/traces" --trace-rate 1 "$@"
    wait_ready "$pid" "$id"
}
do_call() { # AGENT METHOD ARGS: without waiting
    "$as_ctl" call "$1" "$2" "$3" --async >>"$tmp/calls.log" || fail "call $1 $2"
}
letters() { # N
    [ "$("$as_ctl" dead list --json | grep -o '"id":"[0-9]' | wc -l)" -eq "$1" ]
}

# Workers send their traces to an as-studio that is there before them.
redis HSET 'asq:{default}:meta' format 1 partitions 16
start_studio writes --allow-writes --collect-traces
STUDIO_WRITES=$base
start_worker one
HOSTILE_AGENT="<script>window.hacked=1</script>"
for id in t-1 t-2 t-3 t-fail t-crash t-drop t-cancel r-1 r-2 "$HOSTILE_AGENT"; do
    "$as_ctl" create Trouble --id "$id" >/dev/null || fail "create $id"
done
for id in c-1 c-2 c-3 .. .; do
    "$as_ctl" create Counter --id "$id" >/dev/null || fail "create $id"
done
n=0
for id in t-crash t-drop; do
    do_call $id crash '[]'
    n=$((n + 1))
    wait_until "a dead letter of $id" letters $n
done
# shellcheck disable=SC2016 # the text of Lua
redis-cli -s "$redis_socket" EVAL 'local record = "\10\3Cat\34\2\66\0" for i = 1, 100000 do
    redis.call("HSET", KEYS[1], "agent-" .. i, record) end' 1 'asq:{default.2}:agents' >"$tmp/redis-cli.log" || fail "agents"
"$as_ctl" schedule c-1 often add '[1]' --every 1s >/dev/null || fail "timer often"
"$as_ctl" schedule c-2 leap-day add '[1]' --cron '30 4 29 2 *' --zone Europe/Berlin --overlap skip --missed all \
    >/dev/null || fail "timer leap-day"
"$as_ctl" schedule c-3 removed add '[1]' --every 1h >/dev/null || fail "timer removed"
"$as_ctl" schedule "$HOSTILE_AGENT" hostile remember '["<img src=x onerror=window.hacked=1>"]' --every 2h >/dev/null ||
    fail "timer hostile"
# Timers that are due in 2096.
# shellcheck disable=SC2016 # the text of Lua
redis-cli -s "$redis_socket" EVAL 'for i = 1, 50000 do local agent = "many-" .. i % 500
    redis.call("ZADD", KEYS[1], 4e12 + i % 7, agent .. " t-" .. i)
    redis.call("HSET", KEYS[2] .. agent, "=t-" .. i, "\66\36\10\15\10\6method\18\5\42\3add\10\17\10\8every_ms\18\5\24\128\186\183\3",
        "+t-" .. i, "4000000000000 1-1 0 0 - -") end' 2 'asq:{default.2}:timers' 'asq:{default.2}:t:' \
    >"$tmp/redis-cli.log" || fail "timers"
start_worker victim
VICTIM=$pid
do_call t-1 ask '[0, "t-2", "ask", [0, "t-3", "hang", []]]'
wait_until "the chain hangs" sh -c "'$as_ctl' calls --agent t-3 --parked | grep -q sleeps"
HANGING=$("$as_ctl" calls --agent t-3 --parked --json | sed 's/^\[{"id":"\([^"]*\)".*/\1/')
do_call t-3 touch '[]'
# Two agents that ask each other are a ring, once both have begun; one of the calls fails.
ring() {
    do_call r-1 ask '[1000, "r-2", "touch", []]'
    do_call r-2 ask '[1000, "r-1", "touch", []]'
    "$as_ctl" result "$(tail -n 1 "$tmp/calls.log")" >"$tmp/ring.log" 2>&1
    "$as_ctl" failures --code ASQ_EDEADLK --json | grep -q EDEADLK
}
wait_until "a ring" ring
do_call t-cancel hang '[]'
"$as_ctl" call "$HOSTILE_AGENT" fail '["\u001b[31m<img src=x onerror=window.hacked=1>\u202egnp"]' >"$tmp/fail.log" 2>&1
"$as_ctl" call "$HOSTILE_AGENT" remember '[{"<img src=x onerror=window.hacked=1>\u202e": [{"$bytes": "AAEC"}], "n": 9007199254740993}]' \
    >"$tmp/remember.log" 2>&1 || fail "remember" "$tmp/remember.log"
# shellcheck disable=SC2016 # variables of the inner shell
start load sh -c 'while :; do
    for id in c-1 c-2 c-3; do "$0" call $id add "[1]" --async; done
    "$0" call t-fail fail "[\"421 too many connections\"]" --async
    sleep 0.2
done' "$as_ctl"
AGENTS=$("$as_ctl" agents --count)
start_studio reads
STUDIO=$base STUDIO_PID=$studio_pid REDIS=$redis_pid CTL=$as_ctl
export STUDIO STUDIO_WRITES STUDIO_PID REDIS VICTIM CTL AGENTS HANGING HOSTILE_AGENT

echo "with a deployment"
node "$srcdir/tests/page/deployment.mjs" || fail "the page of a deployment" "$tmp"/*.log
