-- fetch.lua: records of agents, up to a number of bytes: of what is larger only the size, so that neither Redis nor who
-- asks ever has much more than that under way. It only reads.
--
-- KEYS: agents. ARGV: bytes at most, then the agents' ids.
-- Answer: for each id its record, nil when there is none, or an integer: the size of a record for which there was
-- no room any more.
local left, answer = tonumber(ARGV[1]), {}
for i = 2, #ARGV do
    local size, record = redis.pcall('HSTRLEN', KEYS[1], ARGV[i])
    if type(size) == 'table' then -- refused, or the key is no hash, which HGET tells as well
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
