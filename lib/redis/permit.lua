-- permit.lua: tells which commands of a worker this Redis refuses to this user.
--
-- KEYS: a result key that no batch has, then a partition's lease, jobs, agents, attempts, dead.
-- ARGV: a channel without subscribers; in a Cluster also a sharded one in the partition's slot.
-- Answer: two lists of refused commands, each with name and reason: commands that a worker needs to
-- serve, and commands that a worker can do without, see permit.h.
--
-- Redis does not roll back: a commit with one refused command would be half written. So every
-- command of the scripts and the worker is tried before the worker serves, in a form that changes
-- nothing: on a missing key, on an impossible element, or with arguments that Redis refuses after
-- it has checked the permission. tests/unit/permit.sh compares the list with the scripts.
local scratch, lease, jobs, agents, attempts, dead = unpack(KEYS)
local refused, lacking, seen = {}, {}, {}
local list = refused

-- Error texts of the versions of Redis and Valkey about permissions and about renamed commands.
local signs = {
    ['this user has no permission'] = { 'NOPERM', 'ACL failure', 'No permissions', "can't run this command" },
    ['this user has no permission for the key or channel'] = { "can't access" },
    ['unknown command: renamed, or not offered here'] = { 'nknown Redis command', 'nknown command' },
}

local function cause(text)
    for why, words in pairs(signs) do
        for _, word in ipairs(words) do
            if string.find(text, word, 1, true) then
                return why
            end
        end
    end
end

-- Returns true if the command may be used, even if Redis refuses these arguments.
local function try(command, ...)
    local reply = redis.pcall(command, ...)
    local text = type(reply) == 'table' and reply.err
    if not text then
        return true
    end
    local why = cause(text)
    if why and not seen[command] then
        list[#list + 1] = command .. ' (' .. why .. ')'
        seen[command] = true
    end
    return not why
end

try('EXISTS', scratch)
try('GET', scratch)
try('STRLEN', scratch)
try('SET', scratch, '', 'NOT-AN-OPTION')
try('PEXPIRE', scratch, 1)
try('RENAME', scratch, scratch)
try('DEL', scratch)
if try('UNLINK', scratch) then
    try('APPEND', scratch, '')
    redis.pcall('UNLINK', scratch)
    try('SADD', scratch, '')
    redis.pcall('UNLINK', scratch)
end
try('SMEMBERS', scratch)
try('SREM', scratch, '')

try('HMGET', lease, 'token', 'seq')
try('HGET', lease, 'token')
try('HSET', lease, 'token', 'without', 'a pair')
try('HINCRBY', lease, 'epoch', 'not a number')
for _, key in ipairs({ lease, agents, attempts }) do
    try('HDEL', key, '')
    try('HLEN', key)
end
try('HGETALL', scratch)
try('HSET', agents, 'without', 'a', 'pair')
try('HSET', attempts, 'without', 'a', 'pair')

for _, key in ipairs({ jobs, dead }) do
    try('XADD', key, '0-0', 'call', '')
    try('XDEL', key, '0-0')
    try('XLEN', key)
end
try('XRANGE', jobs, '0-0', '0-0')
try('XREVRANGE', jobs, '0-0', '0-0')
try('XREAD', 'COUNT', 1, 'STREAMS', jobs, '$')

try('PUBLISH', ARGV[1], '')
if ARGV[2] then try('SPUBLISH', ARGV[2], '') end

list = lacking
try('TIME')
try('PTTL', scratch)
try('HSTRLEN', agents, '')
try('HSCAN', scratch, 0)
try('XTRIM', dead, 'MINID', '0-0')
try('GETRANGE', scratch, 0, 0)
try('ZADD', scratch, 'not a number', '')
try('ZREM', scratch, '')
try('ZCARD', scratch)
try('ZSCORE', scratch, '')
try('SCARD', scratch)
try('ZRANGE', scratch, 0, 0)
try('ZRANGEBYSCORE', scratch, 1, 0)
return { refused, lacking }
