-- own.lua: restores the overwritten owner and epoch of a lease. Other workers find free partitions
-- by them, and died.lua counts a death by them.
--
-- KEYS: lease. ARGV: token, owner, epoch. Answer: 1, or 0 if another worker holds the lease.
local held = redis.pcall('HGET', KEYS[1], 'token')
if held ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'epoch', ARGV[3])
return 1
