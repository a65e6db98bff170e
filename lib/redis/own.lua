-- own.lua: says once more whose a lease is, when somebody has written over that. Others go by it when they decide
-- what is free, and died.lua when it counts a death.
--
-- KEYS: lease. ARGV: token, owner, epoch. Answer: 1, or 0 when somebody else holds it.
local held = redis.pcall('HGET', KEYS[1], 'token')
if held ~= ARGV[1] then
    return 0
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'epoch', ARGV[3])
return 1
