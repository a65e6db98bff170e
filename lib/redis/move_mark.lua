-- move_mark.lua: changes what the hash meta says of a move of the namespace to another Redis, if it
-- is as the caller believes. A step of the move is taken once, and never by two.
--
-- KEYS: meta. ARGV: the id of the move ('' for none) and its state ('' for none) that meta has to
-- have, then fields and values to set; the value '' removes the field. Answer: {id, state} before.
local held = redis.call('HMGET', KEYS[1], 'move', 'move_state')
local id, state = held[1] or '', held[2] or ''
if id == ARGV[1] and state == ARGV[2] then
    for i = 3, #ARGV, 2 do
        if ARGV[i + 1] == '' then
            redis.call('HDEL', KEYS[1], ARGV[i])
        else
            redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
        end
    end
end
return { id, state }
