-- dead_retry.lua: resends the call of a dead letter and removes the letter, in one step.
--
-- KEYS: dead, jobs, attempts. ARGV: id of the letter, id of the call ('': unknown), then the fields
-- call and batch of the new entry.
-- Answer: 1, or 0 if the letter does not exist (any more).
--
-- Commands that Redis may refuse come first, because Redis does not roll back: commands on keys
-- that may have another type, and the new entry, which is refused if memory is full.
if #redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1]) == 0 then
    return 0
end
redis.call('HLEN', KEYS[3])
redis.call('XADD', KEYS[2], '*', 'call', ARGV[3], 'batch', ARGV[4])
redis.call('XDEL', KEYS[1], ARGV[1])
if ARGV[2] ~= '' then
    redis.call('HDEL', KEYS[3], ARGV[2], '!' .. ARGV[2], '~' .. ARGV[2], '+' .. ARGV[2])
end
return 1
