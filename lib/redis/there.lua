-- there.lua: tells whether all of these entries are in their stream.
--
-- KEYS: jobs. ARGV: the entries' ids. Answer: 1 or 0.
for _, id in ipairs(ARGV) do
    if #redis.call('XRANGE', KEYS[1], id, id) == 0 then
        return 0
    end
end
return 1
