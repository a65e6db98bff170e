-- note_heir.lua: adds to the death of a worker process who has taken over partitions of it.
--
-- KEYS: deaths, workers, the former owner's hash. ARGV: id of the former owner; id of the heir;
-- number of partitions; the highest epoch that their leases had; the CLIENT of the last process of
-- the former owner, as the heir knows it, or ''.
-- Answer: 1, or 0: no death is known, as of a worker that left without handing them back.
--
-- Leases name their owner by its id, which processes have one after the other. An epoch is the time
-- of the claim or later, so the owner is not one that died before that. Clocks of a Cluster's nodes
-- differ a little. Each heir of a large deployment sends this, so all deaths are read only where that
-- process's death does not fit.
-- include redis_time.lua
-- include deaths.lua
local owner, heir, n, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local SKEW_MS = 1000
local found, known = ARGV[5], read_death(KEYS[1], ARGV[5], 'id', 'time', 'heirs', '+' .. heir)

local function fits(death)
    return death.id == owner and time_of(death) + SKEW_MS >= epoch
end

local deaths
if not fits(known) then
    deaths, found, known = read_deaths(KEYS[1]), nil, nil
    for client, death in pairs(deaths) do
        if fits(death) and (not known or time_of(known) < time_of(death)) then
            found, known = client, death
        end
    end
end
-- One of the set without a hash has died when nobody was there to miss it.
if not found and redis.call('HLEN', KEYS[3]) == 0 and is_listed(KEYS[2], owner) then
    local now_ms, why = redis_time(KEYS[1] .. ':time')
    if not now_ms then error(why, 0) end
    found = string.sub(redis.sha1hex(owner .. ' ' .. ARGV[4]), 1, 16)
    add_death(KEYS[1], deaths, found, now_ms, owner, 'by', heir)
    known = {}
end
if not found then return 0 end
local heirs = tonumber(known.heirs) or 0
local is_one_more = not known['+' .. heir] and heirs < MOST_HEIRS
if is_one_more then redis.call('HSET', KEYS[1], found .. ' heirs', heirs + 1) end
local name = (is_one_more or known['+' .. heir]) and heir or ''
redis.call('HINCRBY', KEYS[1], found .. ' +' .. name, n)
return 1
