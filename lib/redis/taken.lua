-- taken.lua: what has become of batches that a client has sent on a connection that was lost?
--
-- KEYS: jobs, later:jobs, then each batch's record. ARGV: the id of an entry before which those whose entry is not known
-- cannot stand; then for each batch its id, and the id of its entry, or ''.
-- Answer: for each batch 2: it has a record, which has all or a part of its results; the id of its entry: it
-- is in the stream, and has none; 3: it was put aside until it is due; 0: none of these; 1: nobody knows, for the
-- stream is too long to be gone through.
--
-- A batch that was taken is in the stream until the commit that writes its record takes it out, or the commit that puts
-- it aside until it is due: from then on later:jobs has it, until it is done.
local LOOKS, PAGE = 100, 100
local END = '(18446744073709551615-18446744073709551615' -- behind which Redis refuses to look
local answer, index, missing = {}, {}, 0

-- A batch begins with its id: field 1, 16 bytes.
local function batch_id(entry)
    local fields = entry[2]
    for f = 1, #fields, 2 do
        if fields[f] == 'batch' then
            return string.sub(fields[f + 1], 3, 18)
        end
    end
end

local function hex(id)
    return (string.gsub(id, '.', function(c) return string.format('%02x', string.byte(c)) end))
end

for i = 1, #KEYS - 2 do
    local id, entry = ARGV[2 * i], ARGV[2 * i + 1]
    if redis.call('EXISTS', KEYS[i + 2]) == 1 then
        answer[i] = 2
    elseif redis.call('HEXISTS', KEYS[2], hex(id)) == 1 then
        answer[i] = 3
    elseif entry ~= '' then
        local found = redis.call('XRANGE', KEYS[1], entry, entry)
        answer[i] = found[1] and batch_id(found[1]) == id and entry or 0
    else
        answer[i] = 1
        index[id] = i
        missing = missing + 1
    end
end
local from, looked = ARGV[1], false
for _ = 1, LOOKS do
    local page = missing > 0 and from ~= END and redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', PAGE) or {}
    for _, entry in ipairs(page) do
        local i = index[batch_id(entry) or '']
        if i and answer[i] == 1 then
            answer[i] = entry[1]
            missing = missing - 1
        end
    end
    if #page < PAGE then
        looked = true
        break
    end
    from = '(' .. page[#page][1]
end
for _, i in pairs(index) do
    if looked and answer[i] == 1 then answer[i] = 0 end
end
return answer
