-- peers.lua: tells a worker process which other workers it has to look at: those that have come, changed
-- or gone since its last look, and those whose last heartbeat is long ago. All of them at its first
-- look, and whenever the index cannot have all: it is new, lost or harmed, or the set has workers of
-- an older asqueue, which are not in the index.
--
-- KEYS: workers, beats, changes, the hash of the process. ARGV: time of its last look, by the clock of
-- Redis in ms ('0': none); ms of the last heartbeat before which a worker is to be looked at.
-- Answer: { TIME, its own `beat` in Redis, 1 if these are all workers, ids, times of their last
-- heartbeats ('' where the index has none: a changed one is gone) }.
-- include beats_index.lua
local workers, beats, changes = KEYS[1], KEYS[2], KEYS[3]
local since = tonumber(ARGV[1])
local now_ms, time = index_time()
local beat = redis.pcall('HMGET', KEYS[4], 'beat')
local ids, times = {}, {}

local function add(id, at)
    ids[#ids + 1], times[#times + 1] = id, at or ''
end

-- Returns whether all that has happened since the last look is in the index.
local function is_complete()
    local listed, indexed = redis.pcall('SCARD', workers), redis.pcall('ZCARD', beats)
    local mark = redis.pcall('ZRANGE', changes, 0, 0, 'WITHSCORES')
    if not now_ms or error_of(listed, indexed, mark) then return false end
    return listed == indexed and mark[1] == MARK and tonumber(mark[2]) < since and since <= now_ms
end

-- Adds what is new. False: not all of that can be read.
local function add_news()
    local changed = redis.pcall('ZRANGEBYSCORE', changes, ARGV[1], '+inf')
    local silent = redis.pcall('ZRANGEBYSCORE', beats, '-inf', '(' .. ARGV[2], 'WITHSCORES')
    if error_of(changed, silent) then return false end
    for _, id in ipairs(changed) do
        local at = redis.pcall('ZSCORE', beats, id)
        if error_of(at) then return false end
        if id ~= MARK then add(id, at) end
    end
    for i = 1, #silent, 2 do add(silent[i], silent[i + 1]) end
    return true
end

-- Adds all members, and removes from the index what is not in the set any more.
local function add_all()
    local members, indexed = redis.pcall('SMEMBERS', workers), redis.pcall('ZRANGE', beats, 0, -1, 'WITHSCORES')
    if members.err then return members end
    local at = {}
    for i = 1, not indexed.err and #indexed or 0, 2 do at[indexed[i]] = indexed[i + 1] end
    for _, id in ipairs(members) do
        add(id, at[id])
        at[id] = nil
    end
    for id in pairs(at) do redis.pcall('ZREM', beats, id) end
end

beat = not beat.err and beat[1] and #beat[1] <= 20 and beat[1] or ''
time = now_ms and time or {}
if is_complete() and add_news() then return { time, beat, 0, ids, times } end
ids, times = {}, {}
return add_all() or { time, beat, 1, ids, times }
