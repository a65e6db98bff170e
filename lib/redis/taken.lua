-- taken.lua: which of the batches that a client has sent, and got no answer for, has Redis taken?
--
-- KEYS: jobs, later:jobs, then each batch's record. ARGV: a time of Redis before which none of them was sent, then
-- each batch's id.
-- Answer: for each batch 1 or 0; nothing, when the stream is too long to be gone through.
--
-- What was taken is in the stream until the commit that writes its record takes it out, or the one that puts it
-- aside until it is due: from then on later:jobs has it, until it is done.
local LOOKS, PAGE = 100, 100
local answer, index, missing = {}, {}, 0
local function hex(id)
    return (string.gsub(id, '.', function(c) return string.format('%02x', string.byte(c)) end))
end
for i = 3, #KEYS do
    local id, there = ARGV[i - 1], redis.call('EXISTS', KEYS[i])
    if there == 0 then
        there = redis.call('HEXISTS', KEYS[2], hex(id))
    end
    answer[i - 2] = there
    if there == 0 then
        index[id] = i - 2
        missing = missing + 1
    end
end
local from = ARGV[1]
for _ = 1, LOOKS do
    local page = missing > 0 and redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', PAGE) or {}
    for _, entry in ipairs(page) do
        local fields = entry[2]
        for f = 1, #fields, 2 do
            -- A batch begins with its id: field 1, 16 bytes.
            local i = fields[f] == 'batch' and index[string.sub(fields[f + 1], 3, 18)]
            if i and answer[i] == 0 then
                answer[i] = 1
                missing = missing - 1
            end
        end
    end
    if #page < PAGE then
        return answer
    end
    from = '(' .. page[#page][1]
end
return false
