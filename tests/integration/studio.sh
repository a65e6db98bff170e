#!/bin/sh
# studio.sh: as-studio answers each path of its API, lets nobody in who may not, writes only when it may, streams
# events to many readers of which some are slow, outlives an absence of Redis, and ends by a signal.
# shellcheck disable=SC2154 # support.sh sets tmp, as_ctl, ...

. "${ASQ_TEST_SRCDIR:-$(dirname "$0")/../..}/tests/support/support.sh"

command -v curl >/dev/null || skip "no curl"
needs_plugins
[ -x "$as_studio" ] || skip "built without libmicrohttpd"
if acl_on; then as_studio=$(as_role "$as_studio" operator); fi
use_redis
head=$tmp/head

ask() { # STATUS PATH CURL-OPTION...: the answer is in $out, its head in $head
    expected=$1 path=$2
    shift 2
    : >"$out" # curl leaves it if there is no body
    status=$(curl -s -m $((limit_s * 2)) -o "$out" -D "$head" -w '%{http_code}' "$@" "$base$path") ||
        fail "curl $path" "$head" "$out" "$tmp"/*.log
    [ "$status" = "$expected" ] || fail "status $status, not $expected: $path $*" "$out" "$tmp"/*.log
}
json='Content-Type: application/json'
write() { # STATUS PATH BODY CURL-OPTION...
    wanted=$1 to=$2 body=$3
    shift 3
    ask "$wanted" "$to" -X POST -H "$json" -H "X-CSRF-Token: $csrf" -d "$body" "$@"
}
has() { # TEXT...: each is in the answer
    for text; do
        grep -qF -- "$text" "$out" || fail "no $text in the answer" "$out"
    done
}
tells() { # PATH TEXT...: whether the answer has each text now
    ask 200 "$1"
    shift
    for text; do
        grep -qF -- "$text" "$out" || return 1
    done
}
await() { # PATH TEXT...: until the answer has each text
    wait_until "$*" tells "$@"
}
read_csrf() {
    csrf=$(sed 's/.*"csrf":"\([0-9a-f]*\)".*/\1/' "$out")
}

start worker "$as_worker" --agent-dir "$agent_dir" --partitions 4 --id one --unload-after 0 --lease-time 5s --drain-timeout 1s
worker_pid=$pid
wait_ready "$worker_pid" worker
for id in tally 'a./b?<script>'; do
    "$as_ctl" create Counter --id "$id" >/dev/null || fail "create"
done
"$as_ctl" create Echo --id e >/dev/null || fail "create"
"$as_ctl" call tally add '["no number"]' >"$out" 2>&1
"$as_ctl" call e fail '["<b>\u001b[31m\u202e"]' >"$out" 2>&1

echo "wrong usage"
"$as_studio" --listen 0.0.0.0:0 >"$out" 2>&1
[ $? = 2 ] || fail "an open address without a token" "$out"
has 'give --token-file'
"$as_studio" --listen nonsense >"$out" 2>&1
[ $? = 2 ] || fail "no address" "$out"
echo short >"$tmp/short"
"$as_studio" --listen 127.0.0.1:0 --token-file "$tmp/short" >"$out" 2>&1
[ $? = 2 ] || fail "a short token" "$out"
has 'openssl rand'
(umask 0; echo 0123456789abcdef0123456789abcdef >"$tmp/open")
"$as_studio" --listen 127.0.0.1:0 --token-file "$tmp/open" >"$out" 2>&1
[ $? = 2 ] || fail "a token that others can read" "$out"
has 'can be read by other users'

echo "reading"
start_studio reads
"$as_studio" --listen "127.0.0.1:$port" >"$out" 2>&1
[ $? = 1 ] || fail "a port that is taken" "$out"
has 'another program uses the port'
ask 200 /
has '<!doctype html>'
for line in 'Content-Security-Policy: default-src .none.; script-src .self.;.*frame-ancestors .none.; base-uri .none.' \
    'X-Content-Type-Options: nosniff' 'Referrer-Policy: no-referrer' 'Content-Type: text/html'; do
    expect "$head" "^$line"
done
tag=$(sed -n 's/^ETag: \(.*\)\r$/\1/p' "$head")
ask 304 / -H "If-None-Match: $tag"
[ ! -s "$out" ] || fail "a body with 304" "$out"
ask 404 /nothing.js
ask 404 /../etc/passwd --path-as-is
ask 404 /%2e%2e/etc/passwd --path-as-is
ask 200 /api/session
has '"logged_in":true' '"allow_writes":false' '"namespace":"default"' '"login_needed":false'
if grep -q "$acl_password" "$out"; then fail "the password of Redis" "$out"; fi
await /api/overview '"up":true' '"alive":1' '"agents":3' '"owned":4' '"stats":{' '"paused":[]'
expect "$head" '^Content-Security-Policy: '
expect "$head" '^Content-Type: application/json'
expect "$head" '^Cache-Control: no-store'
await /api/workers '"id":"one.0"' '"owns":[0,1,2,3]' '"classes":["Counter","Echo"]'
await /api/partitions '{"partition":3,"owner":"one.0","epoch":'
ask 200 /api/takeovers
ask 200 /api/classes
has '"name":"add","params":["n"]' '"name":"reset","params":null' '"doc":"Counts."'
ask 200 /api/agents
has '"id":"tally"' '"id":"a./b?<script>"' '"next":null'
ask 200 '/api/agents?class=Echo&prefix=e'
has '"agents":[{"id":"e","class":"Echo"'
ask 200 '/api/agents?prefix=none'
has '{"agents":[],"next":null}'
ask 200 '/api/agents/count?class=Counter'
has '{"count":2}'
from=
: >"$tmp/ids"
for _ in 1 2 3 4 5; do
    ask 200 "/api/agents?limit=1&from=$from"
    sed 's/"next".*//' "$out" | grep -o '"id":"[^"]*"' >>"$tmp/ids"
    from=$(sed -n 's/.*"next":"\([^"]*\)".*/\1/p' "$out")
    [ -n "$from" ] || break
done
[ "$(sort -u "$tmp/ids" | wc -l)" -eq 3 ] || fail "pages of agents" "$tmp/ids"
ask 400 '/api/agents?from=9-1'
ask 200 /api/agents/a.%2Fb%3F%3Cscript%3E
has '"id":"a./b?<script>"' '"state":{"value":0}' '"owner":"one.0"' '"cut":false'
for id in . ..; do
    "$as_ctl" create Counter --id $id >/dev/null || fail "create"
    ask 200 "/api/agents/-?id=$id"
    has "\"id\":\"$id\"" '"class":"Counter"'
    ask 200 "/api/agents/-/calls?id=$id"
done
ask 400 '/api/agents?id=tally'
ask 404 /api/agents/nobody
has '"code":"ASQ_ENOAGENT"'
ask 200 /api/agents/tally/calls
has '"calls":[]' '"code":"ASQ_EARGS"'
ask 200 /api/timers
has '{"timers":[],"next":null}'
for name in b a; do
    "$as_ctl" schedule tally $name add "[\"$(printf '%0997d' 0)é\"]" --at 2096-01-01T12:00 --overlap skip >/dev/null ||
        fail "timer"
done
ask 200 '/api/timers?agent=tally&limit=1'
has '{"timers":[{"agent":"tally","name":"a","next_ms":' '"fired":0' '"method":"add"' '"at_ms":' '"overlap":"skip"' \
    '"missed":"one"' '"args_cut":true' '"next":"'
from=$(sed -n 's/.*"next":"\([^"]*\)".*/\1/p' "$out")
ask 200 "/api/timers?limit=1&from=$from"
has '"name":"b"' '"next":null'
ask 200 '/api/timers?prefix=tal&name=c'
has '{"timers":[],"next":null}'
ask 400 '/api/timers?from=x'
"$as_ctl" call --async e sleep '[600000]' >"$tmp/sleeping" || fail "call" "$tmp/sleeping"
"$as_ctl" call --async e echo '[1]' >"$tmp/behind" || fail "call" "$tmp/behind"
await '/api/calls?state=parked&agent=e' "$(cat "$tmp/sleeping")" '"why":"sleeps"' '"run_ms":' '"worker":"one.0"' '"args":"[600000]"'
await '/api/calls?state=waiting,delayed&class=Echo&limit=1' "$(cat "$tmp/behind")" '"more":false'
ask 200 /api/stats
has '"points":[{' '"step_ms":1000' '"methods":['
ask 200 '/api/stats?last_ms=86400000&class=Counter&method=add'
has '"step_ms":60000'
ask 400 '/api/stats?last_ms=86400001'
# The oldest call comes first, though others are in partitions before its own.
for id in l1 l2 l3 l4 l5 l6 l7 l8; do
    "$as_ctl" create Echo --id $id >/dev/null || fail "create"
    "$as_ctl" call --async $id sleep '[600000]' >>"$tmp/later" || fail "call"
done
await '/api/calls?limit=1' "$(cat "$tmp/sleeping")" '"more":true'
# shellcheck disable=SC2046 # words
"$as_ctl" cancel $(cat "$tmp/later") >/dev/null || fail "cancel"
# A call waits for another one's result, which waits for its turn: the sleeper holds up both.
await "/api/calls/$(cat "$tmp/behind")" "\"id\":\"$(cat "$tmp/behind")\"" "{\"from\":\"$(cat "$tmp/behind")\",\"to\":\"$(cat "$tmp/sleeping")\",\"kind\":\"waits\"}" \
    '"cycle":[]' '"more":false'
ask 404 /api/calls/0-00000000000000000000000000000000-0
has '"code":"ASQ_ENOENT"'
"$as_ctl" create Echo --id other >/dev/null || fail "create"
"$as_ctl" call --async other echo "[{\"\$future\":\"$(cat "$tmp/behind")\"}]" >"$tmp/hanging" || fail "call"
await /api/waits "{\"from\":\"$(cat "$tmp/hanging")\",\"to\":\"$(cat "$tmp/behind")\",\"kind\":\"waits\"}" \
    "\"roots\":[{\"id\":\"$(cat "$tmp/sleeping")\",\"waiting\":2,\"more\":false}" '"cycles":[]' '"cut":false' '"calls_read":'
# A call is waited for though its agent is idle; another one has to do with nobody.
for id in held alone; do
    "$as_ctl" create Counter --id $id >/dev/null || fail "create"
done
"$as_ctl" create Echo --id third >/dev/null || fail "create"
"$as_ctl" pause --class Counter >/dev/null || fail "pause"
"$as_ctl" call --async held add '[1]' >"$tmp/held" || fail "call"
"$as_ctl" call --async alone add '[1]' >"$tmp/alone" || fail "call"
"$as_ctl" call --async third echo "[{\"\$future\":\"$(cat "$tmp/held")\"}]" >"$tmp/given" || fail "call"
await /api/waits "{\"from\":\"$(cat "$tmp/given")\",\"to\":\"$(cat "$tmp/held")\",\"kind\":\"waits\"}" \
    "{\"id\":\"$(cat "$tmp/held")\",\"waiting\":1,"
if grep -q "$(cat "$tmp/alone")" "$out"; then fail "a call that has to do with nobody" "$out"; fi
ask 200 "/api/calls/$(cat "$tmp/alone")"
has "\"id\":\"$(cat "$tmp/alone")\"" '"edges":[]'
"$as_ctl" resume --class Counter >/dev/null || fail "resume"
"$as_ctl" result "$(cat "$tmp/given")" >/dev/null || fail "result"
"$as_ctl" delete held alone third --yes >/dev/null || fail "delete"
ask 200 '/api/failures?class=Counter&limit=5'
has '"code":"ASQ_EARGS"' '"agent":"tally"'
ask 200 '/api/failures?code=EFAILED&since_ms=1'
ask 200 /api/failures/summary
has '"method":"add","code":"ASQ_EARGS","count":1' '"counted":' '"more":false'
if grep -q "$(printf '\033')" "$out"; then fail "a control character that is not escaped" "$out"; fi
if ! acl_on; then
    # shellcheck disable=SC2016 # the text of Lua
    redis-cli -s "$redis_socket" EVAL 'for i = 1, 5001 do redis.call("XADD", KEYS[1], "*", "class", "Many",
        "method", "m", "code", "-1", "message", "x", "attempt", "1") end' 1 'asq:{default.0}:failures' \
        >"$tmp/redis-cli.log" || fail "failures" "$tmp/redis-cli.log"
    ask 200 '/api/failures/summary?since_ms=1'
    has '"class":"Many"' '"count":5000,' '"counted":5000,"more":true'
fi
ask 200 /api/dead
has '"letters":[]'
ask 404 /api/dead/0-1-1

echo "wrong requests"
for path in '/api/calls?limit=0' '/api/calls?limit=1e3' '/api/calls?state=lost' '/api/calls?colour=red' \
    '/api/calls?agent=%zz' '/api/calls?agent=%00' '/api/calls?agent=%ff' '/api/calls?limit=1&limit=2' \
    '/api/failures?code=nonsense'; do
    ask 400 "$path"
    has '"code":"'
done
ask 404 /api/nothing
has '"code":"NOT_FOUND"'
ask 405 /api/calls -X POST
ask 405 /api/overview -X DELETE
ask 413 /api/agents -X POST -H "$json" -H 'Content-Length: 99999999' -d '{}'
ask 403 / -H 'Host: evil.example'
ask 403 /api/overview -H "Host: evil.example:$port"
ask 403 /api/overview -H 'Host: 127.0.0.1.evil.example'
ask 403 /api/overview -H 'Host: 127.0.0.2.evil.example'
ask 200 /api/overview -H 'Host: localhost:1'
ask 200 /api/overview -H "Host: 127.0.0.2:$port"
ask 403 /api/overview -H 'Origin: http://evil.example'
ask 403 /api/overview -H 'Sec-Fetch-Site: same-site'
ask 200 /api/overview -H 'Sec-Fetch-Site: same-origin' -H "Origin: $base"
ask 200 /api/session
read_csrf
write 403 /api/agents/tally/call '{"method":"add","args":[1]}'
has '"code":"READ_ONLY"' '--allow-writes'

echo "events"
listeners=
i=0
while [ $i -lt 10 ]; do # two of them read next to nothing
    slow=
    [ $i -ge 2 ] || slow='--limit-rate 10'
    # shellcheck disable=SC2086
    curl -sN $slow -m 600 "$base/api/events" >"$tmp/events$i" 2>/dev/null &
    listeners="$listeners $!"
    pids="$pids $!"
    i=$((i + 1))
done
heard() { # N PATTERN: of the quick listeners
    for n in 2 3 4 5 6 7 8 9; do
        [ "$(grep -c "$2" "$tmp/events$n")" -ge "$1" ] || return 1
    done
}
wait_until "events" heard 3 '^data: .*"calls_per_s":[0-9]'
wait_until "workers" heard 1 '^event: workers'
heard 1 '^retry: ' && heard 1 '^data: {"up":true,"why":""}' || fail "the first events" "$tmp/events2"
ask 200 /api/overview

echo "a takeover"
kill -KILL "$worker_pid"
start worker2 "$as_worker" --agent-dir "$agent_dir" --id two --unload-after 0 --lease-time 5s
worker_pid=$pid
wait_ready "$pid" worker2
wait_until "takeovers" heard 4 '^event: takeover'
await /api/takeovers '"to":"two.0"'
# Its supervisor starts a process of the same name, which claims its partitions anew.
for child in $(cat "/proc/$worker_pid/task/$worker_pid/children"); do
    kill -KILL "$child"
done
await /api/takeovers '"from":"two.0","to":"two.0"'

echo "Redis away, and back"
kill -STOP "$redis_pid"
wait_until "the news" heard 1 '^data: {"up":false,"why":"'
ask 503 /api/calls
has '"code":"ASQ_E'
ask 200 /api/session
kill -CONT "$redis_pid"
wait_until "the good news" heard 2 '^data: {"up":true,"why":""}'
is_back() {
    [ "$(curl -s -o "$out" -w '%{http_code}' "$base/api/agents/tally")" = 200 ]
}
wait_until "an answer" is_back
kill -INT "$studio_pid"
ended() {
    ! running "$studio_pid"
}
wait_until "the end" ended
wait "$studio_pid"
status=$?
[ "$status" = 0 ] || fail "exit status $status" "$tmp/reads.log"
for listener in $listeners; do
    kill "$listener" 2>/dev/null
done

echo "writing"
start_studio writes --allow-writes
ask 200 /api/session
has '"allow_writes":true'
read_csrf
write 200 /api/agents/tally/call '{"method":"add","args":[5],"timeout_ms":60000}'
has '"ok":true' '"value":5'
write 200 /api/agents/tally/call '{"method":"add","args":{"n":2},"timeout_ms":60000}'
has '"value":7'
write 200 '/api/agents/-/call?id=..' '{"method":"add","args":[3],"timeout_ms":60000}'
has '"value":3'
write 400 '/api/agents/-/call?id=..&timeout_ms=1' '{"method":"add","args":[3]}'
write 200 /api/agents/tally/call '{"method":"add","args":["x"],"timeout_ms":60000}'
has '"ok":false' '"code":"ASQ_EARGS"'
write 200 /api/agents '{"class":"Echo","id":"fresh"}'
write 409 /api/agents '{"class":"Echo","id":"fresh"}'
# A class that is paused creates no agent yet; its id is told all the same.
write 200 /api/pause '{"class":"Echo"}'
is_obeyed() { # as-ctl notes workers that do not
    "$as_ctl" pause --class Echo 2>"$tmp/disobedient" && [ ! -s "$tmp/disobedient" ]
}
wait_until "the worker obeys" is_obeyed
write 202 /api/agents '{"class":"Echo"}'
has '"ready":null'
late=$(sed 's/.*"id":"\([^"]*\)".*/\1/' "$out")
write 200 /api/resume '{"class":"Echo"}'
is_there() {
    [ "$(curl -s -o "$out" -w '%{http_code}' "$base/api/agents/$late")" = 200 ]
}
wait_until "an agent that was late" is_there
write 202 /api/agents/fresh/call '{"method":"sleep","args":[600000],"timeout_ms":50}'
call=$(sed 's/.*"call_id":"\([^"]*\)".*/\1/' "$out")
write 200 "/api/calls/$call/cancel" '{}'
has '"end":"canceled"'
"$as_ctl" schedule fresh soon echo '[1]' --every 1h >/dev/null || fail "timer"
write 400 /api/agents/fresh/unschedule '{}'
write 404 /api/agents/nobody/unschedule '{"name": "soon"}'
write 200 /api/agents/fresh/unschedule '{"name": "soon"}'
has '{"removed":"soon"}'
[ "$("$as_ctl" schedules fresh --json)" = '[]' ] || fail "a timer that was removed"
write 200 /api/agents/fresh/delete '{}'
ask 404 /api/agents/fresh
write 404 /api/agents/fresh/delete '{}'
write 404 /api/dead/0-1-1/retry '{}'
write 404 /api/dead/0-1-1/drop '{}'
write 404 /api/workers/nobody/stop '{}'
for body in '{' '[1]' '{"method":1}' '{"method":"add","args":1}' '{"method":"add","more":1}' \
    '{"method":"add","timeout_ms":0}' '{}'; do
    write 400 /api/agents/tally/call "$body"
done
head -c 1100000 /dev/zero | tr '\0' ' ' >"$tmp/large"
ask 413 /api/agents/tally/call -X POST -H "$json" -H "X-CSRF-Token: $csrf" -H 'Transfer-Encoding: chunked' \
    --data-binary "@$tmp/large"
listen() { # NAME: sets $listener
    curl -sN -m 600 "$base/api/events" >"$tmp/$1" 2>/dev/null &
    listener=$!
    pids="$pids $!"
}
got() { # NAME PATTERN
    grep -q "$2" "$tmp/$1"
}
# While somebody listens, the last reading of the watcher is given: not one from before a write.
listen first
wait_until "an overview" got first '^event: overview'
write 200 /api/pause '{"class":"Echo"}'
has '"class":"Echo"'
ask 200 /api/paused
has '"class":"Echo"'
ask 200 /api/overview
has '"paused":[{"class":"Echo"'
wait_until "the news" got first '"paused":\[{"class":"Echo"'
# Who comes when the last states are too old (3 s, and a second until the watcher rests) is told all of them again, also
# those that are as before.
kill "$listener"
sleep 6
listen second
for event in redis overview workers; do
    wait_until "the event $event" got second "^event: $event"
done
kill "$listener"
write 200 /api/resume '{"class":"Echo"}'
has '"paused":[]'
write 200 /api/pause '{}'
has '"class":null'
write 200 /api/resume '{}'
write 400 /api/pause '{"class":"no class"}'
# A forged request has no token, no JSON, or comes from elsewhere.
body='{"method":"add","args":[100]}'
ask 403 /api/agents/tally/call -X POST -H "$json" -d "$body"
ask 403 /api/agents/tally/call -X POST -H "$json" -H 'X-CSRF-Token: 0' -d "$body"
ask 403 /api/agents/tally/call -X POST -H "X-CSRF-Token: $csrf" -d "$body"
ask 403 /api/agents/tally/call -X POST -H "X-CSRF-Token: $csrf" -H 'Content-Type: text/plain' -d "$body"
write 403 /api/agents/tally/call "$body" -H 'Origin: http://evil.example'
write 403 /api/agents/tally/call "$body" -H 'Origin: null'
write 403 /api/agents/tally/call "$body" -H 'Sec-Fetch-Site: cross-site'
write 403 /api/agents/tally/call "$body" -H 'Host: evil.example'
ask 200 /api/agents/tally
has '"state":{"value":7}'

echo "writing while Redis is away"
# A call that Redis has not taken is not told to go on, nor sent when Redis is back.
if [ "$redis_url_default" = "unix:$redis_socket" ]; then
    # Requests at once, none like another, so that as many threads as there are have a handle.
    for n in 1 2 3 4 5 6 7 8 9 10 11 12; do
        curl -s -m $((limit_s * 2)) -o "$tmp/warm$n" "$base/api/calls?limit=$n" &
        warming="${warming-} $!"
    done
    # shellcheck disable=SC2086
    wait $warming
    mv "$redis_socket" "$redis_socket.away"
    redis-cli -s "$redis_socket.away" CLIENT KILL TYPE normal >"$tmp/redis-cli.log"
    is_unknown() { # PATH BODY; a thread that has no handle cannot connect
        write 503 "$1" "$2"
        grep -q ASQ_EUNKNOWN "$out"
    }
    wait_until "a call that was not taken" is_unknown /api/agents/tally/call \
        '{"method":"add","args":[100],"timeout_ms":1}'
    has 'may still run if it was on its way'
    mv "$redis_socket.away" "$redis_socket"
    for n in 1 2 3 4 5 6 7 8 9; do # each thread asks
        wait_until "an answer" is_back
        write 200 /api/agents/tally/call '{"method":"add","args":[0]}'
    done
    ask 200 /api/agents/tally
    has '"state":{"value":7}'
fi

echo "traces"
ask 404 /v1/traces -X POST -H "$json" -d '{"resourceSpans":[]}'
ask 404 /api/traces
stop "$studio_pid" || fail "exit status $?" "$tmp"/*.log
start_studio traces --collect-traces
export_spans() { # STATUS BODY CURL-OPTION...
    expected_status=$1 spans=$2
    shift 2
    ask "$expected_status" /v1/traces -X POST -H "$json" -d "$spans" "$@"
}
t=0af7651916cd43dd8448eb211c80319c
span() { # ID PARENT START-MS END-MS NAME CALL STATUS
    printf '{"traceId":"%s","spanId":"%s","parentSpanId":"%s","name":"%s","kind":2,"startTimeUnixNano":"1700000000%s000000","endTimeUnixNano":"1700000000%s000000","attributes":[{"key":"asqueue.call_id","value":{"stringValue":"%s"}},{"key":"n","value":{"intValue":"7"}}],"status":{"code":%s,"message":"<b>"},"events":[]}' \
        $t "$1" "$2" "$5" "$3" "$4" "$6" "$7"
}
resource='"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"w"}}]}'
export_spans 200 "{\"resourceSpans\":[{$resource,\"scopeSpans\":[{\"spans\":[$(span b7ad6b7169203332 b7ad6b7169203331 110 150 Inner c2 2),$(span b7ad6b7169203331 '' 100 200 Outer c1 1)]}]}]}"
ask 200 /api/traces
has '"name":"Outer"' "\"trace_id\":\"$t\"" '"spans":2' '"errors":1' '"kept":2' '"duration_ms":100.0'
ask 200 '/api/traces?call=c2'
has '"name":"Outer"'
ask 200 '/api/traces?call=c3'
has '"traces":[]'
ask 200 /api/traces/$t
has '"start_ms":10.000000' '"status":"error"' '"message":"<b>"' '"service":"w"' '"n":7' '"parent_id":"b7ad6b7169203331"'
# A trace is called by its first span that is below none of them, whatever the ids of the others.
u=0af7651916cd43dd8448eb211c80319d
export_spans 200 "$(printf '%s' "{\"resourceSpans\":[{$resource,\"scopeSpans\":[{\"spans\":[$(span 1111111111111111 2222222222222222 100 110 queue '' 1),$(span 2222222222222222 9999999999999999 100 200 Pay c4 1)]}]}]}" | sed "s/$t/$u/g")"
ask 200 '/api/traces?call=c4'
has '"name":"Pay"' "\"trace_id\":\"$u\""
ask 404 /api/traces/nothing
export_spans 200 '{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"no"},1,null,{}]},7]},[]]}'
export_spans 400 '{"spans":[]}'
export_spans 400 '{"resourceSpans":'
export_spans 403 '{"resourceSpans":[]}' -H "Origin: $base"
export_spans 403 '{"resourceSpans":[]}' -H 'Sec-Fetch-Site: same-origin'
ask 415 /v1/traces -X POST -d '{"resourceSpans":[]}'
ask 405 /v1/traces
ask 200 '/api/traces?limit=9' # a reading of before would be shared
has '"kept":4' '"dropped":4'
ask 200 /api/session
has '"traces":true'
stop "$studio_pid" || fail "exit status $?" "$tmp"/*.log

echo "a token"
token=0123456789abcdef0123456789abcdef
echo $token >"$tmp/token"
host=0.0.0.0 start_studio token --token-file "$tmp/token" --allow-writes
ask 200 /
ask 401 /api/overview
has '"code":"UNAUTHORIZED"'
ask 401 /api/events
ask 401 /api/agents/tally/call -X POST -H "$json" -d "$body"
ask 200 /api/session
has '"logged_in":false'
if grep -q csrf "$out"; then fail "the token against forged requests" "$out"; fi
login() { # STATUS TOKEN
    ask "$1" /api/login -X POST -H "$json" -d "{\"token\":\"$2\"}"
}
login 401 wrong
login 401 "${token}0"
login 401 ''
ask 403 /api/login -X POST -d "token=$token"
login 200 $token
expect "$head" "^Set-Cookie: asq_studio_$port=[0-9a-f]{64}; Path=/; HttpOnly; SameSite=Strict"
cookie=$(sed -n 's/^Set-Cookie: \(asq_studio_[0-9]*=[0-9a-f]*\);.*/\1/p' "$head")
ask 401 /api/overview -H "Cookie: $cookie" -H 'Host: localhost:1' # another as-studio's
ask 200 /api/overview -H "Cookie: other=1; $cookie"
ask 401 /api/overview -H "Cookie: ${cookie%?}x"
ask 200 /api/session -H "Cookie: $cookie"
read_csrf
write 200 /api/agents/tally/call '{"method":"add","args":[1]}' -H "Cookie: $cookie"
write 401 /api/agents/tally/call "$body"
ask 403 /api/agents/tally/call -X POST -H "$json" -H "Cookie: $cookie" -d "$body"
ask 200 /api/overview -H "Authorization: Bearer $token"
ask 401 /api/overview -H "Authorization: Bearer ${token}0"
ask 200 /api/agents/tally/call -X POST -H "$json" -H "Authorization: Bearer $token" -d '{"method":"add","args":[1]}'
has '"value":9'
curl -sN -m 600 -H "Cookie: $cookie" "$base/api/events" >"$tmp/stream" &
pids="$pids $!"
stream_has() { # PATTERN
    grep -q "$1" "$tmp/stream"
}
wait_until "events" stream_has '^event: overview'
# A body of somebody who is not logged in is not kept, and he is told to log in all the same.
printf '{"token":"%s"}' "$(head -c 20000 /dev/zero | tr '\0' x)" >"$tmp/long"
ask 413 /api/login -X POST -H "$json" --data-binary "@$tmp/long"
ask 401 /api/agents/tally/call -X POST -H "$json" --data-binary "@$tmp/large"
ask 404 /v1/traces -X POST -H "$json" --data-binary "@$tmp/large"
ask 200 /api/logout -X POST -H "Cookie: $cookie"
ask 401 /api/overview -H "Cookie: $cookie"
wait_until "the end of the session's events" stream_has '^event: logout'
too_many() {
    curl -s -X POST -H "$json" -d '{"token":"wrong"}' "$base/api/login" | grep -q TOO_MANY
}
wait_until "a pause after many wrong tokens" too_many
login 429 $token
has 'wait a minute'
stop "$studio_pid" || fail "exit status $?" "$tmp"/*.log

echo "as-studio before Redis"
host=127.0.0.1 ASQUEUE_URL="unix:$tmp/later.sock?ns=later" start_studio early
has_note() {
    grep -q 'it is tried again while somebody looks' "$tmp/early.log"
}
has_note || fail "no note" "$tmp/early.log"
ask 503 /api/calls
ask 200 /api/session
has '"namespace":"later"'
stop "$studio_pid" || fail "exit status $?" "$tmp"/*.log
echo "all as expected"
