-- emit.lua: adds what calls of one partition have emitted to their streams, if the lease still holds
-- the owner's token. It may be sent again after a lost connection: what is there already stays.
--
-- KEYS: lease, then for each entry the stream of its call.
-- ARGV: token, number of this flush, number of the one that has to be there before it (0: none), ttl
-- in ms, then for each entry: id, oldest, values. id is RUN-N: the number of the run, and how many
-- values the run has emitted before; what has an id below `oldest` goes. values '': there are none, and
-- only the ttl is set.
-- Answer: 1, 'FENCED' (another token), or 'EARLY' (the flush before was refused, and is still to come).
--
-- A stream takes no entry below its last one, so a flush that overtook another would shut that one out. The
-- field `flush` of the lease has the number of the last one; claim.lua begins anew.
--
-- A stream of a wrong type, or one that takes no more entries because of a foreign write, is overwritten, as a
-- result key is.
local held = redis.pcall('HMGET', KEYS[1], 'token', 'flush')
if held.err and not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
if held.err or held[1] ~= ARGV[1] then return 'FENCED' end
local last, ttl = tonumber(held[2] or '') or 0, tonumber(ARGV[4])
if last < tonumber(ARGV[3]) then return 'EARLY' end

local function add(key, id, oldest, values)
    return redis.pcall('XADD', key, 'MINID', oldest, id, 'v', values)
end

for i = 2, #KEYS do
    local key, a = KEYS[i], 3 * i - 1
    local id, oldest, values = ARGV[a], ARGV[a + 1], ARGV[a + 2]
    if values ~= '' then
        local added = add(key, id, oldest, values)
        if type(added) == 'table' and
            (string.find(added.err, 'WRONGTYPE', 1, true) or string.find(added.err, 'exhausted', 1, true)) then
            redis.pcall('UNLINK', key)
            added = add(key, id, oldest, values)
        end
        -- An id that is not above the last one: the entry was added before.
        if type(added) == 'table' and not string.find(added.err, 'equal or smaller', 1, true) then return added end
    end
    -- Also a stream that was made anew, because somebody had removed it, has to expire.
    local left = redis.pcall('PTTL', key)
    if type(left) ~= 'number' or left < ttl - ttl / 16 then redis.pcall('PEXPIRE', key, ARGV[4]) end
end
if last < tonumber(ARGV[2]) then
    local noted = redis.pcall('HSET', KEYS[1], 'flush', ARGV[2])
    if type(noted) == 'table' then return noted end
end
return 1
