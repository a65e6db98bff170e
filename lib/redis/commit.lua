-- commit.lua: commits the effects of finished calls, each partition in one step, if the lease still
-- holds the owner's token.
--
-- KEYS, for each section (partition): lease, agents, jobs, attempts, dead, then one key for each
-- result, then, if the section has moves, later and later:jobs, then, if it has failures, failures,
-- then one key for each change of steps or signals.
-- ARGV: number of sections, or 'cluster': one section, whose channels are sharded ones in the slot
-- of its keys; then for each section:
--   token, seq          the lease must hold this token, and seq - 1
--   needs               '=' and the classes that the partition needs, for the lease; '': unchanged
--   flush               number of the flush of emitted values that must be there, see emit.lua; 0: none
--   sets, n             n is the number of snapshots: id, snapshot, id, snapshot, …
--   dels, id …          agents that ended
--   results, then for each: mode ('1' the only frame of its batch, 'f' the first of several, 'a' a
--                       further one, 'l' the last), ttl in ms, frame, channels, channel …
--   entries, id …       stream entries that are done
--   marks, then pairs   field, value in attempts: calls that must not be run again from their start
--   unmarks, field …    fields of attempts that are removed, also if the section has set them
--   deads, then for each: max, size, call, id, reason, attempts, worker, batch   (fields of a dead
--                       letter; max and size: the number and the bytes of dead letters that the
--                       partition keeps; the oldest are dropped)
--   moves, then for each: batch, due, kept   (due '': the batch is done; otherwise the batch waits
--                       until then, in ms of the partition's clock, later:jobs keeps `kept` of the
--                       batch, and the batch's entry is among the section's entries. Or: '@AGENT',
--                       '', batch: a call of the batch has the agent's first place; batch '': no
--                       call has it any more)
--   failures, then, if there are any: max, size, ttl in ms, worker, then for each: call, class,
--                       method, agent, code, message, attempt, again, args   (fields of an entry of
--                       failures, empty ones are left out; max, size: the number and the bytes of
--                       entries that are kept, the newest; they expire ttl after the last one)
--   steps, then for each: mode ('s' the first records of a call's steps, 'a' further ones, 'p' a promise
--                       of the call is open, 'd' the records are forgotten, and the call's promises get
--                       a ttl), call, records (p: the promise's id; d: ttl in ms); '=CALL' in attempts
--                       stands for the records. The names of a promise's keys are derived from that of
--                       the lease; promise_settle.lua has its form.
--                       Or, of the signals to an agent: mode ('a' further bytes, 'r' all of them
--                       anew, 'u' none are left), '', bytes
--   timers, then for each: mode ('s' set, 'd' removed, 'x' all of the agent), agent, name, first time
--                       in ms, spec, trace or ''. A timer that is set as it is already stays as it
--                       is. timers_fire.lua has its form; the names of its keys are derived from
--                       that of the lease
-- Answer: for each section 1 (2: the stream of dead letters took no more entries, because the
-- highest id was in use, and is NAME:aside now; 3: dead letters were dropped because of their
-- size; 4: failures was of a wrong type or took no more entries, and is NAME:aside now; 5: failures
-- were not kept), or 'FENCED' (another token), 'SEQ n' (the lease holds n), 'EARLY' (the flush is
-- still to come), 'ERR text'.
--
-- A section takes effect as a whole or not at all, although Redis does not roll back. The first
-- write is the lease's seq. Redis refuses this write if memory is full, or for another reason that
-- concerns the whole server, and never refuses later writes of the script for such a reason. Next,
-- a write without effect on every other key of the partition shows whether its type and the
-- permissions are right. Then come the writes that Redis may refuse for their content or for their
-- key, results first; an error undoes the earlier of these writes. The writes after these cannot be
-- refused. Failures are for people, and pushes are hints: both come last, so a refused one changes
-- nothing. A result key of the wrong type is overwritten.
--
-- Results of all sections for one channel are pushed together: a Results with the others in its
-- field 3. A large frame is pushed alone, because joining would copy it. A frame of more than
-- ANNOUNCED bytes, or one for a channel that has been sent ENOUGH, is only announced, because Redis
-- disconnects a subscriber with too much unsent data. The announcement is a Results with the batch
-- and, in the fields 4 and 5, the frame's place in its record.
local LARGE, FULL, ANNOUNCED, ENOUGH = 16384, 65536, 131072, 524288
local k, a = 1, 2
local PUBLISH = ARGV[1] == 'cluster' and 'SPUBLISH' or 'PUBLISH'
local answer, written = {}, false
local pushes, push_bytes, pushed = {}, {}, {}

local function publish(channel)
    redis.pcall(PUBLISH, channel, table.concat(pushes[channel]))
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

-- Queues a frame for its channel. upto: length of the result record, which ends with the frame. The
-- first 18 bytes of a frame are its batch.
local function push(channel, frame, upto)
    local n, parts, before = #frame, pushes[channel], pushed[channel] or 0
    if n > ANNOUNCED or (before + n > ENOUGH and n > 64) then
        frame = string.sub(frame, 1, 18) .. '\32' .. varint(upto) .. '\40' .. varint(n)
        n = #frame
    end
    pushed[channel] = before + n
    if n >= LARGE then
        redis.pcall(PUBLISH, channel, frame)
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

-- Drops the oldest dead letters, or failures, each time twice as many, until the others fit into
-- `most` bytes of memory. The newest always stays. Redis is asked for their memory, because people
-- delete letters, which would make a count wrong. Where MEMORY USAGE is denied, the number of
-- letters is the only bound.
local function drop_oldest(dead, most)
    local answer, n = 1, 1
    repeat
        local used, letters = redis.pcall('MEMORY', 'USAGE', dead, 'SAMPLES', 0), redis.call('XLEN', dead)
        if type(used) ~= 'number' or used <= most or letters < 2 then break end
        if type(redis.pcall('XTRIM', dead, 'MAXLEN', math.max(letters - n, 1))) ~= 'number' then break end
        answer, n = 3, 2 * n
    until false
    return answer
end

-- Adds failures to their stream. Returns 1, 4 or 5, as the answer has it.
local function keep_failures(key, n, at)
    local answer = 1
    for f = at + 4, at + 4 + 9 * (n - 1), 9 do
        local entry = { 'call', ARGV[f], 'class', ARGV[f + 1], 'method', ARGV[f + 2], 'agent', ARGV[f + 3], 'code',
            ARGV[f + 4], 'message', ARGV[f + 5], 'worker', ARGV[at + 3], 'attempt', ARGV[f + 6] }
        for i, name in ipairs({ 'again', 'args' }) do
            if ARGV[f + 6 + i] ~= '' then
                entry[#entry + 1] = name
                entry[#entry + 1] = ARGV[f + 6 + i]
            end
        end
        if type(redis.pcall('XADD', key, 'MAXLEN', ARGV[at], '*', unpack(entry))) == 'table' then
            redis.pcall('RENAME', key, key .. ':aside')
            if type(redis.pcall('XADD', key, 'MAXLEN', ARGV[at], '*', unpack(entry))) == 'table' then return 5 end
            answer = 4
        end
    end
    redis.pcall('PEXPIRE', key, ARGV[at + 2])
    drop_oldest(key, tonumber(ARGV[at + 1]))
    return answer
end

-- Shows whether the keys of timers may be written, and sets a key of a wrong type aside.
local function open_timers(at_hand, prefix, timers, at)
    local function try(command, key)
        at_hand.key = key
        local r = redis.pcall(command, key, '')
        if type(r) == 'table' then
            if not string.find(r.err, 'WRONGTYPE', 1, true) then error(r.err, 0) end
            redis.call('RENAME', key, key .. ':aside')
        end
    end
    try('ZREM', prefix .. 'timers')
    for i = 0, timers - 1 do try('HDEL', prefix .. 't:' .. ARGV[at + 6 * i + 1]) end
end

-- Opens a promise: its stream has one entry. One that is there already stays.
local function open_promise(at_hand, prefix, call, id)
    local key, all = prefix .. 'o:' .. id, prefix .. 'o:' .. call
    local function add(command, at, ...)
        at_hand.key = at
        local r = redis.pcall(command, at, ...)
        if type(r) == 'table' and string.find(r.err, 'WRONGTYPE', 1, true) then
            redis.call('UNLINK', at)
            r = redis.pcall(command, at, ...)
        end
        if type(r) == 'table' and not string.find(r.err, 'equal or smaller', 1, true) then error(r.err, 0) end
    end
    add('SADD', all, id)
    add('XADD', key, '0-1', 'call', call)
end

-- Undoes that. Nobody knows the promise.
local function undo_promise(prefix, call, id)
    redis.pcall('UNLINK', prefix .. 'o:' .. id)
    redis.pcall('SREM', prefix .. 'o:' .. call, id)
end

-- Has the promises of a call that has ended expire.
local function leave_promises(prefix, call, ttl)
    local all = prefix .. 'o:' .. call
    local ids = redis.pcall('SMEMBERS', all)
    if ids.err or #ids == 0 then return end
    for _, id in ipairs(ids) do redis.pcall('PEXPIRE', prefix .. 'o:' .. id, ttl) end
    redis.call('UNLINK', all)
end

-- Changes timers, in order. seq is the revision of those that are set.
local function change_timers(prefix, timers, at, seq)
    local due = prefix .. 'timers'
    for i = at, at + 6 * (timers - 1), 6 do
        local mode, agent, name = ARGV[i], ARGV[i + 1], ARGV[i + 2]
        local key = prefix .. 't:' .. agent
        if mode == 'x' then
            local fields = redis.call('HGETALL', key)
            for f = 1, #fields, 2 do
                if string.sub(fields[f], 1, 1) == '=' then
                    redis.call('ZREM', due, agent .. ' ' .. string.sub(fields[f], 2))
                end
            end
            redis.call('UNLINK', key)
        elseif mode == 'd' then
            redis.call('ZREM', due, agent .. ' ' .. name)
            redis.call('HDEL', key, '=' .. name, '+' .. name, '@' .. name)
        elseif redis.call('HGET', key, '=' .. name) == ARGV[i + 4] then
            local state = redis.call('HGET', key, '+' .. name) or ''
            redis.call('ZADD', due, 'NX', string.match(state, '^%d+') or ARGV[i + 3], agent .. ' ' .. name)
        else
            local state = ARGV[i + 3] .. ' ' .. seq .. '.' .. i .. ' 0 0 - -'
            redis.call('HSET', key, '=' .. name, ARGV[i + 4], '+' .. name, state, '@' .. name, ARGV[i + 5])
            redis.call('ZADD', due, ARGV[i + 3], agent .. ' ' .. name)
        end
    end
end

local function skip()
    local n = tonumber(ARGV[a])
    local from = a + 1
    a = from + n
    return n, from
end

-- Does the writes that Redis may refuse. `at_hand` keeps the progress: the key being written, the
-- number of results written, the earlier lengths of their records (nil: the record is new), the
-- dead letters added. The function has parameters instead of upvalues, because upvalues cost in
-- each run of the script.
local function begin(at_hand, agents, jobs, attempts, dead, later, kept, first, results, results_at, sets, sets_at,
                     dels, entries, marks, deads, deads_at, moves, steps, steps_at, steps_key, timers, timers_at,
                     lease)
    if timers > 0 then open_timers(at_hand, string.sub(lease, 1, -6), timers, timers_at) end
    if entries > 0 then
        at_hand.key = jobs
        redis.call('XDEL', jobs, '0-0')
    end
    if dels > 0 then
        at_hand.key = agents
        redis.call('HDEL', agents, '')
    end
    if marks > 0 then
        at_hand.key = attempts
        redis.call('HDEL', attempts, '')
    end
    if moves > 0 then
        at_hand.key = later
        redis.call('ZREM', later, '')
        at_hand.key = kept
        redis.call('HDEL', kept, '')
    end
    for i = 1, results do
        local at = results_at[i]
        local mode, ttl, frame = ARGV[at], ARGV[at + 1], ARGV[at + 2]
        local key = KEYS[first + i]
        at_hand.key = key
        if mode == '1' then
            at_hand.done = i
            redis.call('SET', key, frame, 'PX', ttl)
        else
            local n = mode ~= 'f' and redis.pcall('STRLEN', key)
            if type(n) == 'table' then
                if not string.find(n.err, 'WRONGTYPE', 1, true) then error(n.err, 0) end
                n = nil
            end
            at_hand.lengths = at_hand.lengths or {}
            at_hand.lengths[i] = n
            at_hand.done = i
            if n then
                redis.call('APPEND', key, frame)
            else
                redis.call('SET', key, frame)
            end
            if mode == 'l' then redis.call('PEXPIRE', key, ttl) end
        end
    end
    if deads > 0 then
        at_hand.key, at_hand.buried = dead, {}
        redis.call('XDEL', dead, '0-0')
    end
    for i = 0, deads - 1 do
        local d = deads_at + 8 * i
        local function bury()
            return redis.pcall('XADD', dead, 'MAXLEN', ARGV[d], '*', 'call', ARGV[d + 2], 'id', ARGV[d + 3],
                'reason', ARGV[d + 4], 'attempts', ARGV[d + 5], 'worker', ARGV[d + 6], 'batch', ARGV[d + 7])
        end
        local id = bury()
        if type(id) == 'table' and string.find(id.err, 'exhausted', 1, true) then
            -- The stream of dead letters takes no more entries: sets it aside.
            redis.call('RENAME', dead, dead .. ':aside')
            at_hand.outcome = 2
            id = bury()
        end
        if type(id) == 'table' then error(id.err, 0) end
        at_hand.buried[i + 1] = id
    end
    if steps > 0 then
        at_hand.key = attempts
        redis.call('HDEL', attempts, '')
        at_hand.steps, at_hand.before = 0, {}
    end
    for i = 0, steps - 1 do
        local mode, key = ARGV[steps_at + 3 * i], KEYS[steps_key + i]
        at_hand.key = key
        if mode == 'p' then
            at_hand.steps = i + 1
            open_promise(at_hand, string.sub(lease, 1, -6), ARGV[steps_at + 3 * i + 1], ARGV[steps_at + 3 * i + 2])
        elseif mode == 'r' or mode == 'u' then
            -- Shows whether the key may be written; a wrong type is overwritten.
            local r = redis.pcall('HDEL', key, '')
            if type(r) == 'table' and not string.find(r.err, 'WRONGTYPE', 1, true) then error(r.err, 0) end
        elseif mode ~= 'd' then
            local n = mode == 'a' and redis.pcall('STRLEN', key)
            if type(n) == 'table' then
                if not string.find(n.err, 'WRONGTYPE', 1, true) then error(n.err, 0) end
                n = nil
            end
            at_hand.before[i] = n
            at_hand.steps = i + 1
            redis.call(n and 'APPEND' or 'SET', key, ARGV[steps_at + 3 * i + 2])
        end
    end
    at_hand.key = agents
    for i = 0, sets - 1, 500 do
        redis.call('HSET', agents, unpack(ARGV, sets_at + 2 * i, sets_at + 2 * math.min(i + 500, sets) - 1))
    end
end

for section = 1, tonumber(ARGV[1]) or 1 do
    local lease, agents, jobs, attempts, dead = KEYS[k], KEYS[k + 1], KEYS[k + 2], KEYS[k + 3], KEYS[k + 4]
    local token, seq, needs, flush = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
    a = a + 4
    local sets, sets_at = tonumber(ARGV[a]), a + 1
    a = sets_at + 2 * sets
    local dels, dels_at = skip()
    local results, results_at = tonumber(ARGV[a]), {}
    a = a + 1
    for i = 1, results do
        results_at[i] = a
        a = a + 4 + tonumber(ARGV[a + 3])
    end
    local entries, entries_at = skip()
    local marks, marks_at = tonumber(ARGV[a]), a + 1
    a = marks_at + 2 * marks
    local unmarks, unmarks_at = skip()
    local deads, deads_at = tonumber(ARGV[a]), a + 1
    a = deads_at + 8 * deads
    local moves, moves_at = tonumber(ARGV[a]), a + 1
    a = moves_at + 3 * moves
    local later, kept = KEYS[k + 5 + results], KEYS[k + 6 + results]
    local failures, failures_at = tonumber(ARGV[a]), a + 1
    a = failures > 0 and failures_at + 4 + 9 * failures or failures_at
    local last = k + 5 + results + (moves > 0 and 2 or 0)
    local steps, steps_at = tonumber(ARGV[a]), a + 1
    a = steps_at + 3 * steps
    local timers, timers_at = tonumber(ARGV[a]), a + 1
    a = timers_at + 6 * timers
    local steps_key = last + (failures > 0 and 1 or 0)

    local verdict, needed
    local held = redis.pcall('HMGET', lease, 'token', 'seq')
    if held.err then
        verdict = 'ERR ' .. lease .. ': ' .. held.err
    elseif held[1] ~= token then
        verdict = 'FENCED'
    elseif tonumber(held[2] or '0') ~= tonumber(seq) - 1 then
        verdict = 'SEQ ' .. (held[2] or '0')
    elseif flush ~= '0' and (tonumber(redis.call('HGET', lease, 'flush') or '') or 0) < tonumber(flush) then
        verdict = 'EARLY'
    else
        local begun
        if needs == '' then
            begun = redis.pcall('HSET', lease, 'seq', seq)
        else
            needed = redis.pcall('HGET', lease, 'needs')
            begun = redis.pcall('HSET', lease, 'seq', seq, 'needs', string.sub(needs, 2))
        end
        if type(begun) == 'table' then
            if not written then return begun end
            verdict = 'ERR ' .. lease .. ': ' .. begun.err
        end
    end
    if not verdict then
        written = true
        local at_hand = { done = 0, outcome = 1 }
        local ok, why = pcall(begin, at_hand, agents, jobs, attempts, dead, later, kept, k + 4, results, results_at,
            sets, sets_at, dels, entries, marks + unmarks, deads, deads_at, moves, steps, steps_at, steps_key, timers,
            timers_at, lease)
        local lengths, buried = at_hand.lengths, at_hand.buried
        if not ok then
            verdict = 'ERR ' .. at_hand.key .. ': ' .. (type(why) == 'table' and why.err or tostring(why))
            for i = 1, at_hand.done do
                local record = KEYS[k + 4 + i]
                if lengths and lengths[i] then
                    redis.pcall('SET', record, string.sub(redis.pcall('GET', record), 1, lengths[i]))
                else
                    redis.pcall('UNLINK', record)
                end
            end
            for i = (at_hand.steps or 0) - 1, 0, -1 do
                local key, n, mode = KEYS[steps_key + i], at_hand.before[i], ARGV[steps_at + 3 * i]
                if mode == 'p' then
                    undo_promise(string.sub(lease, 1, -6), ARGV[steps_at + 3 * i + 1], ARGV[steps_at + 3 * i + 2])
                elseif n and n > 0 then
                    redis.pcall('SET', key, string.sub(redis.pcall('GET', key), 1, n))
                elseif mode == 's' or mode == 'a' then
                    redis.pcall('UNLINK', key)
                end
            end
            if buried and buried[1] then
                redis.call('XDEL', dead, unpack(buried))
                if redis.call('XLEN', dead) == 0 then redis.call('UNLINK', dead) end
            end
            if held[2] then
                redis.call('HSET', lease, 'seq', held[2])
            else
                redis.call('HDEL', lease, 'seq')
            end
            if type(needed) == 'string' then
                redis.call('HSET', lease, 'needs', needed)
            elseif needs ~= '' then
                redis.call('HDEL', lease, 'needs')
            end
        else
            for i = 0, dels - 1, 1000 do
                redis.call('HDEL', agents, unpack(ARGV, dels_at + i, dels_at + math.min(i + 1000, dels) - 1))
            end
            if timers > 0 then change_timers(string.sub(lease, 1, -6), timers, timers_at, seq) end
            for i = 0, moves - 1 do
                local id, due = ARGV[moves_at + 3 * i], ARGV[moves_at + 3 * i + 1]
                if string.byte(id) ~= 64 then redis.call('HDEL', kept, id .. '+') end
                if string.byte(id) == 64 and ARGV[moves_at + 3 * i + 2] ~= '' then
                    redis.call('HSET', kept, id, ARGV[moves_at + 3 * i + 2])
                elseif due == '' then
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
            for i = 0, steps - 1 do
                local mode, call = ARGV[steps_at + 3 * i], '=' .. ARGV[steps_at + 3 * i + 1]
                if mode == 's' then
                    redis.call('HSET', attempts, call, '1')
                elseif mode == 'd' then
                    redis.call('HDEL', attempts, call)
                    redis.call('UNLINK', KEYS[steps_key + i])
                    leave_promises(string.sub(lease, 1, -6), string.sub(call, 2), ARGV[steps_at + 3 * i + 2])
                elseif mode == 'r' then
                    redis.call('SET', KEYS[steps_key + i], ARGV[steps_at + 3 * i + 2])
                elseif mode == 'u' then
                    redis.call('UNLINK', KEYS[steps_key + i])
                end
            end
            -- Behind the steps: a call that moves to `later` may have its first records in this section.
            for i = 0, unmarks - 1, 1000 do
                redis.call('HDEL', attempts, unpack(ARGV, unmarks_at + i, unmarks_at + math.min(i + 1000, unmarks) - 1))
            end
            for i = 1, results do
                local at = results_at[i]
                for c = 1, tonumber(ARGV[at + 3]) do
                    push(ARGV[at + 3 + c], ARGV[at + 2], (lengths and lengths[i] or 0) + #ARGV[at + 2])
                end
            end
            verdict = at_hand.outcome
            if deads > 0 then verdict = math.max(verdict, drop_oldest(dead, tonumber(ARGV[deads_at + 1]))) end
            if failures > 0 then
                local kept_so = keep_failures(KEYS[last], failures, failures_at)
                if verdict == 1 then verdict = kept_so end
            end
        end
    end
    answer[section] = verdict
    k = steps_key + steps
end
for channel in pairs(pushes) do
    publish(channel)
end
return answer
