#!/bin/sh
# ctl_calls.sh: as-ctl calls lists 100000 calls in constant memory, and says what it cannot know.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

needs_redis_cli
needs_plugins
use_redis

echo "no calls"
redis HSET 'asq:{default}:meta' format 1 partitions 4
run 0 "$as_ctl" calls
[ ! -s "$out" ] || fail "something is printed where nothing is" "$out"
expect "$err" "^as-ctl: no such calls in namespace 'default'\$"
[ "$("$as_ctl" calls --json)" = '[]' ] || fail "no empty list"
[ "$("$as_ctl" calls --count)" = 0 ] || fail "not 0"
[ "$("$as_ctl" calls --count --json)" = '{"count":0}' ] || fail "not 0 in JSON"
run 2 "$as_ctl" calls --count --limit 3
expect "$err" 'exclude each other'
run 2 "$as_ctl" calls --agent 'a b'

echo "many calls"
"$as_ctl" call tally add '[1]' --async >"$tmp/id" || fail "call"
partition=$(sed 's/-.*//' "$tmp/id")
# Copies of the call under other ids; a large one; bytes that are no batch.
# shellcheck disable=SC2016
redis EVAL 'local entry = redis.call("XRANGE", KEYS[1], "-", "+")[1][2]
    for i = 1, 99999 do
        local batch = string.sub(entry[4], 1, 10) .. string.format("%08x", i) .. string.sub(entry[4], 19)
        redis.call("XADD", KEYS[1], "*", "call", entry[2], "batch", batch)
    end
    redis.call("XADD", KEYS[1], "*", "call", "?", "batch", string.rep("x", 1000000))
    redis.call("XADD", KEYS[1], "*", "no", "batch")' 1 "asq:{default.$partition}:jobs"
[ "$("$as_ctl" calls --count)" = 100000 ] || fail "not 100000"
[ "$("$as_ctl" calls --count --agent tally --waiting)" = 100000 ] || fail "not 100000 to the agent"
[ "$("$as_ctl" calls --count --agent nobody)" = 0 ] || fail "calls to nobody"
[ "$("$as_ctl" calls --count --delayed --retrying --running --parked)" = 0 ] || fail "others that do not wait"
run 0 "$as_ctl" calls --limit 3
expect_count "$out" '^STATE +AGE +METHOD +AGENT +CALL +WHY$' 1
expect_count "$out" '^waiting +[0-9]+ [a-z]+ +add +tally +[0-9a-f-]+ *$' 3
expect "$err" '^as-ctl: the first 3; --limit shows more$'
run 0 "$as_ctl" calls --json
expect_count "$out" '^\[\{"id":.*\}\]$' 1
[ "$(grep -o '"state":"waiting"' "$out" | wc -l)" -eq 100000 ] || fail "not all are in the JSON"
if [ -z "${SAN_CFLAGS-}" ] && command -v prlimit >/dev/null; then
    [ "$(prlimit --data=60000000 "$as_ctl" calls | wc -l)" -eq 100001 ] || fail "not in 60 MB"
fi
redis DEL "asq:{default.$partition}:jobs"

echo "what a worker tells"
start worker "$as_worker" --agent-dir "$agent_dir" --id one --unload-after 0
worker=$pid
wait_ready "$worker" worker
"$as_ctl" create Echo --id e >/dev/null || fail "create"
"$as_ctl" call e sleep '[600000]' --async >/dev/null || fail "call"
parked() {
    "$as_ctl" calls --parked >"$out" 2>"$err"
    grep -Eq '^parked +[0-9]+ [a-z]+ +Echo\.sleep +e +[0-9a-f-]+ +sleeps$' "$out"
}
wait_until "the call is parked" parked
"$as_ctl" call e echo '["x"]' --async >/dev/null || fail "call"
before=$(awk '$1 == "parked" { print $6 }' "$out")
behind() {
    "$as_ctl" calls --waiting >"$out" 2>"$err"
    grep -Eq "^waiting +[0-9]+ [a-z]+ +Echo\.echo +e +[0-9a-f-]+ +behind $before of its agent\$" "$out"
}
wait_until "another one is behind it" behind
run 0 "$as_ctl" calls --waiting --json
expect "$out" "\"behind\":\"$before\""

echo "a call that runs for long, by what is usual"
cat >"$tmp/busy.c" <<'BUSY'
#include <time.h>

#include "asqueue.h"

/* Occupies its thread. */
static int spin(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t ms;
    (void) self, (void) ret;
    int rc = asq_args(ctx, args, "[I]", &ms);
    struct timespec t = { ms / 1000, ms % 1000 * 1000000 };
    if (rc == 0)
        nanosleep(&t, NULL);
    return rc;
}

static const asq_method methods[] = { { "spin", spin, "ms", 0, NULL }, { NULL, NULL, NULL, 0, NULL } };
static const asq_class busy = { ASQ_CLASS_INIT, .name = "Busy", .methods = methods };

ASQ_PLUGIN
{
    return asq_plugin_register(plugin, &busy);
}
BUSY
mkdir "$tmp/plugins"
# shellcheck disable=SC2086
if ${CC:-cc} -shared -fPIC ${SAN_CFLAGS-} -I"$srcdir/lib" -o "$tmp/plugins/busy.so" "$tmp/busy.c"; then
    start busy "$as_worker" --agent-dir "$tmp/plugins" --id busy
    wait_ready "$pid" busy
    run 0 "$as_ctl" create Busy --id b
    run 0 "$as_ctl" call b spin '[5]'
    run 0 "$as_ctl" call b spin '[3600000]' --async
    runs() {
        "$as_ctl" calls --running >"$out" 2>"$err"
        grep -Eq '^running +[0-9]+ [a-z]+ +Busy\.spin +b +[0-9a-f-]+ +running for [0-9]+ [a-z]+, median [0-9.]+ [a-z]+$' "$out"
    }
    wait_until "it is told for how long it runs" runs
fi

echo "workers that cannot be asked"
redis ACL SETUSER looks on '>x' '~*' '&*' +@all -publish
export ASQUEUE_URL="$redis_url_default?user=looks&password=x"
run 0 "$as_ctl" calls
expect "$out" '^waiting .* Echo\.sleep '
expect "$err" 'not every worker has told which calls run'
