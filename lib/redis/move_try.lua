-- move_try.lua: runs each command that a move needs on a key of its own, which it removes. A move
-- that lacks a right must end before it has begun, not in the middle.
--
-- KEYS: two keys of one slot that nothing uses. Answer: the first error, or ''.
local one, two = KEYS[1], KEYS[2]
local bad = ''

local function try(command, ...)
    local reply = redis.pcall(command, ...)
    if type(reply) == 'table' and reply.err and bad == '' then
        bad = command .. ': ' .. reply.err
    end
end

redis.pcall('UNLINK', one, two)
try('TYPE', one)
try('EXISTS', one)
try('HSET', one, 'a', 'b')
try('PEXPIRE', one, 60000)
try('PTTL', one)
try('HMGET', one, 'a')
try('HSCAN', one, 0)
try('HDEL', one, 'b')
try('RENAMENX', one, two)
try('UNLINK', two)
try('SADD', one, 'a')
try('SSCAN', one, 0)
try('UNLINK', one)
try('ZADD', one, 1, 'a')
try('ZSCAN', one, 0)
try('UNLINK', one)
try('SET', one, '', 'PX', 60000)
try('GET', one)
try('APPEND', one, 'a')
try('GETRANGE', one, 0, 1)
try('UNLINK', one)
try('XADD', one, '1-1', 'a', 'b')
try('XINFO', 'STREAM', one)
try('XRANGE', one, '-', '+', 'COUNT', 1)
try('XDEL', one, '1-1')
try('UNLINK', one)
redis.pcall('DEL', one, two)
return bad
