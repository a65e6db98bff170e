-- beat.lua: a heartbeat of a worker process: what it tells of itself, and its entries in the set of
-- workers and in the index of heartbeats.
--
-- KEYS: workers, the worker's hash, beats, changes. ARGV: its id; CLIENT of the process; TTL of the
-- hash in ms; '1' to write over the hash of another process; then fields of the hash and their values.
-- Answer: { { client, host, pid, beat, stopping } as the hash had them, 1, answers or errors of
-- { HSET, PEXPIRE, SADD, beats, changes }, size of `stop` or an error, 1 if others are to hear of this
-- heartbeat, because the worker has come or changed, else 0, what drain.lua asks, '' or an error }; or
-- { the same, 0 }: another process has the hash, and nothing was written.
-- include beats_index.lua
local LONGEST, LONGEST_DRAIN = 512, 16384
local FORMER = { 'client', 'host', 'pid', 'beat', 'stopping' }
-- Fields that others decide by; the beat only counts.
local DECIDES = { 'client', 'host', 'pid', 'stopping', 'id', 'capacity', 'lease_time_ms', 'knows', 'pools' }
local id, client, hash, beats, changes = ARGV[1], ARGV[2], KEYS[2], KEYS[3], KEYS[4]

-- Returns what the hash has, by name; nothing where it is no hash.
local function read_hash()
    local fields = { 'beat', unpack(DECIDES) }
    local values, found = redis.pcall('HMGET', hash, unpack(fields)), {}
    for i, field in ipairs(fields) do
        local value = not values.err and values[i]
        found[field] = value and (#value <= LONGEST or field == 'knows' or field == 'pools') and value
    end
    return found
end

local function is_of_another(found)
    local other = found.client
    return other and other ~= client and #other == 16 and not string.find(other, '%X')
end

local function is_later(key, now_ms)
    local last = redis.pcall('ZRANGE', key, -1, -1, 'WITHSCORES')
    return last[2] and tonumber(last[2]) > now_ms, last.err and last
end

-- A clock that was set back leaves heartbeats of later hours: they count as of now.
local function set_back(now_ms)
    if is_later(changes, now_ms) then redis.call('UNLINK', changes) end
    local later, failed = is_later(beats, now_ms)
    if not later then return failed end
    local all = redis.pcall('ZRANGE', beats, 0, -1, 'WITHSCORES')
    for i = 1, #all, 2 do
        if tonumber(all[i + 1]) > now_ms then redis.pcall('ZADD', beats, now_ms, all[i]) end
    end
    redis.call('UNLINK', changes) -- who looks reads everything
end

local found, had = read_hash(), {}
for i, field in ipairs(FORMER) do had[i] = found[field] or false end
if is_of_another(found) and ARGV[4] ~= '1' then return { had, 0 } end
local told, differs = {}, false
for i = 5, #ARGV, 2 do told[ARGV[i]] = ARGV[i + 1] end
for _, field in ipairs(DECIDES) do differs = differs or found[field] ~= told[field] end

local parts = { redis.pcall('HSET', hash, unpack(ARGV, 5)) }
if type(parts[1]) == 'table' then return { had, 1, parts, 0, 0, '' } end
parts[2] = redis.pcall('PEXPIRE', hash, ARGV[3])
parts[3] = redis.pcall('SADD', KEYS[1], id)
local now_ms, time = index_time()
local failed = not now_ms and time or set_back(now_ms)
parts[4] = failed or redis.pcall('ZADD', beats, now_ms, id)
parts[5] = 0
local news = differs or parts[4] == 1
if type(parts[4]) ~= 'table' then
    parts[5] = (news and note_worker(beats, changes, id, now_ms) or mark_changes(changes, now_ms)) or 0
end
local drain = redis.pcall('HGET', hash, 'drain')
if type(drain) == 'string' and #drain > LONGEST_DRAIN then drain = false end
return { had, 1, parts, redis.pcall('HSTRLEN', hash, 'stop'), news and 1 or 0, drain or '' }
