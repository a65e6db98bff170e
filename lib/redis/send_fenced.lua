-- send_fenced.lua: appends a batch that a method has made, in a Redis Cluster, where the lease of the
-- calling agent's partition is in another slot than the stream, so that send.lua cannot look at it.
--
-- The receiving partition keeps, for each partition that has called it, the highest epoch under which
-- it was called. An owner with a lower one has lost its partition to an owner that has sent here.
--
-- KEYS: jobs and fences of the destination. ARGV: the number of the calling agent's partition, the
-- epoch of its owner, TTL of the fences in ms; call and batch: the fields of the entry.
-- Answer: the id of the entry, or the error FENCED.
local epoch, highest = tonumber(ARGV[2]), redis.pcall('HGET', KEYS[2], ARGV[1])
if type(highest) == 'table' then
    if not string.find(highest.err, 'WRONGTYPE', 1, true) then return highest end
    redis.call('RENAME', KEYS[2], KEYS[2] .. ':aside')
    highest = false
end
highest = tonumber(highest or '') or 0
if epoch < highest then
    return redis.error_reply('FENCED a later owner of the calling agent\'s partition has called this one')
end
-- First, because Redis may refuse these for lack of memory or of rights.
if epoch > highest then
    local raised = redis.pcall('HSET', KEYS[2], ARGV[1], ARGV[2])
    if type(raised) == 'table' then return raised end
    raised = redis.pcall('PEXPIRE', KEYS[2], ARGV[3])
    if type(raised) == 'table' then return raised end
end
return redis.pcall('XADD', KEYS[1], '*', 'call', ARGV[4], 'batch', ARGV[5])
