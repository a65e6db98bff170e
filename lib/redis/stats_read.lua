-- stats_read.lua: reads figures of the deployment for people. The script only reads.
--
-- KEYS: asq:{N}:stats:now. ARGV: 's' or 'm', number of the first step (of seconds or minutes since
-- 1970; '': none), number of steps.
-- Answer: {time of Redis in ms (0: refused), gauges of now as text, then for each step its hash as
-- a list}.
-- include redis_time.lua
-- include stats_sum.lua
local now = KEYS[1]
local prefix = string.sub(now, 1, -4) .. ARGV[1] .. ':'
local sums = stats_sum(now, string.sub(now, 1, -10) .. 'worker:')
for i = 1, #sums do
    sums[i] = string.format('%.0f', sums[i])
end
local answer = { redis_time(now .. ':none') or 0, table.concat(sums, ' ') }
local first = tonumber(ARGV[2])
for step = first or 1, first and first + tonumber(ARGV[3]) - 1 or 0 do
    answer[#answer + 1] = redis.call('HGETALL', prefix .. string.format('%.0f', step))
end
return answer
