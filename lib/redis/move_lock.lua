-- move_lock.lua: takes, renews or leaves the lock by which one process at a time moves a namespace.
--
-- KEYS: moving, meta. ARGV: the caller's token, time to live in ms (0: leave the lock), id and
-- state of the move that meta has to have ('' for any). Answer: 0, or ms until the lock of another
-- expires; -1: the move is not in that state any more.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
    return math.max(redis.call('PTTL', KEYS[1]), 1)
end
if ARGV[2] == '0' then
    redis.call('UNLINK', KEYS[1])
    return 0
end
local move = redis.call('HMGET', KEYS[2], 'move', 'move_state')
if ARGV[3] ~= '' and (move[1] ~= ARGV[3] or move[2] ~= ARGV[4]) then
    return -1
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 0
