"""What Redis does for its counters, each in one step: Lua, as data.

A counter is a hash `waystone_counter:<name>` from buckets to what is used and reserved in them. A
reservation is a key `waystone_reservation:<id>` until it settles, with what it took from which
counter, and its id stands in the sorted set `waystone_leases` by the end of its lease. One whose
lease has ended is empty, so that a late settlement counts. Keys go by themselves when they have not
been written for so long that they count no more, by the clock of the server.

Lua's numbers are exact up to 2^53, which is nine million dollars in nano-dollars.
"""

from __future__ import annotations

_SHARED = """
local function write(key, bucket, amount, keeps)
    if amount > 0 then
        redis.call('HSET', key, bucket, string.format('%.0f', amount))
        if redis.call('TTL', key) < keeps then redis.call('EXPIRE', key, keeps) end
    else
        redis.call('HDEL', key, bucket)
    end
end

local function replace(key, bucket, reserved, amount, keeps)
    local held = tonumber(redis.call('HGET', key, bucket))
    if held then amount = held + amount - reserved end
    if amount ~= (held or 0) then write(key, bucket, amount, keeps) end
end
"""

RESERVE = (
    _SHARED
    + """
-- Of old buckets some are kept, as callers differ in what is old; but not ever more of them.
local function load(key, first, most)
    local buckets, total, oldest = redis.call('HGETALL', key), 0, nil
    for i = 1, #buckets, 2 do
        local bucket = tonumber(buckets[i])
        if bucket >= first then total = total + tonumber(buckets[i + 1]) end
        oldest = math.min(oldest or bucket, bucket)
    end
    if #buckets > 2 * most then redis.call('HDEL', key, string.format('%.0f', oldest)) end
    return { total = total, buckets = buckets }
end

local now, expires, late, keeps, id = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

for _, lapsed in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
    local key = 'waystone_reservation:' .. lapsed
    local packed = redis.call('GET', key)
    if packed and packed ~= '' then
        local parts = cmsgpack.unpack(packed)
        for i = 1, #parts, 4 do
            replace(parts[i], parts[i + 1], parts[i + 2], 0, parts[i + 3])
        end
        redis.call('SET', key, '', 'EX', late)
    end
    redis.call('ZREM', KEYS[1], lapsed)
end

local counters, taken, refused, parts = {}, {}, {}, {}
for i = 3, #KEYS do
    local key, at = KEYS[i], 6 + (i - 3) * 7
    local bucket, first = ARGV[at], tonumber(ARGV[at + 1])
    local amount, least = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    local limit = tonumber(ARGV[at + 4])
    local counter = counters[key]
    if not counter then
        counter = load(key, first, tonumber(ARGV[at + 5]))
        counters[key] = counter
    end
    if limit and counter.total + amount > limit then
        amount = math.max(0, math.min(amount, limit - counter.total))
        if amount < least then
            table.insert(refused, { i - 3, counter.total, counter.buckets })
            amount = 0
        end
    end
    counter.total = counter.total + amount
    table.insert(taken, amount)
    table.insert(taken, counter.total)
    for _, part in ipairs({ key, bucket, amount, tonumber(ARGV[at + 6]) }) do
        table.insert(parts, part)
    end
end

if #refused > 0 then return { 0, refused } end
for i = 1, #parts, 4 do
    local held = tonumber(redis.call('HGET', parts[i], parts[i + 1])) or 0
    write(parts[i], parts[i + 1], held + parts[i + 2], parts[i + 3])
end
redis.call('ZADD', KEYS[1], expires, id)
redis.call('SET', KEYS[2], cmsgpack.pack(parts), 'EX', keeps)
return { 1, taken }
"""
)
"""Keys: leases, reservation, counters. Arguments: now, the lease's end, seconds that a settlement
may be late, seconds to keep the reservation, id; for each counter bucket, first bucket, amount,
least, limit or nothing, how many buckets to keep, seconds to keep them. Returns 1 and each amount
and total, or 0 and, for each refused charge, its index, total and buckets."""

SETTLE = (
    _SHARED
    + """
local late, id, here = ARGV[1], ARGV[2], ARGV[3]
local parts = {}
if here == '1' then
    local packed = redis.call('GET', KEYS[2])
    if not packed then return 0 end
    redis.call('DEL', KEYS[2])
    redis.call('ZREM', KEYS[1], id)
    if packed ~= '' then parts = cmsgpack.unpack(packed) end
elseif not redis.call('SET', KEYS[2], '', 'NX', 'EX', late) then
    return 0
end
for i = 3, #KEYS do
    local at = 4 + (i - 3) * 3
    local reserved = parts[(i - 3) * 4 + 3] or 0
    replace(KEYS[i], ARGV[at], reserved, tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]))
end
return 1
"""
)
"""Keys: leases, reservation, counters. Arguments: seconds that it may be late, id, 1 if it was
reserved here; for each counter bucket, amount, seconds to keep it. Returns whether it counted."""
