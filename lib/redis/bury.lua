-- bury.lua: removes a dead worker from the set of workers, unless the worker has come back.
--
-- KEYS: workers, the worker's hash, beats, changes. ARGV: its id; its heartbeat counter as last seen,
-- or ''.
-- Answer: 1, or 0 if the worker lives. Each heartbeat raises the counter and adds the worker to the
-- set, so a worker that comes back at this moment is in the set again after its next heartbeat at the
-- latest.
-- include beats_index.lua
local beat = redis.pcall('HGET', KEYS[2], 'beat')
if type(beat) == 'string' and beat ~= ARGV[2] then
    return 0
end
if type(beat) == 'string' then
    redis.call('UNLINK', KEYS[2])
end
redis.call('SREM', KEYS[1], ARGV[1])
unindex(KEYS[3], KEYS[4], ARGV[1])
return 1
