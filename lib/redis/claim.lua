-- claim.lua: takes a partition's lease, if the lease still holds the token that the claimer
-- expects.
--
-- KEYS: lease, jobs, attempts, dead, later, later:jobs, epoch. ARGV: the expected token ('' for
-- none), new owner, new token, the highest epoch that the claimer has heard of.
-- Answer: {1, epoch, seq, id of the last entry in the stream or '', attempts (field, value, …),
-- keys that were set aside, entries given up, time of Redis in ms, clock of the partition as the
-- last owner has kept it (later_clock.c) or '', fields of attempts that were removed, classes that
-- the partition needs}, or {0, owner, token} of the present lease. Earlier owners may have begun the
-- entries up to the last.
--
-- A key of a wrong type would keep every worker from the partition. The script renames such a key
-- to NAME:aside, where an operator finds it. The partition had lost the right key's content before.
-- The seal of move_seal.lua stays: a namespace that has moved elsewhere has no owners.
--
-- The answer is bounded, whatever somebody has written: a field of attempts that is longer than the
-- owner's are (attempts.h) is removed, and more fields or bytes than owners ever write are set aside
-- like a key of a wrong type. An owner, token, clock or set of classes that is too long counts as
-- none.
--
-- An epoch is a fencing token, and must be higher than every earlier epoch. The lease keeps the
-- epoch, and the epoch key keeps it once more, because people delete leases. The claimer may know a
-- later one still, if Redis has lost its last second. An epoch is never lower than the time in ms,
-- which helps where no epoch is known. So an epoch repeats only if all of these are lost and the
-- clock was put back as well.
-- include redis_time.lua
local LARGEST = 2 ^ 53 - 2 ^ 32 -- a script counts exactly up to 2^53; the rest is room to count on
local aside = {}
-- In bytes, but for the number of fields: far more than the calls that wait in a worker's memory.
local LONGEST_FIELD, LONGEST_VALUE, MOST_FIELDS, MOST_BYTES = 64, 1024, 1000000, 2 ^ 26
local LONGEST_TEXT = 512 -- an owner, a token, a clock: as ASQ__FIELD_MAX of fields.h
local LONGEST_NEEDS = 16384 -- as ASQ__CLASSES_MAX of classes.h

-- Runs a command that needs the key to be of its type. Returns nil if the key has another type, or
-- if a ZCARD fails: not every worker may use sorted sets.
local function try(command, key, ...)
    local r = redis.pcall(command, key, ...)
    if type(r) ~= 'table' or not r.err then
        return r
    end
    if string.find(r.err, 'WRONGTYPE', 1, true) then
        aside[#aside + 1] = key
    elseif command ~= 'ZCARD' then
        error(r.err, 0)
    end
end

-- Returns a text of the lease; '' if there is none.
local function short(text, longest)
    return text and #text <= (longest or LONGEST_TEXT) and text or ''
end

-- Returns the fields and values of attempts, and the fields that are too long.
local function read_attempts(key)
    local n = try('HLEN', key)
    local kept, odd, bytes = {}, {}, 0
    if not n then return kept, odd end
    local all = n <= MOST_FIELDS and redis.call('HGETALL', key) or {}
    for i = 1, #all, 2 do
        local field, value = all[i], all[i + 1]
        if #field > LONGEST_FIELD or #value > LONGEST_VALUE then
            odd[#odd + 1] = field
        else
            kept[#kept + 1] = field
            kept[#kept + 1] = value
            bytes = bytes + #field + #value
        end
    end
    if n > MOST_FIELDS or bytes > MOST_BYTES then
        aside[#aside + 1] = key
        return {}, {}
    end
    return kept, odd
end

-- Returns a number; text in place of the number counts as 0.
local function count(text)
    local n = string.find(text or '', '^%d+$') and tonumber(text) or 0
    return n < LARGEST and n or 0
end

-- Tells whether an id is so near to the highest possible id that the stream will soon take no
-- entry.
local END = '18446744073709551615-18446744073709551615'
local function is_last(id)
    return string.find(id, '^18446744073709551615%-18446744073%d%d%d%d%d%d%d%d%d$') ~= nil
end

-- Adds a dead letter. Sets the stream of dead letters aside if it takes no more entries.
local function add_letter(dead, ...)
    local r = redis.pcall('XADD', dead, ...)
    if type(r) == 'table' and r.err then
        if not string.find(r.err, 'exhausted', 1, true) then error(r.err, 0) end
        redis.call('RENAME', dead, dead .. ':aside')
        redis.call('XADD', dead, ...)
        aside[#aside + 1] = dead
    end
end

-- Makes the stream usable again: entries under ids that leave no room become dead letters, and the
-- others keep their ids. Returns the number of entries given up.
local function mend(jobs, dead)
    local mended, from, given_up, kept = jobs .. ':mended', '-', 0, 0
    redis.call('UNLINK', mended)
    repeat
        local page = redis.call('XRANGE', jobs, from, '+', 'COUNT', 500)
        for _, entry in ipairs(page) do
            local id, fields = entry[1], entry[2]
            local known = { call = '?', batch = '' }
            for i = 1, math.min(#fields, 64), 2 do
                known[fields[i]] = fields[i + 1]
            end
            if is_last(id) or #fields > 4000 then
                add_letter(dead, '*', 'call', known.call, 'id', '', 'reason',
                    'its id was so high that the stream had no room after it: ' .. id, 'attempts', 0,
                    'worker', ARGV[2], 'batch', known.batch)
                given_up = given_up + 1
            else
                redis.call('XADD', mended, id, unpack(fields))
                kept = kept + 1
            end
        end
        local last = #page > 0 and page[#page][1]
        from = last and '(' .. last
    until #page < 500 or last == END
    if kept > 0 then
        redis.call('RENAME', mended, jobs)
    else
        redis.call('UNLINK', jobs)
    end
    return given_up
end

local held = try('HMGET', KEYS[1], 'token', 'owner', 'epoch', 'seq', 'clock', 'needs') or {}
if short(held[1]) ~= ARGV[1] then
    return { 0, short(held[2]), short(held[1]) }
end
local last = try('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1) or {}
local seal = aside[#aside] == KEYS[2] and redis.pcall('GET', KEYS[2])
if type(seal) == 'string' and string.find(seal, 'asqueue: moved', 1, true) == 1 then
    return { 0, '', '' }
end
local attempts, odd = read_attempts(KEYS[3])
try('XLEN', KEYS[4])
try('ZCARD', KEYS[5])
try('HLEN', KEYS[6])
local beside = try('GET', KEYS[7])
for _, key in ipairs(aside) do
    redis.call('RENAME', key, key .. ':aside')
end
-- The entry under the highest id may have been deleted: then only an attempt to add an entry shows
-- it.
local ended = last[1] and is_last(last[1][1])
if not ended and redis.call('EXISTS', KEYS[2]) == 1 then
    local probe = redis.pcall('XADD', KEYS[2], '*', 'call', '')
    ended = type(probe) == 'table' and probe.err and string.find(probe.err, 'exhausted', 1, true)
    if type(probe) == 'string' then redis.call('XDEL', KEYS[2], probe) end
end
local given_up = 0
if ended then
    given_up = mend(KEYS[2], KEYS[4])
    last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
end
local now_ms, why = redis_time(KEYS[1] .. ':time')
if not now_ms then error(why, 0) end
local epoch = math.max(count(held[3]) + 1, count(beside or '') + 1, count(ARGV[4]) + 1, now_ms)
local text = string.format('%.0f', epoch)
local seq = count(held[4])
redis.call('SET', KEYS[7], text)
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'token', ARGV[3], 'epoch', text, 'seq', string.format('%.0f', seq),
    'flush', '0')
for i = 1, #odd, 1000 do
    redis.call('HDEL', KEYS[3], unpack(odd, i, math.min(i + 999, #odd)))
end
return { 1, epoch, seq, last[1] and last[1][1] or '', attempts, aside, given_up, now_ms,
    short(held[5]), #odd, short(held[6], LONGEST_NEEDS) }
