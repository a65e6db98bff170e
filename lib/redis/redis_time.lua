-- redis_time.lua: returns the time of Redis in ms, for scripts that include this one. Where TIME is
-- refused, the id of an entry added to an empty stream tells the time. KEY: an unused key. Returns
-- nil and the error if Redis takes no writes.
local function redis_time(key)
    local time = redis.pcall('TIME')
    if not time.err then
        return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    end
    local id = redis.pcall('XADD', key, '*', 'call', '')
    if type(id) == 'table' then
        return nil, id.err
    end
    redis.call('UNLINK', key)
    return tonumber(string.match(id, '^%d+'))
end

