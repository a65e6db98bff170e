-- release.lua: hands a partition back. Epoch and sequence number stay, so that they never go back.
--
-- KEYS: lease. ARGV: token. Answer: 1, or 0 when somebody else holds it.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
    return 0
end
redis.call('HDEL', KEYS[1], 'owner', 'token')
return 1
