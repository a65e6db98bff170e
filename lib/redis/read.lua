-- read.lua: reads entries of job streams, up to a number of bytes. Large entries are read one by
-- one, so neither Redis nor the reader ever holds much more than that. The script only reads.
--
-- KEYS: streams. ARGV: bytes at most (one entry is read in any case), entries at most, then for
-- each stream the beginning of its range: 'ID', or '(ID' to begin after ID. No entry can come after
-- the highest id, and Redis refuses such a range.
-- Answer: {1 if more may be there, else 0, then for each stream with entries: {its index,
-- entries}}.
local SMALL, PAGE = 1024, 16
local END = '(18446744073709551615-18446744073709551615'
local bytes, entries = tonumber(ARGV[1]), tonumber(ARGV[2])
local answer, size = { 0 }, 0

for i, key in ipairs(KEYS) do
    local from, got, count = ARGV[i + 2], {}, 1
    repeat
        if bytes <= 0 or entries <= 0 then
            answer[1] = 1
            break
        end
        local page = from ~= END and redis.call('XRANGE', key, from, '+', 'COUNT', count) or {}
        local largest = 0
        for _, entry in ipairs(page) do
            size = 0
            for _, text in ipairs(entry[2]) do
                size = size + #text
            end
            largest = math.max(largest, size)
            bytes = bytes - size
            entries = entries - 1
            got[#got + 1] = entry
        end
        local last = #page < count
        if not last then from = '(' .. page[#page][1] end
        count = largest < SMALL and math.min(count + 1, PAGE) or 1
    until last
    if #got > 0 then answer[#answer + 1] = { i, got } end
end
return answer
