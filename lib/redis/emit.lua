-- emit.lua: adds what calls of one partition have emitted to their streams, if the lease still holds
-- the owner's token. It may be sent again after a lost connection: what is there already stays.
--
-- KEYS: lease, then for each entry the stream of its call.
-- ARGV: token, then for each entry: id, oldest, ttl in ms, values. id is RUN-N: the number of the
-- run, and how many values the run has emitted before; what has an id below `oldest` goes. ttl '':
-- the stream keeps the one it has; values '': there are none, and only the ttl is set.
-- Answer: 1, or 'FENCED' (another token).
--
-- A stream of a wrong type, or one that takes no more entries because of a foreign write, is overwritten, as a
-- result key is.
local held = redis.pcall('HGET', KEYS[1], 'token')
if type(held) == 'table' and not string.find(held.err, 'WRONGTYPE', 1, true) then return held end
if held ~= ARGV[1] then return 'FENCED' end

local function add(key, id, oldest, values)
    return redis.pcall('XADD', key, 'MINID', oldest, id, 'v', values)
end

for i = 2, #KEYS do
    local key, a = KEYS[i], 4 * i - 6
    local id, oldest, ttl, values = ARGV[a], ARGV[a + 1], ARGV[a + 2], ARGV[a + 3]
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
    if ttl ~= '' then redis.pcall('PEXPIRE', key, ttl) end
end
return 1
