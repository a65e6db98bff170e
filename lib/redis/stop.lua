-- stop.lua: asks a worker process to stop. A hash without a heartbeat counter is not a worker. The
-- hash keeps its TTL.
--
-- KEYS: the worker's hash. Answer: 1, or 0 if there is no such worker.
local beat = redis.pcall('HGET', KEYS[1], 'beat')
if type(beat) ~= 'string' then
    return 0
end
redis.call('HSET', KEYS[1], 'stop', '1')
return 1
