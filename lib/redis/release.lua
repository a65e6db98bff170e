-- release.lua: releases a partition. Epoch and seq remain, so that they never go back.
--
-- KEYS: lease. ARGV: token. Answer: 1, or 0 if another worker holds the lease.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
    return 0
end
redis.call('HDEL', KEYS[1], 'owner', 'token')
return 1
