-- died.lua: counts the death of a process against the call that it was running. The call then waits
-- before it is tried again. The supervisor of the process runs this script.
--
-- KEYS: lease, jobs, attempts. ARGV: call id, owner and epoch of the lease as the process had it,
-- id of the call's entry, seq of the commit with the call's outcome ('' if there is none yet), how
-- the process has died, first and longest wait in ms.
-- Answer: {number of deaths counted for the call, wait in ms}, or {0}: the call has ended, or the
-- partition has a new owner, which counts anew.
-- include redis_time.lua
local held = redis.call('HMGET', KEYS[1], 'owner', 'epoch', 'seq', 'clock')
if held[1] ~= ARGV[2] or held[2] ~= ARGV[3] then
    return { 0 }
end
if ARGV[5] ~= '' and (tonumber(held[3]) or 0) >= tonumber(ARGV[5]) then
    return { 0 }
end
if #redis.call('XRANGE', KEYS[2], ARGV[4], ARGV[4]) == 0 then
    return { 0 }
end
local n = redis.call('HINCRBY', KEYS[3], ARGV[1], 1)
local wait = math.min(tonumber(ARGV[7]) * 2 ^ math.min(n - 1, 30), tonumber(ARGV[8]))
local due = (redis_time(KEYS[1] .. ':time') or 0) + wait
due = due + (tonumber(string.match(held[4] or '', '^(-?%d+) ')) or 0) -- by the clock of the partition
redis.call('HSET', KEYS[3], '+' .. ARGV[1], string.format('%.0f %s', due, ARGV[6]))
return { n, wait }
