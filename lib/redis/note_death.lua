-- note_death.lua: notes in the hash of deaths that a worker process has died, once for each process,
-- whoever finds it. Its supervisor, which knows how it ended, corrects who has only missed it.
--
-- KEYS: deaths, workers, the worker's hash. ARGV: its id; its CLIENT; its host and pid; the id of
-- who says so; what is known: 'signal' and its name, 'status' and its number (from the supervisor),
-- 'silent_ms' and a time (it has sent no heartbeat), or 'heard' and '' (it has sent one after all);
-- for these two, its heartbeat counter as last seen.
-- All survivors of a large deployment send this at once, so what is known is found out in few reads.
-- Answer: 1, or 0: nothing new, or it has not died.
-- include redis_time.lua
-- include deaths.lua
local id, client, how, value = ARGV[1], ARGV[2], ARGV[6], ARGV[7]
local by_another = how == 'silent_ms'

-- Tells whether a worker that was missed lives, has left in order, or has been started again.
local function is_mistaken()
    local seen = redis.pcall('HMGET', KEYS[3], 'beat', 'client')
    if seen.err or not seen[1] then return not is_listed(KEYS[2], id) end
    return seen[1] ~= ARGV[8] or seen[2] ~= client
end

-- Tells whether the process has sent another heartbeat than this.
local function has_sent_another(beat)
    local seen = redis.pcall('HMGET', KEYS[3], 'beat', 'client')
    return not seen.err and seen[1] and seen[1] ~= beat and seen[2] == client
end

local function set(name, text)
    redis.call('HSET', KEYS[1], client .. ' ' .. name, text)
end

-- A supervisor has the number from memory of the dead process.
if #client ~= 16 or string.find(client, '%X') then return 0 end
local known = read_death(KEYS[1], client, 'time', 'silent_ms', 'heard', 'beat')
local is_dead = known.time and not known.heard
if known.time and not known.silent_ms or by_another and (is_dead or is_mistaken()) then return 0 end
if how == 'heard' and not (is_dead and has_sent_another(known.beat)) then return 0 end
local now_ms, why = redis_time(KEYS[1] .. ':time')
if not now_ms then error(why, 0) end
if how == 'heard' then
    set('heard', string.format('%.0f', now_ms))
    return 1
end
if is_dead then -- the same death, of which more is known now
    redis.call('HDEL', KEYS[1], client .. ' silent_ms', client .. ' beat')
    set(how, value)
    set('by', ARGV[5])
    return 1
end
local deaths = read_deaths(KEYS[1])
if deaths[client] then forget_death(KEYS[1], deaths, client) end
add_death(KEYS[1], deaths, client, now_ms, id, 'host', ARGV[3], 'pid', ARGV[4], 'by', ARGV[5], how, value)
if by_another then set('beat', ARGV[8]) end
return 1
