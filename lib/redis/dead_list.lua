-- dead_list.lua: a page of a partition's dead letters, newest first, without the calls themselves, which
-- may be large.
--
-- KEYS: dead. ARGV: the newest id that is wanted ('+', or '(ID'), how many.
-- Answer: for each {id, bytes of its batch or -1 when it has none, field, value, …}.
local answer = {}
for i, entry in ipairs(redis.call('XREVRANGE', KEYS[1], ARGV[1], '-', 'COUNT', ARGV[2])) do
    local about, fields = { entry[1], -1 }, entry[2]
    for f = 1, #fields, 2 do
        if fields[f] == 'batch' then
            about[2] = #fields[f + 1]
        else
            about[#about + 1] = fields[f]
            about[#about + 1] = string.sub(fields[f + 1], 1, 4096)
        end
    end
    answer[i] = about
end
return answer
