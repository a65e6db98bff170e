-- floor.lua: checks the lease and makes the necessary writes of a commit, and nothing else. What the library's
-- commit.lua costs above that is the cost of being general.
--
-- KEYS, for each section: lease, agents, jobs, then one key for each result.
-- ARGV: sections; for each: token, seq, sets, id, record, …, results, frame, …, ttl, channel,
-- entries, id, …
local k, a = 1, 2
local answer = {}
for section = 1, tonumber(ARGV[1]) do
    local lease, agents, jobs = KEYS[k], KEYS[k + 1], KEYS[k + 2]
    local held = redis.call('HMGET', lease, 'token', 'seq')
    if held[1] ~= ARGV[a] or tonumber(held[2] or '0') ~= tonumber(ARGV[a + 1]) - 1 then
        return 'FENCED'
    end
    redis.call('HSET', lease, 'seq', ARGV[a + 1])
    local n = tonumber(ARGV[a + 2])
    for i = 0, n - 1, 500 do
        redis.call('HSET', agents, unpack(ARGV, a + 3 + 2 * i, a + 2 + 2 * math.min(i + 500, n)))
    end
    a = a + 3 + 2 * n
    n = tonumber(ARGV[a])
    local ttl, channel = ARGV[a + n + 1], ARGV[a + n + 2]
    local frame = #ARGV[a + 1]
    local head = frame < 128 and string.char(26, frame)
        or string.char(26, 128 + frame % 128, math.floor(frame / 128))
    for i = 1, n do
        redis.call('SET', KEYS[k + 2 + i], ARGV[a + i], 'PX', ttl)
    end
    redis.call('PUBLISH', channel, table.concat(ARGV, head, a + 1, a + n))
    k = k + 3 + n
    a = a + n + 3
    n = tonumber(ARGV[a])
    redis.call('XDEL', jobs, unpack(ARGV, a + 1, a + n))
    a = a + 1 + n
    answer[section] = 1
end
return answer
