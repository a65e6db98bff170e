-- pool.lua: makes a pool of the namespace, unless it is there, and tells which pools there are.
--
-- KEYS: meta. ARGV: name, number of its partitions (0: as many as the namespace has; -1: it is not to
-- be made), number of partitions that a namespace may have in all,
-- channel of the workers, who are told of a new one, format of meta.
-- Answer: {'THERE' or 'MADE', field `pools` of meta, as value/pools.h has it}; {'NONE', the same};
-- {'FULL', number of partitions that are left}; {'BAD'}: meta is not one of a namespace that this
-- version serves, as when it moves to another Redis.
local meta = redis.call('HMGET', KEYS[1], 'partitions', 'pools', 'format')
local partitions, text = tonumber(meta[1]), meta[2] or ''
local next_one = partitions
if not partitions or meta[3] ~= ARGV[5] then return { 'BAD' } end
for name, first, number in string.gmatch(text, '([^ \n]+) (%d+) (%d+)') do
    if name == ARGV[1] then return { 'THERE', text } end
    next_one = tonumber(first) + tonumber(number)
end
local number = tonumber(ARGV[2])
if number == -1 then return { 'NONE', text } end
if number == 0 then number = partitions end
if next_one + number > tonumber(ARGV[3]) then
    return { 'FULL', tonumber(ARGV[3]) - next_one }
end
if text ~= '' then text = text .. '\n' end
text = text .. string.format('%s %d %d', ARGV[1], next_one, number)
redis.call('HSET', KEYS[1], 'pools', text)
redis.call('PUBLISH', ARGV[4], '+' .. ARGV[1])
return { 'MADE', text }
