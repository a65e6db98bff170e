-- fields.lua: reads short fields of hashes. A value that is longer than any worker writes counts as
-- missing, so neither the script nor the worker holds it. Sets of classes (classes.h) may be longer
-- than other fields. The script only reads.
--
-- KEYS: hashes. ARGV: bytes of a value at most, then the fields.
-- Answer: for each key a list of the fields' values, or nil if the key is not a hash.
local longest, answer = tonumber(ARGV[1]), {}
local LONGER = { needs = 16384, knows = 16384 }

-- Returns the fields to read, with '' in place of those that are too long; nothing has that name.
-- Where Redis refuses HSTRLEN, all are read.
local function short_fields(key)
    local fields = { unpack(ARGV, 2) }
    for k, field in ipairs(fields) do
        local size = redis.pcall('HSTRLEN', key, field)
        if type(size) == 'number' and size > (LONGER[field] or longest) then fields[k] = '' end
    end
    return fields
end

for i, key in ipairs(KEYS) do
    local values = redis.pcall('HMGET', key, unpack(short_fields(key)))
    if values.err then
        if not string.find(values.err, 'WRONGTYPE', 1, true) then return values end
        values = false
    else
        for k, value in ipairs(values) do
            if value and #value > (LONGER[ARGV[k + 1]] or longest) then values[k] = false end
        end
    end
    answer[i] = values
end
return answer
