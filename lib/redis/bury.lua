-- bury.lua: takes a worker that is dead out of the set of workers, unless it has come back.
--
-- KEYS: workers, the worker's hash. ARGV: its id; its beat as it was last seen, or ''.
-- Answer: 1, or 0 when it lives. A worker raises its beat before it puts itself into the set, and does both
-- with each beat, so one that comes back at this moment is there again after its next beat at the latest.
local beat = redis.pcall('HGET', KEYS[2], 'beat')
if type(beat) == 'string' and beat ~= ARGV[2] then
    return 0
end
if type(beat) == 'string' then
    redis.call('UNLINK', KEYS[2])
end
redis.call('SREM', KEYS[1], ARGV[1])
return 1
