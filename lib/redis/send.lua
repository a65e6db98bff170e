-- send.lua: appends a batch that a method has made, if its worker still owns the partition of the agent
-- whose method it is. Who has lost that partition may say nothing more: the call runs elsewhere, and makes
-- the same batch there.
--
-- KEYS: lease of the agent's partition, jobs. ARGV: token; call and batch: the fields of the entry.
-- Answer: the id of the entry, or the error FENCED.
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] then
    return redis.error_reply('FENCED the lease of the calling agent\'s partition holds another token')
end
return redis.pcall('XADD', KEYS[2], '*', 'call', ARGV[2], 'batch', ARGV[3])
