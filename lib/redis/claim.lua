-- claim.lua: takes a partition's lease, if it is still held as the claimer believes.
--
-- KEYS: lease, jobs, attempts. ARGV: the token that it must hold ('' for none), new owner, new token.
-- Answer: {1, epoch, seq, id of the last entry in the stream or '', attempts (field, value, …)},
-- or {0, owner, token} of who holds it. Entries up to the last may have been begun by somebody else.
local held = redis.call('HMGET', KEYS[1], 'token', 'owner', 'epoch', 'seq')
if (held[1] or '') ~= ARGV[1] then
    return { 0, held[2] or '', held[1] or '' }
end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
local attempts = redis.call('HGETALL', KEYS[3])
local epoch = tonumber(held[3] or '0') + 1
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'token', ARGV[3], 'epoch', epoch, 'seq', held[4] or '0')
return { 1, epoch, tonumber(held[4] or '0'), last[1] and last[1][1] or '', attempts }
