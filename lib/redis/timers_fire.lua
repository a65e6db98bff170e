-- timers_fire.lua: fires timers that are due, if the lease still holds the owner's token: a timer's
-- calls enter the stream, and its next time is set, in one step. So each time is fired once,
-- whoever dies, and whatever answer is lost: a timer that has another state than the one given was
-- fired already, or set anew, and stays as it is.
--
-- KEYS: lease, jobs, timers, later:jobs. ARGV: token, then for each timer: its member of timers,
-- the state that was read, its next time in ms or '' (it is done, and is removed), what becomes of
-- an earlier call that has not ended ('q' the new one queues, 's' the new one is left out, 'c' the
-- earlier one is cancelled; 'off': it cannot be fired, and is looked at again then), a batch that
-- cancels the earlier call, or '', the number of calls, then for each: time,
-- batch id in hex, label, batch.
-- Answer: the number of calls, or 'FENCED'.
--
-- State: next time, revision, number of calls so far, time of the last call, its entry, its batch.
-- Commands that Redis may refuse come first: reads, then XADD.
local lease, jobs, timers, kept = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local prefix = string.sub(lease, 1, -6) .. 't:'
local a, fired = 2, 0

-- Returns whether the last call has not ended: its entry is in the stream, or it waits elsewhere to
-- be run again.
local function is_running(entry, batch)
    return entry ~= '-' and (#redis.call('XRANGE', jobs, entry, entry) > 0 or redis.call('HGET', kept, batch))
end

local function fire(member, name, key, state, next_ms, overlap, cancel, calls)
    local at, revision, count, last, entry, batch = string.match(state, '^(%d+) (%S+) (%d+) (%d+) (%S+) (%S+)$')
    for i = 1, calls do
        local c = a + 4 * (i - 1)
        local running = overlap ~= 'q' and is_running(entry, batch)
        if not (running and overlap == 's') then
            if running and cancel ~= '' then
                redis.call('XADD', jobs, '*', 'call', '(cancel)', 'batch', cancel)
            end
            entry = redis.call('XADD', jobs, '*', 'call', ARGV[c + 2], 'batch', ARGV[c + 3])
            last, batch, count = ARGV[c], ARGV[c + 1], count + 1
            fired = fired + 1
        end
    end
    if next_ms == '' then
        redis.call('ZREM', timers, member)
        redis.call('HDEL', key, '+' .. name, '=' .. name, '@' .. name)
    else
        redis.call('HSET', key, '+' .. name, string.format('%s %s %.0f %s %s %s', next_ms, revision, count, last, entry,
            batch))
        redis.call('ZADD', timers, next_ms, member)
    end
end

if redis.call('HGET', lease, 'token') ~= ARGV[1] then
    return 'FENCED'
end
while a <= #ARGV do
    local member, state, next_ms, overlap, cancel, calls = unpack(ARGV, a, a + 5)
    local space = string.find(member, ' ', 1, true)
    local name, key = string.sub(member, space + 1), prefix .. string.sub(member, 1, space - 1)
    calls = tonumber(calls)
    a = a + 6
    if redis.call('HGET', key, '+' .. name) ~= state then
        -- fired already, or set anew
    elseif overlap == 'off' then
        redis.call('ZADD', timers, next_ms, member)
    else
        fire(member, name, key, state, next_ms, overlap, cancel, calls)
    end
    a = a + 4 * calls
end
return fired
