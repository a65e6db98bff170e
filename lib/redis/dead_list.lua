-- dead_list.lua: lists a page of a partition's dead letters, newest first, without their batches; or
-- a page of its failures, which have none. Letters are read one by one, and a page ends after some
-- megabytes, because batches may be large.
--
-- KEYS: dead, or failures. ARGV: the newest id wanted ('+', or '(ID'), number of letters.
-- Answer: 1 if more may follow, else 0, then for each letter {id, bytes of its batch or -1 if it
-- has none, field, value, …}.
local ENOUGH, FIELDS = 8388608, 64
local answer, from, wanted, bytes = { 0 }, ARGV[1], tonumber(ARGV[2]), 0
while #answer <= wanted and bytes < ENOUGH do
    local entry = redis.call('XREVRANGE', KEYS[1], from, '-', 'COUNT', 1)[1]
    if not entry then return answer end
    local about, fields = { entry[1], -1 }, entry[2]
    for f = 1, #fields, 2 do
        bytes = bytes + #fields[f] + #fields[f + 1]
        if fields[f] == 'batch' then
            about[2] = #fields[f + 1]
        elseif f < FIELDS then
            about[#about + 1] = string.sub(fields[f], 1, 4096)
            about[#about + 1] = string.sub(fields[f + 1], 1, 4096)
        end
    end
    answer[#answer + 1] = about
    from = '(' .. entry[1]
end
answer[1] = 1
return answer
