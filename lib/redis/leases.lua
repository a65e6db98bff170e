-- leases.lua: reads leases, as fields.lua reads hashes, and looks for streams that take no more
-- entries. The script only reads.
--
-- KEYS: leases, then streams of jobs. ARGV: number of leases; bytes of a value at most, then the
-- fields of a lease.
-- Answer: for each lease a list of the fields' values, or nil if the key is not a hash; for each stream
-- its last id if that is of the highest ms, else nil. Only empty streams are looked at, because XINFO
-- answers with the first and the last entry, which may be large.
-- include short_fields.lua
local HIGHEST = '18446744073709551615-'
local answer, nleases = {}, tonumber(ARGV[1])

local function highest_id(key)
    if redis.pcall('XLEN', key) ~= 0 then return false end
    local info = redis.pcall('XINFO', 'STREAM', key)
    for i = 1, #info - 1, 2 do
        if info[i] == 'last-generated-id' then
            return string.sub(info[i + 1], 1, #HIGHEST) == HIGHEST and info[i + 1]
        end
    end
    return false
end

for i, key in ipairs(KEYS) do
    if i > nleases then
        answer[i] = highest_id(key)
    else
        answer[i] = short_fields(key, tonumber(ARGV[2]), { unpack(ARGV, 3) })
        if answer[i] and answer[i].err then return answer[i] end
    end
end
return answer
