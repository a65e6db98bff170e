#!/bin/sh
# plugin_end.sh: the supervisor and its processes end, after SIGTERM and after a failed start, although
# a plugin's destructor or exit handler never returns.
#
# By hand: from the build directory, .../tests/integration/plugin_end.sh
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"
unset ASQUEUE_URL CREDENTIALS_DIRECTORY
start_redis

cat >"$tmp/stay.c" <<'EOF'
#include <asqueue.h>
#include <stdlib.h>
#include <unistd.h>

static void stay(void)
{
    for (;;)
        sleep(1);
}

__attribute__((destructor)) static void at_unload(void)
{
    stay();
}

static int echo(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args;
    *ret = asq_value_int(1);
    return 0;
}

static const asq_method methods[] = { { "echo", echo, "", 0, "" }, { NULL, NULL, NULL, 0, NULL } };
static const asq_class cls = { ASQ_CLASS_INIT, .name = "Stay", .methods = methods };

ASQ_PLUGIN
{
    atexit(stay);
    return asq_plugin_register(plugin, &cls);
}
EOF
mkdir "$tmp/plugins"
# shellcheck disable=SC2086 # words
${CC:-cc} -shared -fPIC ${SAN_CFLAGS-} -I"$srcdir/lib" -o "$tmp/plugins/stay.so" "$tmp/stay.c" 2>"$tmp/err" ||
    skip "no compiler"

ended() {
    ! running "$1"
}

start worker "$as_worker" -u "$redis_url" --agent-dir "$tmp/plugins" --id w --drain-timeout 1s
worker=$pid
wait_ready "$worker" worker
process=$(pgrep -P "$worker")
stop "$worker" || fail "status $? of a worker that was stopped" "$tmp/worker.log"
expect "$tmp/worker.log" 'info    w\[[0-9]+\] w has stopped$'
for p in $process; do
    wait_until "the end of the process" ended "$p"
done

# The start fails after the plugin was loaded.
cp "$tmp/plugins/stay.so" "$tmp/plugins/twin.so"
timeout 30 "$as_worker" start -u "$redis_url" --agent-dir "$tmp/plugins" --id w >"$tmp/out" 2>"$tmp/err"
status=$?
[ "$status" != 124 ] || fail "a start that fails does not end" "$tmp/err"
[ "$status" != 0 ] || fail "two plugins with one class start"
expect "$tmp/err" "Stay"
