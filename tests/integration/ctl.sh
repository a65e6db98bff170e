#!/bin/sh
# ctl.sh: as-ctl and as-worker as used by scripts and people: wrong usage, exit codes, JSON in and
# out, timeouts, and stopping, against a real Redis and a real worker with the example plugins.
#
# By hand: from the build directory, .../tests/integration/ctl.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL

# Runs COMMAND and checks a line on stderr that matches PATTERN, and an empty stdout.
refused() { # STATUS PATTERN COMMAND...
    expected_=$1 pattern=$2
    shift 2
    run "$expected_" "$@"
    expect "$err" "$pattern"
    [ ! -s "$out" ] || fail "output, too, from: $*" "$out"
}

# Runs COMMAND and checks exactly this text on stdout, and an empty stderr.
prints() { # TEXT COMMAND...
    text=$1
    shift
    run 0 "$@"
    [ "$(cat "$out")" = "$text" ] || fail "not '$text' from: $*" "$out"
    [ ! -s "$err" ] || fail "stderr is not empty after: $*" "$err"
}

# Checks that the error is one line of JSON with every key and the code CODE.
json_error() { # STATUS CODE COMMAND...
    expected_=$1 code=$2
    shift 2
    run "$expected_" "$@"
    [ "$(wc -l <"$err")" -eq 1 ] || fail "not one line on stderr: $*" "$err"
    expect "$err" "^\{\"code\":\"$code\",\"number\":(-[0-9]+|null),\"message\":\".+\",\"class\":.*,\"method\":.*,\"agent\":.*,\"worker\":.*,\"call_id\":.*\}\$"
}

echo "wrong usage"
# No server is behind this URL: errors below are found without Redis.
ASQUEUE_URL=redis://127.0.0.1:1
export ASQUEUE_URL
refused 2 'a command is needed' "$as_ctl"
refused 2 "no command 'callx'; did you mean 'call'" "$as_ctl" callx
refused 2 "no command 'frobnicate'$" "$as_ctl" frobnicate
refused 2 '^usage: as-ctl call ID METHOD' "$as_ctl" call tally
refused 2 'one argument too many' "$as_ctl" ping now
refused 2 'no option --jsn; did you mean --json' "$as_ctl" --jsn ping
refused 2 'no option -x' "$as_ctl" -x ping
refused 2 '--timeout needs an argument, MS' "$as_ctl" ping --timeout
refused 2 '--json takes no argument' "$as_ctl" --json=yes ping
refused 2 '--timeout 5x: .*ms, s, m, h' "$as_ctl" --timeout 5x ping
refused 2 '--timeout 0: it must be 1 to' "$as_ctl" --timeout 0 ping
refused 2 "--async does not go with 'ping'" "$as_ctl" ping --async
refused 2 "ARGS is of type int: for one argument write '\[2\]'" "$as_ctl" call tally add 2
refused 2 'ARGS is not JSON: line 1' "$as_ctl" call tally add '{n: 2}'
refused 2 "no command 'dead lst'; did you mean 'dead list'" "$as_ctl" dead lst
refused 2 "no command 'dead frobnicate'$" "$as_ctl" dead frobnicate
refused 2 "no command 'ded'; did you mean 'dead'" "$as_ctl" ded
refused 2 "'dead' is followed by list, show, retry or drop$" "$as_ctl" dead
expect "$err" '^usage: as-ctl dead list \[--limit N\]$'
expect "$err" '^       as-ctl dead drop \[LETTER\] \[--all\]$'
refused 2 "'dead retry' needs either LETTER or --all" "$as_ctl" dead retry
refused 2 "'dead drop' needs either LETTER or --all" "$as_ctl" dead drop 1-1-0 --all
refused 2 "'dead show' needs LETTER" "$as_ctl" dead show
refused 2 "'x' is one argument too many for 'dead list'" "$as_ctl" dead list x
refused 2 "--limit does not go with 'dead drop'" "$as_ctl" dead drop 1-1-0 --limit 3
refused 2 "--all does not go with 'dead list'" "$as_ctl" dead list --all
refused 2 'ARGS is of type bytes' "$as_ctl" create Counter '{"$bytes": "AAEC"}'
refused 2 'VALUE is not JSON.*A string needs its quotes' "$as_ctl" set tally owner Grace
refused 2 'inside one program' "$as_ctl" -u child: ping
refused 2 'inside one program' env ASQUEUE_URL=local: "$as_ctl" ping
refused 2 '[Uu][Rr][Ll]|frobs:' "$as_ctl" -u frobs://x ping
refused 2 "^as-ctl: --namespace a b: 1 to 64 letters, digits, '_' and '-' are allowed \\('.' only in existing ones\\)$" \
    "$as_ctl" -n 'a b' ping
refused 2 "^as-worker: --namespace a/b: 1 to 64 letters" "$as_worker" status -n a/b
refused 2 "'a b' is not the name of a namespace: .* \\(the URL is from ASQUEUE_URL\\)$" \
    env ASQUEUE_URL='redis://127.0.0.1:1?ns=a%20b' "$as_ctl" ping
refused 2 "'a\\.b' is not the name of a namespace: 1 to 64 letters, digits, '_' and '-'$" "$as_ctl" acl -n a.b
json_error 2 USAGE "$as_ctl" --json --bogus ping
"$as_ctl" --json acl client -n shop >"$tmp/acl" || fail "as-ctl --json acl" "$tmp/acl"
grep -q '^\["user asq-shop-client [^"]*"\]$' "$tmp/acl" || fail "as-ctl --json acl" "$tmp/acl"
json_error 2 USAGE "$as_ctl" call tally add 2 --json
refused 2 "no command 'strat'; did you mean 'start'" "$as_worker" strat
refused 2 'no option --lease-tme; did you mean --lease-time' "$as_worker" --lease-tme 1s
# Each program knows the words of the other for its own options.
refused 2 'no option --local-mode, only its opposite, --no-local-mode' "$as_worker" --local-mode
refused 2 'no option --url; did you mean --redis-url' "$as_worker" --url redis://h
refused 2 'no option --redis-url; did you mean --url' "$as_ctl" --redis-url redis://h ping
refused 2 'no option --level; did you mean --log-level' "$as_worker" --level debug
refused 2 '--lo can be --log-file --log-format --log-level' "$as_worker" --lo
refused 2 '--log-level loud: it must be one of error|warning' "$as_worker" --log-level loud
refused 2 '--max-message-size 1T: .*K, M, G' "$as_worker" --max-message-size 1T
refused 2 '--capacity 0: it must be 1 to' "$as_worker" --capacity 0
refused 2 "--capacity does not go with 'status'" "$as_worker" status --capacity 2
refused 2 'leave out --host and --port' "$as_worker" --redis-url redis://x --port 7000
refused 2 'give --id ID, or --all' "$as_worker" stop
refused 2 'exclude each other' "$as_worker" stop --all --id one

echo "help and version"
run 0 "$as_ctl" --help
for command in agents call calls cancel classes clone create dead delete get ping result set show stop workers; do
    expect "$out" "^  $command"
done
sed -n 's|^  -., \(--[a-z-]*\).*|\1|p; s|^      \(--[a-z-]*\).*|\1|p' "$out" >"$tmp/options"
"$as_ctl" --complete - >"$tmp/completed"
sort "$tmp/completed" | cmp -s - "$tmp/completed" || fail "the options are not sorted" "$tmp/completed"
sort "$tmp/options" | cmp -s - "$tmp/completed" || fail "help and completion differ" "$out"
# The help of each command begins with its usage.
for command in acl agents call calls cancel classes clone create 'dead list' 'dead show' 'dead retry' 'dead drop' delete get \
    ping result set show stop workers; do
    # shellcheck disable=SC2086 # a name is one word, or two
    run 0 "$as_ctl" $command --help
    expect_count "$out" '^usage: ' 1
    expect "$out" "^usage: as-ctl $command( |\$)"
done
run 0 "$as_ctl" call --help
expect "$out" '^usage: as-ctl call ID METHOD \[ARGS\] \[--async\]'
run 0 "$as_ctl" dead list --help
expect "$out" '^  -l, --limit N'
expect_count "$out" '--all' 0
run 0 "$as_ctl" dead --help
expect_count "$out" 'as-ctl dead (list|show|retry|drop)' 4
expect "$out" '^  dead show LETTER +.'
refused 2 "no command 'dead lst'" "$as_ctl" dead lst --help
run 0 "$as_worker" --help
expect "$out" '^      --lease-time MS'
expect "$out" '/asqueue/agents\)$'
run 0 "$as_worker" --version
expect "$out" '^as-worker [0-9]+\.[0-9]+\.[0-9]+$'
prints "$(printf 'text\njson')" "$as_worker" --complete start --log-format ''
prints :DIR "$as_worker" --complete --agent-dir ''
prints "$(printf 'start\nstatus\nstop')" "$as_worker" --complete ''
if [ -e /dev/full ]; then
    "$as_ctl" --help >/dev/full 2>"$err"
    [ $? -eq 1 ] || fail "a full disk, and no failure"
fi

echo "no Redis"
refused 1 'ASQ_ECONN' "$as_ctl" ping
expect "$err" 'ASQUEUE_URL'
json_error 1 ASQ_ECONN "$as_ctl" --json ping
unset ASQUEUE_URL
"$as_ctl" ping >"$out" 2>"$err" # succeeds if a Redis listens on the usual port
[ $? -eq 0 ] || expect "$err" 'neither -u nor ASQUEUE_URL was given: tried redis://127\.0\.0\.1:6379'
command -v redis-server >/dev/null || command -v valkey-server >/dev/null || skip "no redis-server"
needs_plugins

# ---- as-worker's start -----------------------------------------------------------------------

use_redis

echo "what as-worker refuses"
mkdir "$tmp/empty" "$tmp/open" "$tmp/broken"
refused 1 'as-worker: .*/asqueue/agents.*--agent-dir' "$as_worker"
refused 1 "$tmp/nowhere" "$as_worker" --agent-dir "$tmp/nowhere"
cp "$agent_dir"/*.so "$tmp/open"
chmod o+w "$tmp/open"
refused 1 "$tmp/open" "$as_worker" --agent-dir "$tmp/open"
echo 'no plugin' >"$tmp/broken/bad.so"
refused 1 'bad\.so' "$as_worker" --agent-dir "$tmp/broken"
run 1 "$as_worker" --agent-dir "$tmp/broken" --log-format json
expect "$err" '^\{"time":".*","level":"error","worker":"as-worker","pid":[0-9]+,"message":".*bad\.so.*"\}$'
refused 1 'no-local-mode' "$as_worker" --agent-dir "$agent_dir" --redis-url redis://redis.example
redis-cli -s "$redis_socket" CONFIG SET maxmemory-policy allkeys-lru >/dev/null 2>&1 && {
    run 1 "$as_worker" --agent-dir "$agent_dir"
    expect "$err" 'noeviction'
    expect_count "$err" 'as-worker: ' 1
    redis-cli -s "$redis_socket" CONFIG SET maxmemory-policy noeviction >/dev/null
    redis-cli -s "$redis_socket" CONFIG SET requirepass secret >/dev/null
    run 1 "$as_worker" -u "$redis_url_default" --agent-dir "$agent_dir"
    expect "$err" '[Pp]assword|NOAUTH|AUTH'
    refused 1 'ASQ_EAUTH' "$as_ctl" -u "$redis_url_default" ping
    refused 1 'ASQ_EAUTH' "$as_ctl" -u "$redis_url_default?password=wrong" ping
    if grep -q wrong "$err"; then
        fail "the password is in the message" "$err"
    fi
    run 0 "$as_ctl" -u "$redis_url_default?password=secret" ping
    redis-cli -s "$redis_socket" -a secret --no-auth-warning CONFIG SET requirepass '' >/dev/null
}

echo "a Redis that is not there yet"
start early "$as_worker" --agent-dir "$agent_dir" --redis-url "unix:$tmp/later.sock"
wait_until "the worker to say so" grep -q 'warning .*later\.sock.*again' "$tmp/early.log"
stop "$pid" || fail "as-worker ended with status $?" "$tmp/early.log"

echo "dead letters, without a worker"
run 0 "$as_ctl" dead list
expect "$err" "no dead letters in namespace 'default'"
prints '[]' "$as_ctl" dead list --json
dead_letter() { # PARTITION ID BATCH
    redis-cli -s "$redis_socket" XADD "asq:{default.$1}:dead" "$2" call Echo/e.echo id '' \
        reason 'for a test' attempts 3 worker web1.0 batch "$3" >/dev/null
}
if command -v redis-cli >/dev/null; then
    dead_letter 7 1700000000000-0 "$(printf '\033[31m')"
    dead_letter 9 1700000001000-4 ''
    dead_letter 3 1700000002000-0 xyz
    run 0 "$as_ctl" dead list
    expect "$out" '^ID +TIME +CALL +ATTEMPTS +WORKER +REASON'
    expect "$out" '^7-1700000000000-0 +2023-11-1[45]T[0-9:]+[+-][0-9]+ +Echo/e\.echo +3 +web1\.0 +for a test$'
    run 0 "$as_ctl" dead list --json --limit 2
    expect "$out" '^\[\{"id":"9-1700000001000-4",.*\{"id":"3-1700000002000-0",.*"batch_bytes":3\}\]$'
    prints "$(printf '7-1700000000000-0\n9-1700000001000-4\n3-1700000002000-0')" \
        "$as_ctl" --complete dead show ''
    prints "$(printf 'list\nshow\nretry\ndrop')" "$as_ctl" --complete dead ''
    prints '' "$as_ctl" --complete dead list ''
    run 0 "$as_ctl" --complete dead list -
    expect_count "$out" '^--(limit|all)$' 1
    run 0 "$as_ctl" --complete dead -
    expect_count "$out" '^--(limit|all)$' 2
    run 0 "$as_ctl" dead show 3-1700000002000-0
    expect "$out" '^batch_head +78797a$'
    expect "$out" '^error +.*protobuf'
    run 0 "$as_ctl" dead show 9-1700000001000-4 --json
    expect "$out" '"batch_bytes":0,.*"error":".*no field'
    refused 1 'dead letter 3-1700000002000-0 stays: .*ASQ_EPROTO' "$as_ctl" dead retry 3-1700000002000-0
    refused 1 '3 of 3 failed; the first: dead letter 7-1700000000000-0 stays' "$as_ctl" dead retry --all
    json_error 1 ASQ_EPROTO "$as_ctl" dead retry --all --json
    refused 2 "'7-1' is not the id of a dead letter" "$as_ctl" dead drop 7-1
    json_error 1 ASQ_ENOENT "$as_ctl" --json dead drop 8-1700000000000-0
    prints '{"dropped":"7-1700000000000-0"}' "$as_ctl" dead drop 7-1700000000000-0 --json
    prints '' "$as_ctl" dead drop 9-1700000001000-4
    prints 3-1700000002000-0 "$as_ctl" dead drop --all
    prints '{"dropped":[]}' "$as_ctl" dead drop --all --json
fi

echo "no worker"
run 0 "$as_ctl" ping
expect "$out" '^PONG in [0-9.]+ ms$'
run 0 "$as_ctl" ping --json
expect "$out" '^\{"namespace":"default","ms":[0-9.e-]+\}$'
prints '[]' "$as_ctl" workers --json
run 0 "$as_worker" status
expect "$err" "no workers in namespace 'default'"
run 0 "$as_worker" stop --all
expect "$err" 'no worker is alive'
refused 1 'ASQ_ENOENT' "$as_worker" stop --id nobody
refused 1 'no answer from agent .early. within 2000 ms: no worker is alive in namespace .default.*ASQ_ETIMEOUT' \
    "$as_ctl" create Counter --id early --timeout 2s
refused 1 'still waiting: no worker is alive' "$as_ctl" call early add '[1]' -t 8s
expect "$err" 'as-ctl result [^ ]+ \(ASQ_ETIMEOUT\)'

# ---- With a worker ---------------------------------------------------------------------------

start as-worker "$as_worker" start --agent-dir "$agent_dir" --id one --processes 2 --no-class fail \
    --log-format json --lease-time 5s --drain-timeout 1h
worker=$pid
all_alive() {
    [ "$("$as_ctl" workers --json | grep -o '"alive":true' | wc -l)" -eq "$1" ]
}
wait_until "two worker processes" all_alive 2

echo "what was asked for before"
call=$(sed -n 's/.*as-ctl result \([^ ]*\) (.*/\1/p' "$err")
prints 1 "$as_ctl" result "$call"

echo "agents"
prints tally "$as_ctl" create Counter '{"start": 40}' --id tally
refused 1 'ASQ_EEXIST' "$as_ctl" create Counter --id tally
json_error 1 ASQ_EEXIST "$as_ctl" --json create Counter --id tally
expect "$err" '"agent":"tally","worker":"one\.[01]"'
refused 1 'Counter.*Echo|Echo.*Counter' "$as_ctl" create Conter # the error lists the classes
refused 2 'spaces|space' "$as_ctl" create Counter --id 'a b'
prints 42 "$as_ctl" call tally add '[2]'
prints 45 "$as_ctl" --timeout 30s call tally add '{"n": 3}'
prints 40 "$as_ctl" call tally add '[-5]'
prints 41 sh -c 'printf "[1]" | "$1" call tally add -' sh "$as_ctl"
prints 41 "$as_ctl" get tally value
prints 41 "$as_ctl" get tally value -u "$redis_url" -n default
refused 1 'ASQ_ENOATTR' "$as_ctl" get tally color
expect "$err" '^    class Counter, attribute color, agent tally, '
json_error 1 ASQ_ENOATTR "$as_ctl" --json get tally color
expect "$err" '"method":"\.color"'
run 1 "$as_ctl" set tally value -5 # no attribute of the examples is writable
expect "$err" 'ASQ_E'
refused 1 'add.*reset.*ASQ_ENOMETHOD' "$as_ctl" call tally subtract '[1]'
refused 1 'ASQ_EARGS' "$as_ctl" call tally add '["two"]'
refused 1 'ASQ_EPRIVATE' "$as_ctl" call tally _peek
copy=$("$as_ctl" clone tally) || fail "clone"
prints 40 "$as_ctl" get "$copy" value
prints '{"id":"twin"}' "$as_ctl" clone tally --id twin --json
run 0 "$as_ctl" show tally
expect "$out" '^state +\{"value":41\}$'
expect "$out" '^class +Counter$'
run 0 "$as_ctl" show tally --json
expect "$out" '^\{"id":"tally",.*"args":\{"start":40\}.*"state":\{"value":41\}.*\}$'
refused 1 'ASQ_ENOAGENT' "$as_ctl" show nobody
refused 1 'ASQ_ENOAGENT' "$as_ctl" call nobody add '[1]'
prints e "$as_ctl" create Echo --id e
run 0 "$as_ctl" agents
expect "$out" '^tally +Counter +[0-9]+$'
expect "$out" '^e +Echo +[0-9]+$'
run 0 "$as_ctl" agents --class Echo --json
expect "$out" '^\[\{"id":"e","class":"Echo","partition":[0-9]+\}\]$'
prints '' "$as_ctl" delete twin
prints "{\"deleted\":\"$copy\"}" "$as_ctl" delete "$copy" --json
refused 1 'ASQ_ENOAGENT' "$as_ctl" get twin value
refused 1 'ASQ_ENOAGENT' "$as_ctl" delete twin
expect "$err" '^    method delete, agent twin, worker '

echo "JSON in and out"
# shellcheck disable=SC2016
for value in null true -7 9223372036854775807 1.5 '"ä\u0000\n"' '[]' '{}' '[1,[2,{"a":null}]]' \
    '{"$bytes":"AAEC"}' '{"$double":"nan"}' '{"$agent":"tally","class":"Counter"}' '{"$map":{"$a":1}}'; do
    prints "$value" "$as_ctl" --json call e echo "[$value]"
done
run 0 "$as_ctl" call e echo '[{"a": [1]}]'
expect_count "$out" '^' 5 # indented, to be read by people

echo "failures"
refused 1 'as-ctl: on purpose \(ASQ_EUSER\(1\)\)' "$as_ctl" call e fail '["on purpose"]'
expect "$err" '^    class Echo, method fail, agent e, worker one\.[01], call .'
json_error 1 'ASQ_EUSER\(1\)' "$as_ctl" --json call e fail '["on purpose"]'
expect "$err" '"number":-1001,"message":"on purpose","class":"Echo","method":"fail","agent":"e","worker":"one\.[01]"'
refused 1 'red \\x1b\[31m' "$as_ctl" call e fail '["red \u001b[31m"]'

echo "calls that take longer"
json_error 1 ASQ_ETIMEOUT "$as_ctl" --json call e sleep '[8000]' --timeout 3s
call=$(sed -n 's/.*"call_id":"\([^"]*\)".*/\1/p' "$err")
prints 8000 "$as_ctl" result "$call"
prints 8000 "$as_ctl" result "$call" # kept, because its id was printed
call=$("$as_ctl" call e sleep '[8000]' --async) || fail "call --async"
refused 1 'within 3000 ms.*ASQ_ETIMEOUT' "$as_ctl" result "$call" -t 3s
prints 8000 "$as_ctl" result "$call"
run 0 "$as_ctl" call tally add '[1]' --async --json
expect "$out" '^\{"call_id":"[^"]+"\}$'
refused 2 '.' "$as_ctl" result 'not a call id'
start interrupted "$as_ctl" call e sleep '[60000]'
interrupted=$pid
is_called() {
    "$srcdir/contrib/redis-cli/look" waiting -- -s "$redis_socket" $look_user | grep -q 'e\.sleep'
}
if command -v redis-cli >/dev/null; then
    wait_until "the call" is_called
else
    sleep 5
fi
kill -TERM "$interrupted"
wait "$interrupted"
status=$?
[ "$status" -eq 143 ] || fail "SIGTERM ends as-ctl with status $status" "$tmp/interrupted.log"
expect "$tmp/interrupted.log" 'interruption.*The call goes on.*as-ctl result'

echo "classes, workers"
run 0 "$as_ctl" classes
expect "$out" '^Counter .*workers: 2'
expect "$out" '^  add\(n\) +.*Adds n; gives the new value\.$'
expect "$out" '^  \.value '
run 0 "$as_ctl" classes --json
expect "$out" '"Counter":\{.*"methods":\[.*"name":"add"'
prints "$(printf 'Counter\nEcho')" sh -c '"$1" --complete create "" | sort' sh "$as_ctl"
prints "$(printf 'add\nreset')" sh -c '"$1" --complete call tally "" | sort' sh "$as_ctl"
for command in "$as_ctl workers" "$as_worker status"; do
    # shellcheck disable=SC2086
    run 0 $command
    expect "$out" '^WORKER +ALIVE +SEEN +UP +HOST +PID +PARTITIONS +CAPACITY +RUNNING +PARKED +WAITING +CALLS'
    expect_count "$out" '^one\.[01] +yes +.* [0-9]+ +[0-9]+ +32 +[0-9]+' 2
done
run 0 "$as_worker" status --json
expect "$out" '^\[\{.*"id":"one\.0".*\}\]$'

echo "the log"
grep -vE '^\{"time":"[-0-9T:.+]+","level":"(info|warning|error)","worker":"[^"]+","pid":[0-9]+,"message":".*"\}$' \
    "$tmp/as-worker.log" >"$tmp/other" && fail "a line of the log is not what it should be" "$tmp/other"

echo "stop"
json_error 1 ASQ_ENOENT "$as_ctl" --json stop nobody
expect "$err" 'one'
start second "$as_worker" --agent-dir "$agent_dir" --id two --log-level debug --lease-time 5s
second=$pid
wait_until "a third worker process" all_alive 3
expect "$tmp/second.log" '^[-0-9]+T[0-9:.]+[+-][0-9:]+ info +.'
prints 'two has stopped' "$as_worker" stop --id two
wait "$second" || fail "as-worker stop: the worker ended with status $?" "$tmp/second.log"
all_alive 2 || fail "not only the one worker was stopped"
prints 42 "$as_ctl" call tally add '[0]'
# Sleeping calls, as that of the interrupted as-ctl, hold up nobody. Who stands still does.
"$as_worker" status --json >"$out" || fail "as-worker status --json"
processes=$(grep -o '"pid":[0-9]*' "$out" | sed 's/.*://')
# shellcheck disable=SC2086 # several processes
kill -STOP $processes
run 0 "$as_worker" stop --all --no-wait --json
expect "$out" '^\{"workers":\["one\.[01]","one\.[01]"\],"gone":false\}$'
refused 1 'not gone within 3000 ms: one;.*ASQ_ETIMEOUT' "$as_worker" stop --id one --timeout 3s
# shellcheck disable=SC2086
kill -CONT $processes
ended_by_signals() {
    kill -TERM "$worker" 2>/dev/null
    ! running "$worker"
}
wait_until "the end of as-worker, asked again" ended_by_signals
wait "$worker" || fail "as-worker ended with status $?" "$tmp/as-worker.log"
prints '[]' "$as_worker" status --json
stop "$redis_pid"
echo "all as expected"
