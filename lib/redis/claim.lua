-- claim.lua: takes a partition's lease, if it is still held as the claimer believes.
--
-- KEYS: lease, jobs, attempts, dead, later, later:jobs. ARGV: the token that it must hold ('' for none), new owner, new token.
-- Answer: {1, epoch, seq, id of the last entry in the stream or '', attempts (field, value, …), keys that
-- were set aside}, or {0, owner, token} of who holds it. Entries up to the last may have been begun by
-- somebody else.
--
-- A key that is of another type than it must be would keep everybody from the partition. It is renamed to
-- NAME:aside, where people find it. What the partition had in it, it has lost before.
local aside = {}

-- A command that needs a key's type; nil: it has another one.
local function try(command, key, ...)
    local r = redis.pcall(command, key, ...)
    if type(r) ~= 'table' or not r.err then
        return r
    end
    if not string.find(r.err, 'WRONGTYPE', 1, true) then
        error(r.err, 0)
    end
    aside[#aside + 1] = key
end

local held = try('HMGET', KEYS[1], 'token', 'owner', 'epoch', 'seq') or { false, false, '?', false }
if (held[1] or '') ~= ARGV[1] then
    return { 0, held[2] or '', held[1] or '' }
end
local last = try('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1) or {}
local attempts = try('HGETALL', KEYS[3]) or {}
try('XLEN', KEYS[4])
try('ZCARD', KEYS[5])
try('HLEN', KEYS[6])
for _, key in ipairs(aside) do
    redis.call('RENAME', key, key .. ':aside')
end
-- An epoch that is lost goes on from the time, which is above what any counter has come to.
local epoch = (tonumber(held[3] or 0) or tonumber(redis.call('TIME')[1])) + 1
local seq = tonumber(held[4]) or 0
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'token', ARGV[3], 'epoch', epoch, 'seq', seq)
return { 1, epoch, seq, last[1] and last[1][1] or '', attempts, aside }
