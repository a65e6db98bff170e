-- short_fields.lua: reads short fields of a hash, for scripts that include this one. A value that is
-- longer than any worker writes counts as missing, so neither the script nor the worker holds it. Sets
-- of classes (classes.h) may be longer than other fields.
local LONGER = { needs = 16384, knows = 16384 }

-- Returns the fields to read, with '' in place of those that are too long; nothing has that name.
-- Where Redis refuses HSTRLEN, all are read.
local function names_of_short(key, longest, fields)
    local names = { unpack(fields) }
    for k, field in ipairs(names) do
        local size = redis.pcall('HSTRLEN', key, field)
        if type(size) == 'number' and size > (LONGER[field] or longest) then names[k] = '' end
    end
    return names
end

-- Returns the values, false if the key is not a hash, or an error.
local function short_fields(key, longest, fields)
    local values = redis.pcall('HMGET', key, unpack(names_of_short(key, longest, fields)))
    if values.err then
        return not string.find(values.err, 'WRONGTYPE', 1, true) and values
    end
    for k, value in ipairs(values) do
        if value and #value > (LONGER[fields[k]] or longest) then values[k] = false end
    end
    return values
end

