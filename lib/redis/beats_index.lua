-- beats_index.lua: the index of heartbeats, for scripts that include this one: a sorted set of the
-- workers' ids by the time of their last heartbeat (ms, by the clock of Redis), and one of ids by the
-- time at which a worker has come, changed or gone. Workers read the few entries since their last look
-- instead of all hashes. The lowest member of the second one is MARK: what it has is all that happened
-- since then. An index that is lost or harmed costs looks at all hashes (see peers.lua), nothing else.
local MARK, MOST_GONE = '', 1000

-- Returns the time in ms, and TIME's answer; or nil and the error.
local function index_time()
    local time = redis.pcall('TIME')
    if time.err then return nil, time end
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000), time
end

-- Returns the first of the index's errors in what commands have answered, or nil.
local function error_of(...)
    for _, reply in ipairs({ ... }) do
        if type(reply) == 'table' and reply.err then return reply end
    end
end

-- Begins the index of changes anew if it has no mark: who looks then reads everything.
local function mark_changes(changes, now_ms)
    local first = redis.pcall('ZRANGE', changes, 0, 0)
    if first.err then return first end
    if first[1] == MARK then return end
    redis.call('UNLINK', changes)
    return error_of(redis.pcall('ZADD', changes, now_ms, MARK))
end

-- Forgets the oldest changes when workers that are gone have filled the index with their ids.
local function trim_changes(beats, changes)
    local n, live = redis.pcall('ZCARD', changes), redis.pcall('ZCARD', beats)
    local failed = error_of(n, live)
    if failed or n <= 2 * live + 2 * MOST_GONE then return failed end
    local oldest = redis.pcall('ZRANGE', changes, 0, n - live - MOST_GONE, 'WITHSCORES')
    for i = 1, #oldest, 2 do redis.pcall('ZREM', changes, oldest[i]) end
    return error_of(redis.pcall('ZADD', changes, oldest[#oldest], MARK))
end

-- Notes that a worker has come, changed or gone. Returns nil or an error.
local function note_worker(beats, changes, id, now_ms)
    return mark_changes(changes, now_ms) or error_of(redis.pcall('ZADD', changes, now_ms, id)) or
        trim_changes(beats, changes)
end

-- Removes a worker from the index. Where that fails, the index has more workers than the set.
local function unindex(beats, changes, id)
    local now_ms = index_time()
    if now_ms then
        redis.pcall('ZREM', beats, id)
        note_worker(beats, changes, id, now_ms)
    end
end
