-- note_heir.lua: adds to the death of a worker process who has taken over partitions of it.
--
-- KEYS: deaths, workers, the former owner's hash. ARGV: id of the former owner; id of the heir;
-- number of partitions; the highest epoch that their leases had.
-- Answer: 1, or 0: no death is known, as of a worker that left without handing them back.
--
-- Leases name their owner by its id, which processes have one after the other. An epoch is the time
-- of the claim or later, so the owner is not one that died before that. Clocks of a Cluster's nodes
-- differ a little.
-- include redis_time.lua
-- include deaths.lua
local owner, heir, n, epoch = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local SKEW_MS = 1000
local deaths, found = read_deaths(KEYS[1]), nil
for client, death in pairs(deaths) do
    if death.id == owner and time_of(death) + SKEW_MS >= epoch and
        (not found or time_of(deaths[found]) < time_of(death)) then
        found = client
    end
end
-- One of the set without a hash has died when nobody was there to miss it.
if not found and redis.call('HLEN', KEYS[3]) == 0 and is_listed(KEYS[2], owner) then
    local now_ms, why = redis_time(KEYS[1] .. ':time')
    if not now_ms then error(why, 0) end
    found = string.sub(redis.sha1hex(owner .. ' ' .. ARGV[4]), 1, 16)
    add_death(KEYS[1], deaths, found, now_ms, owner, 'by', heir)
    deaths[found] = {}
end
if not found then return 0 end
local heirs = 0
for name in pairs(deaths[found]) do
    heirs = heirs + (string.sub(name, 1, 1) == '+' and 1 or 0)
end
local others = heirs >= MOST_HEIRS and not deaths[found]['+' .. heir]
redis.call('HINCRBY', KEYS[1], found .. ' +' .. (others and '' or heir), n)
return 1
