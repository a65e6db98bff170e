#!/bin/sh
# top.sh: as-ctl top in a terminal (tmux): who looks finds the failing class, the slow method, the stuck
# call, the dead letter and the dead worker; keys are answered while Redis is away; the terminal is
# left as it was.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis

echo "a deployment"
redis HSET 'asq:{default}:meta' format 1 partitions 8
run 0 "$as_ctl" top --batch 1
expect "$out" '^as-ctl top  default '
expect "$out" '^running 0  parked 0  waiting 0$'
expect "$out" '^workers 0 alive'
start one "$as_worker" --agent-dir "$agent_dir" --id one --unload-after 0 --lease-time 3s
wait_ready "$pid" one
start two "$as_worker" --agent-dir "$agent_dir" --id two --unload-after 0 --lease-time 3s
two=$pid
wait_ready "$two" two
shared() {
    [ "$("$as_ctl" workers --json | grep -o '"partitions":4,' | wc -l)" -eq 2 ]
}
wait_until "half of the partitions for each" shared # a call that sleeps is not parked after a hand-over
for agent in quick slow fragile asleep; do
    run 0 "$as_ctl" create Echo --id "$agent"
done
run 0 "$as_ctl" call asleep sleep '[600000]' --async
run 0 "$as_ctl" call slow sleep '[400]'
run 1 "$as_ctl" call fragile fail '["on purpose"]'
run 0 "$as_ctl" call asleep echo '["x"]' --async
redis SADD 'asq:{default}:workers' strange
redis HSET 'asq:{default}:worker:strange' id strange host "$(printf '\033]2;pwned\007\302\23331m')" \
    lease_time_ms 600000
redis XADD 'asq:{default.1}:jobs' '*' call "$(printf 'label\033]2;pwned\007')" batch junk
load() {
    while :; do
        "$as_ctl" call quick echo '["x"]' >/dev/null 2>&1
        "$as_ctl" call fragile fail '["on purpose"]' >/dev/null 2>&1
        "$as_ctl" call slow sleep '[50]' >/dev/null 2>&1
    done
}
load &
pids="$pids $!"

echo "without a terminal"
run 2 "$as_ctl" top
expect "$err" '^as-ctl: standard output is no terminal: use --batch N'
in_batch() {
    "$as_ctl" top --batch 1 --interval 100ms >"$out" 2>"$err" || return 1
    grep -Eq '^Echo\.fail +[0-9.]+ +[1-9][0-9]* .* [1-9][0-9]* ASQ_EUSER\(1\)' "$out" &&
        grep -Eq '^Echo\.sleep ' "$out" && grep -q '^parked .* asleep .*sleeps' "$out" &&
        grep -q 'label\\x1b\]2;pwned' "$out" && grep -Eq '^one\.0 +alive' "$out" &&
        grep -Eq '^(two|one)\.0 +alive .* [1-9][0-9]* ' "$out"
}
wait_until "the figures of the calls" in_batch
expect "$out" '^ *[0-9.]+ [a-z]+ +Echo\.fail +ASQ_EUSER\(1\) +on purpose +fragile'
expect_count "$out" '[[:cntrl:]]' 0
run 0 "$as_ctl" top --batch 2 --interval 100ms --json
expect_count "$out" '^\{"time_ms":.*"call_counts":.*"stats":.*"workers":.*"calls":.*"failures":.*"dead_letters":.*\}$' 2

command -v tmux >/dev/null || skip "no tmux"
tm() {
    tmux -u -S "$tmp/tmux" "$@"
}
cat >"$tmp/inner" <<INNER
#!/bin/sh
# Runs as-ctl in the terminal; its pid is that of this shell.
echo \$\$ >"$tmp/top.pid"
exec "$as_ctl" top --interval 200ms
INNER
cat >"$tmp/outer" <<OUTER
#!/bin/sh
sh "$tmp/inner"
echo "ended with \$?"
stty -a
exec sleep 600
OUTER
# The URL and the locale go by the environment of the server, which has no other sessions.
open_top() { # COLUMNS ROWS
    LC_ALL=C.UTF-8 ASQUEUE_URL=$ASQUEUE_URL tm -f /dev/null new-session -d -x "$1" -y "$2" "sh '$tmp/outer'" ||
        fail "tmux"
    pids="$pids $(tm display-message -p '#{pid}')"
    tm set-option -g status off
    tm resize-window -x "$1" -y "$2"
}
screen() {
    tm capture-pane -p >"$tmp/screen.log"
}
shows() { # PATTERN
    screen && grep -Eq -- "$1" "$tmp/screen.log"
}
await() { # PATTERN: until a line of the screen is so
    wait_until "on the screen: $1" shows "$1"
}
press() { # KEY...
    tm send-keys "$@"
}
top_pid() {
    cat "$tmp/top.pid"
}
restored() {
    await '^ended with '
    await 'extproc' # the last word of stty
    tm capture-pane -p -J >"$tmp/screen.log"
    expect "$tmp/screen.log" ' icanon'
    expect "$tmp/screen.log" '[^-]echo '
    [ "$(tm display-message -p '#{alternate_on} #{cursor_flag}')" = '0 1' ] || fail "the screen is not as it was"
}

echo "what is wrong is on the screen"
open_top 100 30
await '^calls [0-9.]+/s  failed [1-9]'
await '^Echo\.fail '
await 'RUN p99\*'
press S S g
await 'FAILED\*'
await '^Echo\.fail +[0-9.]+ +[1-9]'
press 2
await '^parked +[0-9.]+ [a-z]+ +Echo\.sleep +asleep +sleeps'
await '^waiting +[0-9.]+ [a-z]+ +Echo\.echo +asleep +its agent is at'
press / a s l e e p Enter
await 'only with "asleep"'
press g Enter
await '^agent asleep'
await '^calls: 2'
await '^class: Echo'
press Escape
await 'only with "asleep"'
press Escape
press 3
await '^strange +dead'
press g j Enter
await '^host: \\x1b\]2;pwned\\x07\\u009b31m'
press Escape
press 4
await 'Echo\.fail +ASQ_EUSER\(1\) +on purpose +fragile'
press Enter
await '^message: on purpose'
press Enter
await '^agent fragile'
press Escape
press 1
await '^METHOD '
press Enter
await '^method Echo\.'
await '^calls: [1-9]|^no calls'
press Escape
press 5
await 'label\\x1b\]2;pwned'
press Enter
await '^dead letter 1-'
await '^error: '
press '?'
await 'PgUp'
press x
await '^dead letter 1-'
tm display-message -p '#{pane_title}' | grep -q pwned && fail "a name has changed the title"
tm capture-pane -p -e | grep -q "$(printf '\033\[3[13]m')" || tm capture-pane -p -e | grep -q "$(printf '\033\[[0-9;]*3[13]m')" ||
    fail "no colours"

echo "sizes"
press 2
for size in '60 15' '200 50' '20 5' '3 2' '100 30'; do
    # shellcheck disable=SC2086
    set -- $size
    tm resize-window -x "$1" -y "$2"
    case $size in 60* | 200*) await '^parked .*asleep' ;; esac
done
tm resize-window -x 60 -y 15
await '^parked .*asleep'
await '^q end'
tm resize-window -x 140 -y 40
await '^methods$'

echo "a worker that dies"
kill -STOP "$two" # the process would end in good order, were its supervisor the first to go
for child in $(cat "/proc/$two/task/$two/children"); do
    kill -KILL "$child"
done
kill -KILL "$two"
press 3
await '^two\.0 +(died|dead)'
await '[1-9] dead'

echo "Redis is away"
kill -STOP "$redis_pid"
await '^These figures are .* old: '
press '?'
await 'PgUp'
press x 1
await '^METHOD '
kill -CONT "$redis_pid"
gone() {
    screen && ! grep -q 'These figures are' "$tmp/screen.log"
}
wait_until "it goes on by itself" gone

echo "the end"
press q
restored
expect "$tmp/screen.log" '^ended with 0'
kill_tmux() {
    tm kill-server
    no_server() {
        ! tm list-sessions 2>/dev/null
    }
    wait_until "the end of tmux" no_server
}
kill_tmux
for number in INT TERM; do
    rm -f "$tmp/top.pid"
    open_top 80 24
    await '^calls '
    kill "-$number" "$(top_pid)"
    restored
    expect "$tmp/screen.log" '^ended with (130|143)'
    kill_tmux
done
kill -STOP "$redis_pid"
kill -CONT "$redis_pid"
NO_COLOR=1
export NO_COLOR
open_top 100 30
await '^Echo\.fail '
tm capture-pane -p -e | grep -q "$(printf '\033\[[0-9;]*3[0-7]m')" && fail "colours in spite of NO_COLOR"
kill -STOP "$redis_pid"
press q # while Redis is away
restored
kill -CONT "$redis_pid"
kill_tmux
echo "all as expected"
