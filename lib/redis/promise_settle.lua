-- promise_settle.lua: resolves or rejects a promise, unless that was done before.
--
-- The promise is a stream. Its first entry, 0-1, has the field `call`: the id of the call that has made
-- it. The first entry behind that is its outcome, whoever has added it: `value` (an encoded Value), or
-- `json`, or `error` and perhaps `code`; and perhaps `token`. Redis takes an entry 1-0 once.
--
-- KEYS: promise, jobs of its partition. ARGV: token, id of the promise, then the outcome's fields and
-- values.
-- Answer: 1 if it was settled under this token now, 3: before; 2: by another one; 0: there is no such
-- promise. The owner is told by an entry in its stream, which asks for nothing but a look.
local key, answer = KEYS[1], 1
local added = redis.pcall('XADD', key, 'NOMKSTREAM', '1-0', 'token', ARGV[1], unpack(ARGV, 3))
if not added then return 0 end
if type(added) == 'table' then
    if string.find(added.err, 'WRONGTYPE', 1, true) then return 0 end
    if not string.find(added.err, 'equal or smaller', 1, true) then return added end
    local outcome = redis.call('XRANGE', key, '(0-1', '+', 'COUNT', 1)[1]
    local fields, token = outcome and outcome[2] or {}, nil
    for i = 1, #fields, 2 do
        if fields[i] == 'token' then token = fields[i + 1] end
    end
    if token ~= ARGV[1] then return 2 end
    answer = 3
end
redis.call('XADD', KEYS[2], '*', 'call', 'promise', 'promise', ARGV[2])
return answer
