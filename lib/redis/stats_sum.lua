-- stats_sum.lua: adds up what the worker processes say of themselves, for scripts that include this
-- one. KEY: the hash `stats:now`; WORKERS: prefix of the workers' hashes.
-- Returns {processes, running, parked, waiting, oldest, backlog, agents, bytes, partitions, commits,
-- round trip} of those with a heartbeat in the last two lease times, and the ids of those that are
-- gone. The oldest age and the round trip are the highest ones.
local SUMMED = 10000 -- processes, at most; what is gone among them is forgotten and makes room
local function stats_sum(key, workers)
    local all, sums, gone = redis.call('HGETALL', key), { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }, {}
    for i = 1, math.min(#all, 2 * SUMMED), 2 do
        local said = {}
        for number in string.gmatch(all[i + 1], '%d+') do
            said[#said + 1] = tonumber(number)
        end
        local left = redis.call('PTTL', workers .. all[i]) -- 10 lease times after a heartbeat
        if left < 0 then
            gone[#gone + 1] = all[i]
        elseif #said == #sums and left > 8 * said[1] then
            sums[1] = sums[1] + 1
            for k = 2, #sums do
                local highest = k == 5 or k == 11
                sums[k] = highest and math.max(sums[k], said[k]) or sums[k] + said[k]
            end
        end
    end
    return sums, gone
end

