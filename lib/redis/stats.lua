-- stats.lua: adds what a worker process has measured to the deployment's figures of this second and
-- this minute, by the clock of Redis.
--
-- KEYS: asq:{N}:stats:now. ARGV: id of the process, what it says of itself (lease time and gauges,
-- see stats_sum.lua), then for each of its series that has moved: its name (CLASS METHOD) and its
-- figures since the last time.
-- Answer: the number of processes that have said something of themselves.
--
-- A step is a hash: a field for each series, and `gauges` and `before`, see add_gauges().
-- Figures are pairs of a key and a number, all separated by blanks: c calls, f-7 failures of code
-- -7; of the times in queue (q), running (r), parked (p) and till the commit (k) qs sum, qm longest
-- (both in microseconds) and q12 the number in bucket 12. All are added up, but for the longest.
-- include redis_time.lua
-- include stats_sum.lua
local SERIES, PAIRS, OTHER = 100, 480, '(other) (other)' -- at most, in a step
local SECOND_TTL, MINUTE_TTL, NOW_TTL = 75000, 86520000, 1800000
local AT_ONCE, LONGEST = 256, 60 -- processes that are added up in each second; seconds between sums
local now, id = KEYS[1], ARGV[1]
local prefix = string.sub(now, 1, -4)
local workers = string.sub(now, 1, -10) .. 'worker:'

local function merge(old, new)
    local out, at = {}, {}
    for key, n in string.gmatch(old, '(%S+) (%d+)') do
        at[key] = #out + 2
        out[#out + 1], out[#out + 2] = key, n
    end
    for key, n in string.gmatch(new, '(%S+) (%d+)') do
        if not at[key] and #out >= 2 * PAIRS and string.sub(key, 1, 1) == 'f' then
            key = 'f0' -- too many codes of applications
        end
        local k = at[key]
        if not k then
            at[key] = #out + 2
            out[#out + 1], out[#out + 2] = key, n
        elseif string.sub(key, -1) == 'm' then
            out[k] = string.format('%.0f', math.max(tonumber(out[k]), tonumber(n)))
        else
            out[k] = string.format('%.0f', tonumber(out[k]) + tonumber(n))
        end
    end
    return table.concat(out, ' ')
end

-- Adds the series of ARGV to a step. Returns the gauges that the step has already, or false.
local function add_series(step)
    local names, used = { 'gauges', OTHER }, redis.call('HLEN', step)
    for i = 3, #ARGV - 1, 2 do
        names[#names + 1] = ARGV[i]
    end
    local old, new = redis.call('HMGET', step, unpack(names)), {}
    local other = false
    for i = 3, #names do
        local figures = ARGV[2 * i - 2]
        if old[i] and names[i] ~= OTHER then
            new[#new + 1], new[#new + 2] = names[i], merge(old[i], figures)
        elseif used < SERIES and names[i] ~= OTHER then
            new[#new + 1], new[#new + 2] = names[i], figures
            used = used + 1
        else
            other = merge(other or old[2] or '', figures)
        end
    end
    if other then
        new[#new + 1], new[#new + 2] = OTHER, other
    end
    if #new > 0 then
        redis.call('HSET', step, unpack(new))
    end
    return old[1]
end

local function numbers(text)
    local out = {}
    for number in string.gmatch(text or '', '%d+') do
        out[#out + 1] = tonumber(number)
    end
    return out
end

local function text(sums)
    local out = {}
    for i = 1, #sums do
        out[i] = string.format('%.0f', sums[i])
    end
    return table.concat(out, ' ')
end

local function highest(old, sums)
    for i, number in ipairs(numbers(old)) do
        sums[i] = math.max(sums[i] or 0, number)
    end
    return text(sums)
end

-- Writes the gauges of all processes into a step: as they have been since the step before that has
-- any, and the highest ones of this step, as far as it has gone.
local function add_gauges(step, old, before, sums)
    if not old then
        redis.call('HSET', step, 'before', text(before))
    end
    redis.call('HSET', step, 'gauges', highest(old, sums))
end

local time, err = redis_time(prefix .. 'time')
if not time then
    return redis.error_reply(err)
end
local second = math.floor(time / 1000)
local seconds = prefix .. 's:' .. string.format('%.0f', second)
local minutes = prefix .. 'm:' .. string.format('%.0f', math.floor(second / 60))
local has_gauges = add_series(seconds)
local minute_gauges = add_series(minutes)
local said = redis.pcall('HGET', now, id)
if type(said) == 'table' and said.err then
    redis.call('RENAME', now, now .. ':aside') -- it was overwritten by another type
    said = false
end
local processes = redis.call('HLEN', now) + (said and 0 or 1)
if not has_gauges and second % math.min(math.ceil(processes / AT_ONCE), LONGEST) == 0 then
    local before, gone = stats_sum(now, workers)
    local sums, own, own_before = { unpack(before) }, numbers(ARGV[2]), numbers(said)
    own[1], own_before[1] = 1, said and 1 or 0 -- processes
    for i = 1, #sums do
        if i == 5 or i == 11 then
            sums[i] = math.max(sums[i], own[i])
        else
            sums[i] = math.max(sums[i] - (own_before[i] or 0), 0) + own[i]
        end
    end
    add_gauges(seconds, false, before, sums)
    add_gauges(minutes, minute_gauges, before, sums)
    for _, one in ipairs(gone) do
        redis.call('HDEL', now, one)
    end
end
redis.call('HSET', now, id, ARGV[2])
redis.call('PEXPIRE', now, NOW_TTL)
redis.call('PEXPIRE', seconds, SECOND_TTL)
redis.call('PEXPIRE', minutes, MINUTE_TTL)
return processes
