-- agent_classes.lua: reads a page of agents, and tells which classes they have. The script only
-- reads.
--
-- KEYS: agents. ARGV: cursor of HSCAN, agents in a page, about.
-- Answer: {cursor of the next page or '0', bytes of the page, class, version, class, version, …}. An
-- agent whose record is not of a class is left out.
local page = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local answer, highest, bytes = { page[1], 0 }, {}, 0

local function varint(s, at)
    local value, scale = 0, 1
    for i = at, at + 9 do
        local b = string.byte(s, i)
        if not b then return nil end
        if b < 128 then return value + b * scale, i + 1 end
        value, scale = value + (b - 128) * scale, scale * 128
    end
    return nil
end

-- Returns the class of an AgentRecord, whose first fields are class_name (1) and version (2), and
-- the version, which is left out if it is 0.
local function class_of(record)
    if string.byte(record, 1) ~= 10 then return nil end
    local n, at = varint(record, 2)
    if not n or #record < at + n - 1 then return nil end
    local version = string.byte(record, at + n) == 16 and varint(record, at + n + 1) or 0
    return string.sub(record, at, at + n - 1), version
end

for i = 2, #page[2], 2 do
    local name, version = class_of(page[2][i])
    bytes = bytes + #page[2][i]
    if name then highest[name] = math.max(highest[name] or 0, version) end
end
answer[2] = bytes
for name, version in pairs(highest) do
    answer[#answer + 1] = name
    answer[#answer + 1] = string.format('%.0f', version)
end
return answer
