-- taken.lua: finds out what became of batches that a client has sent on a lost connection.
--
-- KEYS: jobs, later:jobs, then each batch's record. ARGV: the id at which the search for batches
-- without a known entry begins; then for each batch its id, and the id of its entry, or ''.
-- Answer: for each batch 2: it has a record, with all or a part of its results; the id of its
-- entry: it is in the stream, without a record; 3: it is in later:jobs; 0: none of these; 1:
-- unknown, because the stream is too long to be searched.
--
-- An accepted batch is in the stream until a commit removes it: either the commit that writes its
-- record, or the one that moves it to later:jobs, where it stays until it is done.

-- Entries searched at most; entries of a page at most; bytes of an entry after which a page is one
-- entry.
local ENTRIES, PAGE, LARGE = 10000, 100, 4096
local END = '(18446744073709551615-18446744073709551615' -- Redis refuses a range after this id
local answer, index, missing = {}, {}, 0

-- Returns the id at the beginning of a batch (field 1, 16 bytes), and the size of the batch.
local function batch_id(entry)
    local fields = entry[2]
    for f = 1, #fields, 2 do
        if fields[f] == 'batch' then
            return string.sub(fields[f + 1], 3, 18), #fields[f + 1]
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
local from, at_end, count, left = ARGV[1], false, 1, ENTRIES
while missing > 0 and left > 0 and not at_end do
    local page = from ~= END and redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', count) or {}
    local largest = 0
    for _, entry in ipairs(page) do
        local id, size = batch_id(entry)
        local i = index[id or '']
        largest = math.max(largest, size or 0)
        if i and answer[i] == 1 then
            answer[i] = entry[1]
            missing = missing - 1
        end
    end
    at_end = #page < count
    left = left - #page
    if not at_end then from = '(' .. page[#page][1] end
    count = largest <= LARGE and math.min(count * 2, PAGE) or 1
end
for _, i in pairs(index) do
    if at_end and answer[i] == 1 then answer[i] = 0 end
end
return answer
