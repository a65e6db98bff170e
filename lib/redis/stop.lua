-- stop.lua: asks a worker process to stop, if it is one: what has a beat. Its hash keeps its time to live.
--
-- KEYS: the worker's hash. Answer: 1, or 0 when there is no such worker.
local beat = redis.pcall('HGET', KEYS[1], 'beat')
if type(beat) ~= 'string' then
    return 0
end
redis.call('HSET', KEYS[1], 'stop', '1')
return 1
