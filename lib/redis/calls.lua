-- calls.lua: reads a page of batches that people look at: entries of a job stream, or batches that
-- are due later. Large ones lose the arguments of their calls, and of the calls inside of which these
-- were made all but the last, so an answer is bounded whatever is in Redis. A page ends also when much
-- has been read, and the calls behind LINKS such calls lose all of them, so that Redis has time for
-- others. The script only reads.
--
-- KEYS: jobs; or later, later:jobs. ARGV: where the page begins ('-' or '(ID'; or a rank), batches
-- at most, prefix of the names of result records.
-- Answer: {1 if more may follow, else 0, where the next page begins, then for each batch {id of the
-- entry or time when it is due, batch or Later, field `later` of the entry, 1 if there is a result
-- record, else 0, 1 if jobs were left out, else 0}}.
local SMALL, PAGE, ENOUGH, MUCH, JOBS, LINK, LINKS = 4096, 64, 524288, 4194304, 1000, 1024, 20000
local CHAIN, ARGS = 8, 5
local from, wanted, prefix = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local answer, bytes, read, links, cut = { 0, from }, 0, 0, 0, 0

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

local function encode(n)
    local out = ''
    while n > 127 do
        out = out .. string.char(128 + n % 128)
        n = math.floor(n / 128)
    end
    return out .. string.char(n)
end

-- Calls fn(field, first byte of the field, first byte of its text or nil, last byte) for each field
-- of the message s[at..last], until it returns true. False: it is none.
local function each_field(s, at, last, fn)
    while at <= last do
        local key, body = varint(s, at)
        if not key then return false end
        local kind, text, after = key % 8, nil, nil
        if kind == 0 then
            local _, next = varint(s, body)
            after = next
        elseif kind == 2 then
            local n, first = varint(s, body)
            if not n then return false end
            text, after = first, first + n
        end
        if not after or after > last + 1 then return false end
        if fn(math.floor(key / 8), at, text, after - 1) then return true end
        at = after
    end
    return true
end

-- The chain with its last link alone, which is the caller, or with none.
local function strip_chain(s, first, last)
    local from, to = 1, 0
    each_field(s, first, last, function(field, at, text, after)
        if field == 1 and text then from, to = at, after end
        links = links + 1
        return links > LINKS
    end)
    local link = links <= LINKS and to - from < LINK and string.sub(s, from, to) or ''
    return string.char(66) .. encode(#link) .. link -- field 8
end

local function strip_job(s, first, last)
    local out = {}
    each_field(s, first, last, function(field, at, text, to)
        if field == CHAIN and text then
            out[#out + 1] = strip_chain(s, text, to)
        elseif field ~= ARGS and field ~= CHAIN then
            out[#out + 1] = string.sub(s, at, to)
        end
    end)
    local job = table.concat(out)
    return string.char(34) .. encode(#job) .. job -- field 4
end

local function strip_batch(s, first, last)
    local out, jobs = {}, 0
    local whole = each_field(s, first, last, function(field, at, text, to)
        if field == 4 and text then
            jobs = jobs + 1
            if jobs <= JOBS then out[#out + 1] = strip_job(s, text, to) end
        else
            out[#out + 1] = string.sub(s, at, to)
        end
    end)
    if jobs > JOBS then cut = 1 end
    return whole and table.concat(out) or ''
end

local function short_batch(s)
    return #s <= SMALL and s or strip_batch(s, 1, #s)
end

local function short_later(s)
    if #s <= SMALL then return s end
    local out = {}
    local whole = each_field(s, 1, #s, function(field, at, text, to)
        if field == 2 and text then
            local batch = strip_batch(s, text, to)
            out[#out + 1] = string.char(18) .. encode(#batch) .. batch
        else
            out[#out + 1] = string.sub(s, at, to)
        end
    end)
    return whole and #table.concat(out) <= ENOUGH and table.concat(out) or ''
end

local function has_record(id)
    local name = string.gsub(id, '.', function(c) return string.format('%02x', string.byte(c)) end)
    local r = redis.pcall('EXISTS', prefix .. name)
    return r == 1 and 1 or 0
end

local function add(first, message, later, record)
    bytes = bytes + #message + #later + 64
    answer[#answer + 1] = { first, message, later, record, cut }
    cut = 0
end

-- One large entry is read at a time, so Redis holds no more than that.
local function read_stream()
    local count = 1
    while #answer - 2 < wanted and bytes < ENOUGH and read < MUCH do
        local page = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(count, wanted - (#answer - 2)))
        local largest = 0
        for _, entry in ipairs(page) do
            local batch, later, call, size = '', '', '', 0
            for i = 1, #entry[2], 2 do
                local name, text = entry[2][i], entry[2][i + 1]
                size = size + #text
                if name == 'batch' then batch = text end
                if name == 'call' then call = text end
                if name == 'later' and #text <= ENOUGH then later = text end
            end
            largest = math.max(largest, size)
            read = read + size
            -- The label of several calls has a '+'.
            local several = string.find(call, '+', 1, true) and string.sub(batch, 1, 2) == '\10\16'
            add(entry[1], short_batch(batch), later, several and has_record(string.sub(batch, 3, 18)) or 0)
        end
        if #page == 0 then return end
        from = '(' .. page[#page][1]
        if from == '(18446744073709551615-18446744073709551615' then return end
        count = largest < SMALL and math.min(count * 2, PAGE) or 1
    end
    answer[1] = 1
end

local function read_later()
    local rank = tonumber(from)
    local page = redis.call('ZRANGE', KEYS[1], rank, rank + wanted - 1, 'WITHSCORES')
    for i = 1, #page, 2 do
        if bytes >= ENOUGH or read >= MUCH then break end
        rank = rank + 1
        local text = redis.call('HGET', KEYS[2], page[i]) or ''
        local added = redis.call('HGET', KEYS[2], page[i] .. '+') or ''
        read = read + #text + #added
        text = text ~= '' and short_later(text) or ''
        if #added > ENOUGH then added = '' end
        if text ~= '' then add(page[i + 1], text .. added, '', #page[i] == 32 and redis.pcall('EXISTS', prefix .. page[i]) == 1 and 1 or 0) end
    end
    from = string.format('%.0f', rank)
    if #page > 0 then answer[1] = 1 end
end

if #KEYS > 1 then read_later() else read_stream() end
answer[2] = from
return answer
