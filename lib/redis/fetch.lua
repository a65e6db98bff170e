-- fetch.lua: reads snapshots of agents, up to a number of bytes in all, and of each further one
-- only the size, so neither Redis nor the worker has to hold more at once. The script only reads.
--
-- KEYS: agents. ARGV: bytes at most, then the agents' ids.
-- Answer: for each id the snapshot, nil if there is none, or an integer: the size of a snapshot
-- that did not fit.
local left, answer = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
    local size, record = redis.pcall('HSTRLEN', KEYS[1], ARGV[i])
    if type(size) == 'table' then -- refused, or the key is not a hash: then HGET fails as well
        record = redis.call('HGET', KEYS[1], ARGV[i])
        size = record and #record or 0
    end
    if size <= left then
        left = left - size
        if record == nil then record = redis.call('HGET', KEYS[1], ARGV[i]) end
        answer[i - 1] = record
    else
        answer[i - 1] = size
    end
end
return answer
