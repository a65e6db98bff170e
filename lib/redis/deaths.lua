-- deaths.lua: the hash of deaths, for scripts that include this one. A death has fields "CLIENT NAME",
-- where CLIENT is the number of the dead process, and one for each heir, "CLIENT +ID". The hash is
-- bounded, whatever somebody has written.
local DAY_MS, MOST, MOST_OF_ONE, MOST_HEIRS = 86400000, 100, 10, 64
local MOST_FIELDS = MOST * (MOST_HEIRS + 16)

-- Returns the deaths: CLIENT → { NAME → value }. A key that cannot be this hash is set aside.
local function read_deaths(key)
    local n, deaths = redis.pcall('HLEN', key), {}
    if type(n) == 'table' and string.find(n.err, 'WRONGTYPE', 1, true) then
        redis.call('RENAME', key, key .. ':aside')
        n = 0
    elseif type(n) == 'table' then
        error(n.err, 0)
    elseif n > MOST_FIELDS then
        redis.call('UNLINK', key)
        n = 0
    end
    local all = n > 0 and redis.call('HGETALL', key) or {}
    for i = 1, #all, 2 do
        local client, name = string.match(all[i], '^(%x+) (.+)$')
        if client then
            deaths[client] = deaths[client] or {}
            deaths[client][name] = all[i + 1]
        end
    end
    return deaths
end

-- Returns some fields of one death: NAME → value. Where the key is no hash: none.
local function read_death(key, client, ...)
    local names, fields, death = { ... }, {}, {}
    for i, name in ipairs(names) do fields[i] = client .. ' ' .. name end
    local values = redis.pcall('HMGET', key, unpack(fields))
    for i, name in ipairs(names) do death[name] = not values.err and values[i] or nil end
    return death
end

local function time_of(death)
    return tonumber(death.time) or 0
end

local function forget_death(key, deaths, client)
    for name in pairs(deaths[client]) do
        redis.call('HDEL', key, client .. ' ' .. name)
    end
    deaths[client] = nil
end

-- Forgets the oldest deaths, of all workers or of one, so that one more has room.
local function make_room(key, deaths, most, id)
    repeat
        local n, oldest = 0, nil
        for client, death in pairs(deaths) do
            if not id or death.id == id then
                n = n + 1
                oldest = oldest and time_of(deaths[oldest]) <= time_of(death) and oldest or client
            end
        end
        if n >= most then forget_death(key, deaths, oldest) end
    until n < most
end

-- Adds a death. A process that dies again and again does not drive out the deaths of others.
local function add_death(key, deaths, client, now_ms, id, ...)
    for other, death in pairs(deaths) do
        if time_of(death) < now_ms - DAY_MS then forget_death(key, deaths, other) end
    end
    make_room(key, deaths, MOST_OF_ONE, id)
    make_room(key, deaths, MOST)
    local fields = { 'time', string.format('%.0f', now_ms), 'id', id, ... }
    for i = 1, #fields, 2 do
        redis.call('HSET', key, client .. ' ' .. fields[i], fields[i + 1])
    end
    redis.call('PEXPIRE', key, DAY_MS)
end

-- Tells whether the worker is in the set of workers: one that left in order is not.
local function is_listed(workers, id)
    for _, member in ipairs(redis.call('SMEMBERS', workers)) do
        if member == id then return true end
    end
    return false
end
