-- own.lua: restores owner and epoch of a lease that were overwritten. Other workers use them to find free
-- partitions, and died.lua to count a death.
--
-- KEYS: lease. ARGV: token, owner, epoch. Answer: 1, or 0 if another worker holds the lease.
local held = redis.pcall('HGET', KEYS[1], 'token')
if held ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'epoch', ARGV[3])
return 1
