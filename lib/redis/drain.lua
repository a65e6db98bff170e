-- drain.lua: asks a worker process to serve a pool no longer. The request begins with the CLIENT of the
-- process, so that the next one with its id does not take it. The hash keeps its TTL.
--
-- KEYS: the worker's hash. ARGV: name of the pool; most bytes of a request.
-- Answer: 1; 0: there is no such worker; -1: it is asked to drain too many pools.
local beat = redis.pcall('HGET', KEYS[1], 'beat')
local client = redis.pcall('HGET', KEYS[1], 'client')
local asked = redis.pcall('HGET', KEYS[1], 'drain')
if type(beat) ~= 'string' or type(client) ~= 'string' then
    return 0
end
local head = client .. ' '
local list = type(asked) == 'string' and string.sub(asked, 1, #head) == head and string.sub(asked, #head + 1) or ''
for name in string.gmatch(list, '[^,]+') do
    if name == ARGV[1] then return 1 end
end
list = list == '' and ARGV[1] or list .. ',' .. ARGV[1]
if #head + #list > tonumber(ARGV[2]) then
    return -1
end
redis.call('HSET', KEYS[1], 'drain', head .. list)
return 1
