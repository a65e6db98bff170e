-- move_unseal.lua: undoes move_seal.lua; the lease stays without owner.
--
-- KEYS: jobs, jobs:moved. Answer: 1, or an error: the seal was put aside by an older worker, and the
-- stream is in use.
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and string.find(held, 'asqueue: moved', 1, true) == 1 then
    redis.call('UNLINK', KEYS[1])
end
if redis.call('EXISTS', KEYS[2]) == 1 and redis.call('RENAMENX', KEYS[2], KEYS[1]) == 0 then
    return redis.error_reply('there are both ' .. KEYS[1] .. ' and ' .. KEYS[2])
end
return 1
