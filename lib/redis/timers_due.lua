-- timers_due.lua: tells which timers of a partition are due, if the lease still holds the owner's
-- token. It changes nothing, but for a key of a wrong type, which is set aside.
--
-- KEYS: lease, timers. ARGV: token, number of timers at most, bytes of these at most (one is told
-- in any case).
-- Answer: {time of Redis in ms, ms until the next is due or -1, then for each: its member of
-- timers ("AGENT NAME"), its state, its spec, its trace or ''}, or 'FENCED'.
--
-- The keys asq:{N.P}:t:AGENT have names that the script derives, because it learns the agents only
-- from timers. A member without a timer is removed.
-- include redis_time.lua
local lease, timers = KEYS[1], KEYS[2]
local prefix = string.sub(lease, 1, -6) .. 't:'
local most_bytes = tonumber(ARGV[3])

if redis.call('HGET', lease, 'token') ~= ARGV[1] then
    return 'FENCED'
end
local card = redis.pcall('ZCARD', timers)
if type(card) == 'table' then
    if not string.find(card.err, 'WRONGTYPE', 1, true) then return card end
    redis.call('RENAME', timers, timers .. ':aside')
end
local now, why = redis_time(lease .. ':time')
if not now then error(why, 0) end
local answer, bytes = { now, -1 }, 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', timers, '-inf', now, 'LIMIT', 0, ARGV[2])) do
    local space = string.find(member, ' ', 1, true) or #member + 1
    local name = string.sub(member, space + 1)
    local held = redis.pcall('HMGET', prefix .. string.sub(member, 1, space - 1), '+' .. name, '=' .. name, '@' .. name)
    if held.err or not held[1] or not held[2] then
        redis.call('ZREM', timers, member)
    else
        bytes = bytes + #held[2]
        if #answer > 2 and bytes > most_bytes then break end
        answer[#answer + 1] = member
        answer[#answer + 1] = held[1]
        answer[#answer + 1] = held[2]
        answer[#answer + 1] = held[3] or ''
    end
end
local first = redis.call('ZRANGE', timers, 0, 0, 'WITHSCORES')
if first[2] then answer[2] = math.max(0, math.floor(tonumber(first[2]) - now)) end
return answer
