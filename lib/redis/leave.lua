-- leave.lua: removes a process that ends or has ended from the set of workers, unless another
-- process has taken its id.
--
-- KEYS: workers, the worker's hash, beats, changes. ARGV: its id; the CLIENT of the process.
-- Answer: 1, or 0 if the hash is another process's.
-- include beats_index.lua
local client = redis.pcall('HGET', KEYS[2], 'client')
if type(client) == 'string' and client ~= ARGV[2] and #client == #ARGV[2] and not string.find(client, '%X') then
    return 0
end
redis.call('UNLINK', KEYS[2])
local gone = redis.pcall('SREM', KEYS[1], ARGV[1])
if type(gone) == 'table' and not string.find(gone.err, 'WRONGTYPE', 1, true) then
    return gone
end
unindex(KEYS[3], KEYS[4], ARGV[1])
return 1
