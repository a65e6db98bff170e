-- move_seal.lua: seals a partition of a namespace that moves to another Redis: from here on nothing
-- of it changes. Its stream gets another name, and a string takes its place, so that XADD of a
-- client that is connected still is refused: what came before is moved, and nothing is lost between.
-- The lease loses its owner, so a worker that wakes up cannot commit; claim.lua leaves the partition
-- alone while it is sealed.
--
-- KEYS: jobs, jobs:moved, lease. ARGV: the seal. Answer: 1, or an error: there is something under the
-- second name.
local held = redis.pcall('GET', KEYS[1])
if type(held) == 'string' and string.find(held, 'asqueue: moved', 1, true) == 1 then
    return 1
end
if redis.call('EXISTS', KEYS[1]) == 1 then
    if redis.call('RENAMENX', KEYS[1], KEYS[2]) == 0 then
        return redis.error_reply('there are both ' .. KEYS[1] .. ' and ' .. KEYS[2])
    end
end
redis.call('SET', KEYS[1], ARGV[1])
redis.pcall('HDEL', KEYS[3], 'owner', 'token')
return 1
