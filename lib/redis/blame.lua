-- blame.lua: counts a commit that Redis keeps refusing against the calls of the commit, and
-- releases the partition: both or neither. Each call then waits before it is tried again. The
-- process that holds the partition runs this script.
--
-- KEYS: lease, jobs, attempts, a result key that no batch has. ARGV: token, seq of the last
-- accepted commit, reason of the refusal, first and longest wait in ms, then for each call: its id,
-- and the id of its entry ('': a call that is to be tried again anyway).
-- Answer: 1, or 0 without any change: the lease has another token or another seq.
--
-- The blame removes the token, so the refused commit can no longer take effect, and is blamed once
-- even if the answer is lost. The script first tries the kinds of write that a commit needs, because
-- a server that refuses them to every commit would have calls blamed without reason.
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
redis.call('HDEL', KEYS[3], '') -- fails if the key has another type, or the permission is missing
local first, longest, blamed = tonumber(ARGV[4]), tonumber(ARGV[5]), {}
for i = 6, #ARGV, 2 do
    local call, entry = ARGV[i], ARGV[i + 1]
    if not blamed[call] and (entry == '' or #redis.call('XRANGE', KEYS[2], entry, entry) == 1) then
        blamed[call] = true
        -- Text in place of the number counts as 0.
        local n = (tonumber(redis.call('HGET', KEYS[3], call) or '') or 0) + 1
        local due = now_ms + math.min(first * 2 ^ math.min(n - 1, 30), longest)
        redis.call('HSET', KEYS[3], call, string.format('%.0f', n), '+' .. call, string.format('%.0f %s', due, ARGV[3]))
    end
end
redis.call('HDEL', KEYS[1], 'owner', 'token')
return 1
