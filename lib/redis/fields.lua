-- fields.lua: reads short fields of hashes, see short_fields.lua. The script only reads.
--
-- KEYS: hashes. ARGV: bytes of a value at most, then the fields.
-- Answer: for each key a list of the fields' values, or nil if the key is not a hash.
-- include short_fields.lua
local answer = {}
for i, key in ipairs(KEYS) do
    local values = short_fields(key, tonumber(ARGV[1]), { unpack(ARGV, 2) })
    if values and values.err then return values end
    answer[i] = values
end
return answer
