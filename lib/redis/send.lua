-- send.lua: appends a batch that a method has made, if its worker still owns the partition of the agent
-- whose method it is, and Redis still has what the agent had done before: it may have lost its last second.
-- Otherwise nothing more may be said from there: the call runs again, and makes its batches then.
--
-- What was made before the connection was lost (id given) goes on only while the call that it is made by is in
-- its stream: that can be lost alone.
--
-- KEYS: lease and jobs of the agent's partition, jobs that it goes to. ARGV: token, the seq that the lease held
-- at least; call and batch: the fields of the entry; id of the calling call's entry, or ''.
-- Answer: the id of the entry, or the error FENCED.
local held = redis.pcall('HMGET', KEYS[1], 'token', 'seq')
if held.err and not string.find(held.err, 'WRONGTYPE', 1, true) then
    return held
end
-- A key that is no lease has no owner, and no owner has a seq that is no number.
if held.err or held[1] ~= ARGV[1] or not ((tonumber(held[2]) or 0) >= tonumber(ARGV[2])) then
    return redis.error_reply('FENCED the lease of the calling agent\'s partition holds another token, or an older seq')
end
if ARGV[5] ~= '' and #redis.call('XRANGE', KEYS[2], ARGV[5], ARGV[5]) == 0 then
    return redis.error_reply('FENCED the calling call is not in its stream any more')
end
return redis.pcall('XADD', KEYS[3], '*', 'call', ARGV[3], 'batch', ARGV[4])
