#!/bin/sh
# secrets.sh: sources of passwords, and places where a password must not show: the environment of a
# worker or of programs that its methods start, and files that others may read.
#
# By hand: from the build directory, .../tests/integration/secrets.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL CREDENTIALS_DIRECTORY
start_redis
redis-cli -s "$redis_socket" CONFIG SET requirepass 's3/cr:e@t' >/dev/null
url=unix:$redis_socket

umask 077
printf 's3/cr:e@t\nand no more\n' >"$tmp/password"

# as-worker removes ASQUEUE_URL from its environment, so a program that a method starts does not have it either.
plugins=$tmp/plugins
build_shell_plugin "$plugins" 2>"$tmp/err" || plugins=$agent_dir
ASQUEUE_URL="$url?password=s3%2Fcr%3Ae%40t" start worker "$as_worker" --agent-dir "$plugins" --id one
worker=$pid
wait_ready "$worker" worker
for process in $worker $(pgrep -P "$worker"); do
    [ -r "/proc/$process/environ" ] || continue
    if tr '\0' '\n' <"/proc/$process/environ" | grep 's3%2F'; then
        fail "the environment of process $process has the password"
    fi
done
if [ "$plugins" != "$agent_dir" ]; then
    ASQUEUE_URL="$url?password=s3%2Fcr%3Ae%40t"
    export ASQUEUE_URL
    "$as_ctl" create Shell --id sh >/dev/null || fail "create" "$tmp/worker.log"
    # Counts the password in the program's environment, and in that of the worker's process.
    "$as_ctl" call sh run '["env | grep -cF s3%2F; grep -caF s3%2F /proc/$PPID/environ; echo done"]' >"$tmp/out" ||
        fail "call" "$tmp/worker.log"
    unset ASQUEUE_URL
    expect "$tmp/out" '^"0.n(0.n)?done.n"$'
fi
stop "$worker"

# Both programs read a password file. They refuse one that other users may read, with the status of wrong usage.
start worker "$as_worker" -u "$url" --password-file "$tmp/password" --agent-dir "$agent_dir" --id two
worker=$pid
wait_ready "$worker" worker
"$as_ctl" -u "$url" --password-file "$tmp/password" ping >/dev/null || fail "as-ctl with --password-file"
mkdir "$tmp/credentials"
cp "$tmp/password" "$tmp/credentials/asqueue-password"
CREDENTIALS_DIRECTORY=$tmp/credentials "$as_ctl" -u "$url" ping >/dev/null || fail "as-ctl with a credential"
stop "$worker"
chmod 604 "$tmp/password"
for command in "$as_ctl ping" "$as_worker start --agent-dir $agent_dir"; do
    # shellcheck disable=SC2086 # words
    set -- $command
    program=$1
    shift
    "$program" -u "$url" --password-file "$tmp/password" "$@" >"$tmp/out" 2>"$tmp/err"
    [ $? = 2 ] || fail "status of $command with a password file for all" "$tmp/err"
    expect "$tmp/err" 'can be read by other users'
done
chmod 600 "$tmp/password"
printf 'wrong\n' >"$tmp/wrong"
chmod 600 "$tmp/wrong"
"$as_ctl" -u "$url" --password-file "$tmp/wrong" ping 2>"$tmp/err" && fail "a wrong password is taken"
grep -qF "the password from $tmp/wrong)" "$tmp/err" || fail "where a wrong password is from" "$tmp/err"
"$as_ctl" -u "$url?password=x" --password-file "$tmp/password" ping 2>"$tmp/err"
[ $? = 2 ] || fail "a URL with a password, and a file" "$tmp/err"

# Both programs warn once of a password that goes to another host without TLS, but not of one that stays on this
# machine or goes by TLS. No host has the address 192.0.2.1. A worker that runs as root says so.
plain='go to another host as plain text: use TLS'
"$as_ctl" -u redis://:pw@192.0.2.1 ping -t 300ms >"$tmp/out" 2>"$tmp/err" && fail "nobody answers as Redis"
expect_count "$tmp/err" "$plain" 1
expect_count "$tmp/out" "$plain" 0
for other in redis://192.0.2.1 redis://:pw@127.0.0.1:1 redis://:pw@[::1]:1 redis://:pw@localhost:1 "$url?password=pw"; do
    "$as_ctl" -u "$other" ping -t 300ms >"$tmp/out" 2>&1 && fail "no such Redis: $other"
    expect_count "$tmp/out" "$plain" 0
done
if grep -q 'define HAVE_TLS 1' "$builddir/config.h"; then
    "$as_ctl" -u rediss://:pw@192.0.2.1 ping -t 300ms >"$tmp/out" 2>&1 && fail "nobody answers as Redis"
    expect_count "$tmp/out" "$plain" 0
fi
start plain "$as_worker" -u redis://:pw@192.0.2.1 --agent-dir "$agent_dir" --id three
plain_pid=$pid
start here "$as_worker" -u "$url?password=s3%2Fcr%3Ae%40t" --agent-dir "$agent_dir" --id four
wait_ready "$pid" here
wait_until "the warning" grep -q "$plain" "$tmp/plain.log"
expect_count "$tmp/plain.log" "$plain" 1
expect_count "$tmp/here.log" "$plain" 0
expect_count "$tmp/here.log" 'running as root, and so does the code of all agents' $((!$(id -u)))
stop "$plain_pid"
stop "$pid"

# A model configuration that other users may read is refused as well.
echo '[]' >"$tmp/models"
chmod 644 "$tmp/models"
"$as_worker" -u "$url" --password-file "$tmp/password" --agent-dir "$agent_dir" --model-config-path "$tmp/models" \
    2>"$tmp/err"
[ $? = 2 ] || fail "status with a model file for all" "$tmp/err"
expect "$tmp/err" 'can be read by other users'
