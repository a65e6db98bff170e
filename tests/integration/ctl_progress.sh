#!/bin/sh
# ctl_progress.sh: as-ctl call and result with --progress: what a call emits, line by line as it
# comes, or as a bar on a terminal.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

use_redis
build_shell_plugin "$tmp/plugins" 2>"$tmp/err" || skip "no compiler for a plugin"
start worker "$as_worker" --agent-dir "$tmp/plugins" --partitions 4 --id one
wait_ready "$pid" worker
worker=$pid
run 0 "$as_ctl" create Shell --id s --timeout "${limit_s}s"
gate="$tmp/gate"

is() { # FILE LINE...: the file has exactly these lines
    file=$1
    shift
    printf '%s\n' "$@" | cmp -s - "$file" || fail "not the lines $*" "$file"
}

echo "values are printed before the result"
run 0 "$as_ctl" call s emit "[[1, {\"a\": \"x\"}, 0.5], \"$gate\"]" --progress
is "$out" 1 '{"a":"x"}' 0.5 3
[ ! -s "$err" ] || fail "stderr" "$err"
run 0 "$as_ctl" call s emit "[[1, {\"a\": \"x\"}, 0.5], \"$gate\"]" --progress --json
is "$out" '{"emitted":1}' '{"emitted":{"a":"x"}}' '{"emitted":0.5}' '{"result":3}'
run 0 "$as_ctl" call s emit "[[1], \"$gate\"]"
is "$out" 1

echo "as they come, and again when the call runs again"
for json in '' --json; do
    rm -f "$gate"
    # shellcheck disable=SC2086 # no argument, or one
    start call "$as_ctl" call s emit "[[\"first\", null, \"fail\", \"second\"], \"$gate\"]" --progress $json
    call=$pid
    wait_until "the first value" grep -q first "$tmp/call.log"
    touch "$gate"
    wait "$call" || fail "the call fails" "$tmp/call.log"
    grep -v 'the call runs again: what it has emitted so far is void' "$tmp/call.log" >"$tmp/lines"
    if [ -z "$json" ]; then
        is "$tmp/lines" '"first"' '"first"' '"second"' 4
        expect "$tmp/call.log" '^as-ctl: the call runs again'
    else
        is "$tmp/lines" '{"emitted":"first"}' '{"again":true}' '{"emitted":"first"}' '{"emitted":"second"}' \
            '{"result":4}'
    fi
done

echo "of a call made elsewhere, from its beginning"
rm -f "$gate"
id=$("$as_ctl" call s emit "[[\"a\", null, \"b\"], \"$gate\"]" --async) || fail "call"
start result "$as_ctl" result "$id" --progress
result=$pid
wait_until "the first value" grep -q a "$tmp/result.log"
touch "$gate"
wait "$result" || fail "result" "$tmp/result.log"
is "$tmp/result.log" '"a"' '"b"' 3
run 0 "$as_ctl" result "$id" --progress
is "$out" '"a"' '"b"' 3

echo "top shows the last value, or a bar"
rm -f "$gate"
call_emit() { # AGENT VALUES
    "$as_ctl" create Shell --id "$1" >/dev/null && "$as_ctl" call "$1" emit "[$2, \"$gate\"]" --async >/dev/null ||
        fail "a call that emits $2"
}
call_emit words '["a", "b\u001b", null]'
call_emit shares '[0.25, 0.5, null]'
shown() { # PATTERN
    "$as_ctl" top --batch 1 >"$tmp/top.log" 2>&1 && grep -q "$1" "$tmp/top.log"
}
wait_until "the last value" shown '^parked .*emits "b\\u001b"; \|^running .*emits "b\\u001b"; '
wait_until "the bar" shown '^[pr][a-z]* .*\[#####-----\]  50 %; '
run 0 "$as_ctl" top --json
expect "$out" '"progress":\{"[^"]*":\{"emitted":2,"value":("b\\u001b"|0.5)\}'
touch "$gate"

echo "a call that fails"
run 1 "$as_ctl" call s emit "[[\"a\", \"fail\"], 1]" --progress
expect "$err" 'ASQ_EARGS'
run 1 "$as_ctl" call s emit "[[\"a\", null], \"$gate.2\"]" --progress --timeout 3s
touch "$gate.2"
is "$out" '"a"'
expect "$err" 'no result within 3000 ms.*The call goes on'

echo "wrong usage"
run 2 "$as_ctl" call s emit '[]' --progress --async
expect "$err" "progress waits for the call, and --async does not"
run 2 "$as_ctl" ping --progress

echo "a bar"
if command -v script >/dev/null; then
    rm -f "$gate"
    touch "$gate"
    script -qec "'$as_ctl' call s emit '[[0.25, \"word\", 0.5, 1], \"$gate\"]' --progress" /dev/null >"$tmp/screen" 2>&1 ||
        fail "on a terminal" "$tmp/screen"
    tr '\r' '\n' <"$tmp/screen" >"$out"
    expect "$out" '^\[#{10}-{30}\]  25 %$' '^\[#{20}-{20}\]  50 %$' '^\[#{40}\] 100 %$' '"word"$' '^4$'
    expect_count "$out" '^0\.' 0
else
    echo "no script: not tried"
fi
stop "$worker"
stop "$redis_pid"
echo "all as expected"
