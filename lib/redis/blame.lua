-- blame.lua: counts a commit that Redis has refused for long against its calls, and releases the partition, both or
-- neither. Each of the calls waits then before it is tried again. By the process that holds the partition.
--
-- KEYS: lease, jobs, attempts, a result key that no batch has. ARGV: token, seq of the last commit that was taken, why the
-- commit was refused, first and longest wait in ms, then for each call: its id, id of its entry ('': a call that
-- was to be tried again anyway).
-- Answer: 1, or 0: the lease is somebody else's, or has another seq. Nothing has changed then.
--
-- The token goes with the blame, so the refused commit cannot take effect any more, and is blamed once, whatever
-- becomes of the answer. What a commit writes is tried before: a server that refuses it to all has its calls
-- blamed for nothing.
-- include redis_time.lua
local held = redis.call('HMGET', KEYS[1], 'token', 'seq', 'clock')
if held[1] ~= ARGV[1] or (tonumber(held[2]) or 0) ~= tonumber(ARGV[2]) then
    return 0
end
redis.call('SET', KEYS[4], 'x', 'PX', 60000)
redis.call('APPEND', KEYS[4], 'x')
redis.call('UNLINK', KEYS[4])
local now_ms, why = redis_time(KEYS[1] .. ':time')
if not now_ms then error(why, 0) end
now_ms = now_ms + (tonumber(string.match(held[3] or '', '^(-?%d+) ')) or 0) -- by the clock of the partition
redis.call('HDEL', KEYS[3], '') -- tells of its type and of permissions
local first, longest, blamed = tonumber(ARGV[4]), tonumber(ARGV[5]), {}
for i = 6, #ARGV, 2 do
    local call, entry = ARGV[i], ARGV[i + 1]
    if not blamed[call] and (entry == '' or #redis.call('XRANGE', KEYS[2], entry, entry) == 1) then
        blamed[call] = true
        -- Text that somebody has written into the number's place counts as none.
        local n = (tonumber(redis.call('HGET', KEYS[3], call) or '') or 0) + 1
        local due = now_ms + math.min(first * 2 ^ math.min(n - 1, 30), longest)
        redis.call('HSET', KEYS[3], call, string.format('%.0f', n), '+' .. call, string.format('%.0f %s', due, ARGV[3]))
    end
end
redis.call('HDEL', KEYS[1], 'owner', 'token')
return 1
