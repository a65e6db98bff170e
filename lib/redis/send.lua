-- send.lua: appends a batch that a method has made, if its worker still owns the calling agent's
-- partition, and Redis has not lost the agent's earlier commits with its last second. Otherwise the
-- calling call runs again elsewhere, and makes its batches then.
--
-- A batch made before a connection was lost (id given) is appended only while the calling call is
-- in its stream, because the calling call alone may be lost.
--
-- KEYS: lease and jobs of the calling agent's partition, jobs of the destination. ARGV: token, the
-- least seq of the lease; call and batch: the fields of the entry; id of the calling call's entry,
-- or ''.
-- Answer: the id of the entry, or the error FENCED.
local held = redis.pcall('HMGET', KEYS[1], 'token', 'seq')
if held.err and not string.find(held.err, 'WRONGTYPE', 1, true) then
    return held
end
-- A key of a wrong type is not a lease, and a seq that is not a number is not an owner's.
if held.err or held[1] ~= ARGV[1] or not ((tonumber(held[2]) or 0) >= tonumber(ARGV[2])) then
    return redis.error_reply('FENCED the lease of the calling agent\'s partition holds another token, or an older seq')
end
if ARGV[5] ~= '' and #redis.call('XRANGE', KEYS[2], ARGV[5], ARGV[5]) == 0 then
    return redis.error_reply('FENCED the calling call is not in its stream any more')
end
return redis.pcall('XADD', KEYS[3], '*', 'call', ARGV[3], 'batch', ARGV[4])
