-- commit.lua: makes finished calls' effects real, each partition in one step, if it is still owned.
--
-- KEYS, for each section (partition): lease, agents, jobs, attempts, dead, then one key for each result, then, when
-- it has moves, later and later:jobs.
-- ARGV: number of sections; then for each section:
--   token, seq          the lease must hold this token, and seq - 1
--   sets, n             n is the number of records: id, record, id, record, …
--   dels, id …          agents that ended
--   results, then for each: mode ('1' the only frame of its batch, 'f' the first of several, 'a' a further
--                       one, 'l' the last), ttl in ms, frame, channels, channel …
--   entries, id …       stream entries that are done
--   marks, then pairs   field, value in attempts: calls that must not be run again from their start
--   unmarks, field …
--   deads, then for each: max, call, id, reason, attempts, worker, batch   (fields of a dead letter; max:
--                       how many the partition keeps; the oldest go)
--   moves, then for each: batch, due, kept   (due '': the batch is done; else it waits until then, in ms of the
--                       partition's clock, and `kept` is what later:jobs has of it. Its entry is among those that are done)
-- Answer: for each section 1 (2: the stream of dead letters took nothing any more, somebody has put one under the
-- highest id; it is NAME:aside now), or 'FENCED' (another token), 'SEQ n' (the lease holds n), 'ERR text'.
--
-- Whatever can refuse a write is asked before the first one, for Redis does not roll back; the first one
-- answers for its own key. It is one that Redis refuses when its memory is full; a script that has begun
-- to write is not refused any more. Pushes are hints: that one is refused changes nothing. What stands under
-- a result's key is written over where it is none.
--
-- What the sections have for one channel leaves together: a Results with the others in its field 3. Large
-- ones leave alone, for joining copies them. The largest do not leave at all, nor does what comes when there was
-- much for a channel already: Redis cuts a subscriber who has too much coming. Where they stand in their
-- record is pushed instead: a Results with the batch and the fields 4 and 5.
local LARGE, FULL, ANNOUNCED, ENOUGH = 16384, 65536, 131072, 524288
local k, a = 1, 2
local answer, written = {}, false
local lies = {}
local pushes, push_bytes, pushed = {}, {}, {}

local function publish(channel)
    redis.pcall('PUBLISH', channel, table.concat(pushes[channel]))
    pushes[channel] = nil
end

local function varint(v)
    local bytes = ''
    while v >= 128 do
        bytes = bytes .. string.char(128 + v % 128)
        v = math.floor(v / 128)
    end
    return bytes .. string.char(v)
end

-- upto: the length of the record, which ends with the frame. A frame begins with its batch: 18 bytes.
local function push(channel, frame, upto)
    local n, parts, before = #frame, pushes[channel], pushed[channel] or 0
    if n > ANNOUNCED or (before + n > ENOUGH and n > 64) then
        frame = string.sub(frame, 1, 18) .. '\32' .. varint(upto) .. '\40' .. varint(n)
        n = #frame
    end
    pushed[channel] = before + n
    if n >= LARGE then
        redis.pcall('PUBLISH', channel, frame)
    elseif not parts then
        pushes[channel], push_bytes[channel] = { frame }, n
    else
        local at = #parts
        parts[at + 1] = n < 128 and string.char(26, n) or string.char(26, 128 + n % 128, math.floor(n / 128))
        parts[at + 2] = frame
        push_bytes[channel] = push_bytes[channel] + n
        if push_bytes[channel] >= FULL then publish(channel) end
    end
end

-- Answers 2 when it had to set the stream aside.
local function add_letter(dead, ...)
    local r = redis.pcall('XADD', dead, ...)
    if type(r) ~= 'table' or not r.err then return 1 end
    if not string.find(r.err, 'exhausted', 1, true) then error(r.err, 0) end
    redis.call('RENAME', dead, dead .. ':aside')
    redis.call('XADD', dead, ...)
    return 2
end

local function skip()
    local n = tonumber(ARGV[a])
    local from = a + 1
    a = from + n
    return n, from
end

for section = 1, tonumber(ARGV[1]) do
    local lease, agents, jobs, attempts, dead = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
    local token, seq = ARGV[a], ARGV[a + 1]
    a = a + 2
    local sets, sets_at = tonumber(ARGV[a]), a + 1
    a = sets_at + 2 * sets
    local dels, dels_at = skip()
    local results, results_at = tonumber(ARGV[a]), a + 1
    a = results_at
    for _ = 1, results do
        a = a + 4 + tonumber(ARGV[a + 3])
    end
    local entries, entries_at = skip()
    local marks, marks_at = tonumber(ARGV[a]), a + 1
    a = marks_at + 2 * marks
    local unmarks, unmarks_at = skip()
    local deads, deads_at = tonumber(ARGV[a]), a + 1
    a = deads_at + 7 * deads
    local moves, moves_at = tonumber(ARGV[a]), a + 1
    a = moves_at + 3 * moves
    local later, kept = KEYS[k + 5 + results], KEYS[k + 6 + results]

    local verdict
    local held = redis.pcall('HMGET', lease, 'token', 'seq')
    if held.err then
        verdict = 'ERR ' .. lease .. ': ' .. held.err
    elseif held[1] ~= token then
        verdict = 'FENCED'
    elseif tonumber(held[2] or '0') ~= tonumber(seq) - 1 then
        verdict = 'SEQ ' .. (held[2] or '0')
    end
    local function ask(command, key)
        if not verdict then
            local r = redis.pcall(command, key)
            if type(r) == 'table' and r.err then
                verdict = 'ERR ' .. key .. ': ' .. r.err
            end
        end
    end
    if sets == 0 and dels > 0 then ask('HLEN', agents) end
    if entries > 0 then ask('XLEN', jobs) end
    if marks + unmarks > 0 then ask('HLEN', attempts) end
    if deads > 0 then ask('XLEN', dead) end
    if moves > 0 then
        ask('ZCARD', later)
        ask('HLEN', kept)
    end
    if not verdict then
        local at = results_at
        for i = 1, results do
            local key, mode = KEYS[k + 4 + i], ARGV[at]
            if mode == 'a' or mode == 'l' then
                local r = redis.pcall('STRLEN', key)
                if type(r) == 'table' and r.err then
                    lies[key] = true
                    if not string.find(r.err, 'WRONGTYPE', 1, true) then verdict = 'ERR ' .. key .. ': ' .. r.err end
                end
            end
            at = at + 4 + tonumber(ARGV[at + 3])
        end
    end

    for i = 0, verdict and -1 or sets - 1, 500 do
        local upto = math.min(i + 500, sets)
        local set = redis.pcall('HSET', agents, unpack(ARGV, sets_at + 2 * i, sets_at + 2 * upto - 1))
        if type(set) == 'table' and set.err then
            if not written and not string.find(set.err, 'WRONGTYPE', 1, true) then return set end
            verdict = 'ERR ' .. agents .. ': ' .. set.err
            break
        end
    end

    if not verdict then
        written, verdict = true, 1
        redis.call('HSET', lease, 'seq', seq)
        for i = 0, dels - 1, 1000 do
            redis.call('HDEL', agents, unpack(ARGV, dels_at + i, dels_at + math.min(i + 1000, dels) - 1))
        end
        local at = results_at
        for i = 1, results do
            local key, mode, ttl, frame = KEYS[k + 4 + i], ARGV[at], ARGV[at + 1], ARGV[at + 2]
            local upto = #frame
            if mode == '1' then
                redis.call('SET', key, frame, 'PX', ttl)
            elseif mode == 'f' or lies[key] then
                redis.call('SET', key, frame)
                if mode == 'l' then redis.call('PEXPIRE', key, ttl) end
            else
                upto = redis.call('APPEND', key, frame)
                if mode == 'l' then redis.call('PEXPIRE', key, ttl) end
            end
            local channels = tonumber(ARGV[at + 3])
            for c = 1, channels do
                push(ARGV[at + 3 + c], frame, upto)
            end
            at = at + 4 + channels
        end
        for i = 0, moves - 1 do
            local id, due = ARGV[moves_at + 3 * i], ARGV[moves_at + 3 * i + 1]
            redis.call('HDEL', kept, id .. '+')
            if due == '' then
                redis.call('HDEL', kept, id)
                redis.call('ZREM', later, id)
            else
                redis.call('HSET', kept, id, ARGV[moves_at + 3 * i + 2])
                redis.call('ZADD', later, due, id)
            end
        end
        for i = 0, entries - 1, 1000 do
            redis.call('XDEL', jobs, unpack(ARGV, entries_at + i, entries_at + math.min(i + 1000, entries) - 1))
        end
        for i = 0, marks - 1 do
            redis.call('HSET', attempts, ARGV[marks_at + 2 * i], ARGV[marks_at + 2 * i + 1])
        end
        for i = 0, deads - 1 do
            local d = deads_at + 7 * i
            verdict = math.max(verdict, add_letter(dead, 'MAXLEN', ARGV[d], '*', 'call', ARGV[d + 1], 'id', ARGV[d + 2],
                'reason', ARGV[d + 3], 'attempts', ARGV[d + 4], 'worker', ARGV[d + 5], 'batch', ARGV[d + 6]))
        end
        for i = 0, unmarks - 1, 1000 do
            redis.call('HDEL', attempts, unpack(ARGV, unmarks_at + i, unmarks_at + math.min(i + 1000, unmarks) - 1))
        end
    end
    answer[section] = verdict
    k = k + 5 + results + (moves > 0 and 2 or 0)
end
for channel in pairs(pushes) do
    publish(channel)
end
return answer
