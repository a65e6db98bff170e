#!/bin/sh
# logs.sh: each line of as-worker's log has time, level, process and pid, as text and as JSON; the
# first line says what runs where, without a password.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_plugins
use_redis
time='[-0-9]+T[0-9:.]+[+-][0-9:]+'

echo "text"
start worker "$as_worker" --agent-dir "$agent_dir" --id one --capacity 7 --log-level debug
wait_ready "$pid" worker
"$as_ctl" create Counter --id tally >/dev/null || fail "create"
stop "$pid"
log=$tmp/worker.log
expect "$log" "^$time info    one\\[$pid\\] starting: asqueue [0-9.]+, Redis unix:.*, namespace 'default', 1 process with 7 threads each, classes counter\\.so \\(Counter\\), echo\\.so \\(Echo\\)" \
    "^$time debug   one\\.0\\[[0-9]+\\] partition [0-9]+ claimed, epoch [0-9]+\$" \
    "^$time info    one\\[$pid\\] one has stopped\$"
if grep -vE "^$time (error|warning|info|debug) +(one|one\\.0|as-worker)\\[[0-9]+\\] ." "$log"; then fail "another line" "$log"; fi

echo "JSON"
start json "$as_worker" --agent-dir "$agent_dir" --id two --log-format json --log-level debug
until_ready() { grep -q '"message":"ready: ' "$tmp/json.log"; }
wait_until "the worker to be ready" until_ready
stop "$pid"
log=$tmp/json.log
expect "$log" "^\\{\"time\":\"$time\",\"level\":\"debug\",\"worker\":\"two\\.0\",\"pid\":[0-9]+,\"message\":\"partition ([0-9]+) claimed, epoch [0-9]+\",\"partition\":[0-9]+,\"epoch\":[0-9]+\\}\$" \
    "^\\{\"time\":\"$time\",\"level\":\"info\",\"worker\":\"two\",\"pid\":$pid,\"message\":\"two has stopped\"\\}\$"
if grep -vE "^\\{\"time\":\"$time\",\"level\":\"[a-z]+\",\"worker\":\"[^\"]*\",\"pid\":[0-9]+,\"message\":\".*\\}\$" "$log"; then
    fail "another line" "$log"
fi

echo "JSON about a crash"
if build_shell_plugin "$tmp/plugins" 2>"$tmp/err"; then
    start crash "$as_worker" --agent-dir "$tmp/plugins" --id five --log-format json --max-attempts 1
    wait_until "the worker to be ready" grep -q '"message":"ready: ' "$tmp/crash.log"
    "$as_ctl" create Shell --id deep >/dev/null || fail "create"
    [ "$("$as_ctl" call deep overflow_copy)" = 11 ] || fail "a copy of the process that overflows its stack"
    "$as_ctl" call deep overflow >"$tmp/out" 2>&1 && fail "a call that overflows its stack" "$tmp/out"
    stop "$pid"
    log=$tmp/crash.log
    expect "$log" "^\\{\"time\":\"$time\",\"level\":\"error\",\"worker\":\"five\",\"pid\":$pid,\"message\":\"worker process five\\.0 was ended by signal 11 \\([A-Za-z ]+\\) in Shell\\.overflow of agent deep \\(call ([-0-9a-f]+)\\) by a stack overflow \\(stack 262144 bytes; [^\"]*--stack-size\\); the supervisor starts it again\",\"class\":\"Shell\",\"method\":\"overflow\",\"agent\":\"deep\",\"call_id\":\"\\1\",\"signal\":\"SIGSEGV\",\"partition\":[0-9]+,\"epoch\":[0-9]+\\}\$"
    expect_count "$log" '^asqueue: stack overflow in Shell\.overflow_copy \(stack 262144 bytes; ' 1 # nobody else tells it
    if grep -v '^asqueue: .*overflow_copy\|^{"time":".*}$' "$log"; then fail "a line that is no JSON" "$log"; fi
fi

echo "titles, in place of the command line; the environment stays"
TZ=XYZ-05:30 start titled "$as_worker" --agent-dir "$agent_dir" --id four --processes 2
wait_ready "$pid" titled
title_of() { # PID
    tr '\0' ' ' <"/proc/$1/cmdline" | sed 's/ *$//'
    echo # the line has no end of its own
}
has_titles() {
    title_of "$pid" | grep -q '^[^ ]*as-worker: supervisor of ns=default$' &&
        for child in $(tr '\n' ' ' <"/proc/$pid/task/$pid/children"); do title_of "$child"; done >"$tmp/titles" &&
        [ "$(grep -cE '^[^ ]*as-worker: process [01] of ns=default, [0-9]+ partitions$' "$tmp/titles")" -eq 2 ] &&
        [ "$(awk '{ n += $(NF - 1) } END { print n }' "$tmp/titles")" -eq 128 ]
}
if [ -r "/proc/$pid/task/$pid/children" ]; then wait_until "the titles" has_titles; fi
stop "$pid"
expect "$tmp/titled.log" '^[-0-9]+T[0-9:.]+\+05:30 info .* four has stopped$'

echo "no password"
start secret "$as_worker" --agent-dir "$agent_dir" --id three --redis-url "unix:$redis_socket?password=confidential" --log-level debug
said() { grep -q 'starting: asqueue' "$tmp/secret.log"; }
wait_until "the first line" said
kill -TERM "$pid" 2>/dev/null
if grep -q confidential "$tmp/secret.log"; then fail "the password" "$tmp/secret.log"; fi
expect "$tmp/secret.log" 'starting: .*password=\*\*\*'
