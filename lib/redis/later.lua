-- later.lua: moves due batches back into their stream, and looks up or updates some waiting
-- batches, if the lease still holds the owner's token. All of it is one step, and depends only on
-- the keys' content: a second run changes nothing more.
--
-- KEYS: lease, jobs, later, later:jobs. ARGV: token, time of the partition in ms, mark of the
-- partition's clock (later_clock.c), number of due batches moved at most, bytes of these at most
-- (one is moved in any case); then for each batch asked about: its id, an encoded Later to be added
-- to it, and 'back' to move the batch now, due or not, or 'stay'. '@AGENT' stands for the batch with
-- the call that has the agent's first place.
-- Answer: {batches moved, ms until the next is due, -1: none waits, -2: nor is one in the stream
-- again, time of the partition in ms, batches missing in later:jobs, batches that were missing in
-- later, then for each batch asked about: 1 it waits, 2 it is in the stream again, 0 neither; of an
-- agent the id of its entry in place of 2}, or 'FENCED'.
--
-- Until a batch is done, later:jobs has for it: BATCH, the encoded Later, or the id of its entry
-- once it was moved back; and BATCH+, the additions since. Until a call that sleeps in its agent's
-- first place has ended, or given up the place, it has @AGENT, the batch.
-- include redis_time.lua
local MOST_ADDED = 65536
local LOST_PAGE, LOST_PAGES = 16, 8 -- fields of a page (values may be large); pages without a find
local CLOCK_MS, CLOCK_AGAIN_MS = 1000, 10000 -- largest error and age of the clock in the lease
local lease, jobs, later, kept = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local now, mark, most, most_bytes = tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

-- Returns the content of the bytes field that begins at `at`, and the beginning of the next field;
-- or nil if no such field is there.
local function field(value, at, tag)
    local n, factor, byte = 0, 1
    if string.byte(value, at) ~= tag then return nil end
    repeat
        at = at + 1
        byte = string.byte(value, at)
        if not byte or factor > 268435456 then return nil end
        n = n + byte % 128 * factor
        factor = factor * 128
    until byte < 128
    if at + n > #value then return nil end
    return string.sub(value, at + 1, at + n), at + n + 1
end

-- Moves a batch into the stream. Unreadable bytes go there unchanged: the owner makes a dead letter
-- of them.
local function back(id, value, added)
    local call, at = field(value, 1, 10)
    local batch, rest
    if call then batch, rest = field(value, at, 18) end
    if batch then
        redis.call('HSET', kept, id, redis.call('XADD', jobs, '*', 'call', call, 'batch', batch,
            'later', string.sub(value, rest) .. added))
    else
        redis.call('XADD', jobs, '*', 'call', '?', 'batch', value)
        redis.call('HDEL', kept, id)
    end
    redis.call('HDEL', kept, id .. '+')
    redis.call('ZREM', later, id)
end

local function is_entry(value)
    return string.find(value, '^%d') ~= nil
end

-- Makes batches due that wait in later:jobs alone, because `later` was deleted. The owner reads the
-- real due time from the batch, and moves the batch out of the stream again. Finds all of them at
-- once, because a batch in `later` would end the next search. Returns the number of batches found.
local function find_lost()
    local found, cursor, pages = 0, '0', LOST_PAGES
    if redis.call('ZCARD', later) > 0 or redis.call('HLEN', kept) == 0 then return 0 end
    repeat
        local page = redis.pcall('HSCAN', kept, cursor, 'COUNT', LOST_PAGE)
        if page.err then break end -- the user may not run HSCAN
        for f = 1, #page[2], 2 do
            local id, value = page[2][f], page[2][f + 1]
            if not is_entry(value) and string.sub(id, -1) ~= '+' and string.byte(id) ~= 64 then
                redis.call('ZADD', later, now, id)
                found = found + 1
            end
        end
        cursor = page[1]
        pages = pages - 1
    until cursor == '0' or pages == 0 and found == 0 -- most are in the stream: reads on once they end
    return found
end

-- Keeps the clock in the lease. This write is the last one, so a full Redis refuses an earlier one,
-- because the clock can wait.
local function keep_clock(text)
    local redis_ms = redis_time(lease .. ':time')
    if not redis_ms then return end
    local plus, at, marked = string.match(text or '', '^(-?%d+) (%d+) ?(.*)$')
    if not at or marked ~= mark or math.abs(redis_ms + tonumber(plus) - now) > CLOCK_MS or
        math.abs(now - tonumber(at)) > CLOCK_AGAIN_MS then
        text = string.format('%.0f %.0f', now - redis_ms, now)
        redis.pcall('HSET', lease, 'clock', mark == '' and text or text .. ' ' .. mark)
    end
end

local held = redis.call('HMGET', lease, 'token', 'clock')
if held[1] ~= ARGV[1] then
    return 'FENCED'
end
-- Commands that Redis may refuse come first, because keys may have another type. The first write is
-- one that Redis refuses if memory is full.
redis.call('XLEN', jobs)
local found = find_lost()
local due = redis.call('ZRANGEBYSCORE', later, '-inf', now, 'LIMIT', 0, most)
local moved, lost, bytes, gone = 0, 0, 0, {}
for _, id in ipairs(due) do
    local value = redis.call('HGET', kept, id)
    if value and not is_entry(value) then
        if moved > 0 and bytes + #value > most_bytes then break end
        bytes = bytes + #value
        moved = moved + 1
        back(id, value, redis.call('HGET', kept, id .. '+') or '')
    else
        gone[#gone + 1] = id
    end
end
local answer = {}
for i = 6, #ARGV, 3 do
    local id, more = ARGV[i], ARGV[i + 1]
    local agent = string.byte(id) == 64 and id
    if agent then id = redis.call('HGET', kept, agent) or '' end
    local value = redis.call('HGET', kept, id)
    local state = 0
    if value and is_entry(value) then
        state = agent and value or 2
    elseif value then
        state = 1
        local added = redis.call('HGET', kept, id .. '+') or ''
        if ARGV[i + 2] == 'back' then
            back(id, value, added .. more)
            if agent then state = redis.call('HGET', kept, id) or 0 end
        elseif #added + #more <= MOST_ADDED and not string.find(added, more, 1, true) then
            redis.call('HSET', kept, id .. '+', added .. more)
        end
    elseif agent and id ~= '' then
        redis.call('HDEL', kept, agent) -- the batch was removed by hand
    end
    answer[#answer + 1] = state
end
for _, id in ipairs(gone) do
    redis.call('ZREM', later, id)
    lost = lost + 1
end
keep_clock(held[2])
local first = redis.call('ZRANGE', later, 0, 0, 'WITHSCORES')
local next_ms = first[2] and math.max(0, math.floor(tonumber(first[2]) - now)) or
    redis.call('HLEN', kept) > 0 and -1 or -2
return { moved, next_ms, now, lost, found, unpack(answer) }
