#!lua name=ironpost_v1
-- What hosts count and decide together. All keys of one call hash to one slot, and each key
-- ends by itself. Times of events are in microseconds, which a number holds exactly.
-- This text never changes: another one is another version, with another name, so that
-- hosts of either version work side by side.

local LATE = 5000000            -- us: how far an event may lie behind the newest one's span
local MOST = 4096               -- members and remembered events of a window
local GRACE = 600000            -- ms: how long a decision is remembered that has ended
local FORGET = 2592000000       -- ms: 30 days, where it is not known how long is needed
local CHANGES = '8192'          -- changes that a follower may miss before it hears all again

local function call(...) return redis.call(...) end

local function whole(n) return string.format('%.0f', n) end

-- clock is the time in microseconds.
local function clock()
  local t = call('TIME')
  return tonumber(t[1]) * 1000000 + tonumber(t[2])
end

-- atleast lets a key live so many milliseconds at least.
local function atleast(key, ms)
  if call('PTTL', key) < ms then call('PEXPIRE', key, whole(ms)) end
end

-- trim bounds a set; the lowest scores go.
local function trim(key)
  local n = call('ZCARD', key)
  if n > MOST then call('ZREMRANGEBYRANK', key, 0, n - MOST - 1) end
end

-- put adds pairs of score and member in parts that fit the stack.
local function put(key, entries, ...)
  for i = 1, #entries, 1000 do
    local part = {...}
    for k = i, math.min(i + 999, #entries) do part[#part + 1] = entries[k] end
    call('ZADD', key, unpack(part))
  end
end

-- most counts the members in one span with the time at, at its best.
local function most(members, at, span, newest)
  if at >= newest then
    return call('ZCOUNT', members, '(' .. whole(at - span), '+inf')
  end
  local list = call('ZRANGE', members, '(' .. whole(at - span), '(' .. whole(at + span), 'BYSCORE', 'WITHSCORES')
  local best, first = 0, 2
  for last = 2, #list, 2 do
    local ends = tonumber(list[last])
    while tonumber(list[first]) <= ends - span do first = first + 2 end
    if ends >= at then best = math.max(best, (last - first) / 2 + 1) end
  end
  return best
end

-- window adds an event to a window.
-- keys: members by time; past events by 2 * when (ms) + 1 if it completed a window;
--       of values, those that were counted, by their newest time; the time of the last
--       completion that was told.
-- args: time, span, threshold, id, value, '1' if it was counted elsewhere, quiet.
local function window(keys, args)
  local time, span, threshold = tonumber(args[1]), tonumber(args[2]), tonumber(args[3])
  local id, value = args[4], args[5]
  local members, past, counted, told = keys[1], keys[2], keys[3], keys[4]
  local distinct = value ~= ''
  local member = distinct and value or id
  local now = math.floor(clock() / 1000)
  local ttl = math.max(2 * math.ceil(span / 1000), 600000)

  local function remember(events)
    put(past, events)
    call('ZREMRANGEBYSCORE', past, '-inf', '(' .. whole(2 * (now - ttl)))
    trim(past)
    call('PEXPIRE', past, whole(ttl))
  end
  local function settle(values)
    put(counted, values, 'GT')
    trim(counted)
    call('PEXPIRE', counted, whole(ttl))
  end

  local fate = call('ZSCORE', past, id)
  local known = call('ZSCORE', members, member)
  if args[6] == '1' then
    if known and (not distinct or tonumber(known) <= time) then call('ZREM', members, member) end
    if not fate then remember({whole(2 * now), id}) end
    if distinct then settle({args[1], value}) end
    return {0, 0}
  end
  if fate then
    if tonumber(fate) % 2 == 1 then return {threshold, 1} end
    return {0, 0}
  end
  if distinct then
    local last = call('ZSCORE', counted, value)
    if last and time <= tonumber(last) then return {0, 0} end
  end

  local top = call('ZRANGE', members, 0, 0, 'REV', 'WITHSCORES')
  local newest = top[2] and tonumber(top[2]) or time
  if not known and time <= newest - span - LATE then return {1, 0} end
  local at = known and tonumber(known) or time
  if not known or distinct and time > at then
    at = time
    call('ZADD', members, args[1], member)
    newest = math.max(newest, time)
    call('ZREMRANGEBYSCORE', members, '-inf', whole(newest - span - LATE))
    trim(members)
  end
  local count = most(members, at, span, newest)
  if count < threshold then
    call('PEXPIRE', members, whole(ttl))
    return {count, 0}
  end

  local all = call('ZRANGE', members, 0, -1, 'WITHSCORES')
  call('DEL', members)
  local list = {}
  for i = 1, #all, 2 do
    list[#list + 1] = distinct and all[i + 1] or whole(2 * now)
    list[#list + 1] = all[i]
  end
  if distinct then settle(list) else remember(list) end
  local done, quiet = 1, tonumber(args[7])
  if quiet > 0 then
    local last = call('GET', told)
    if last and math.abs(time - tonumber(last)) < quiet then
      done = 0
    else
      call('SET', told, args[1], 'PX', whole(math.max(math.ceil(quiet / 1000), ttl)))
    end
  end
  remember({whole(2 * now + done), id})
  return {count, done}
end

-- count adds to a counter. keys: "span:count". args: amount, span.
local function count(keys, args)
  local span, now, n = tonumber(args[2]), clock(), 0
  local this = math.floor(now / span)
  local before = call('GET', keys[1])
  if before then
    local of, stood = string.match(before, '^(%d+):(%d+)$')
    if tonumber(of) == this then n = tonumber(stood) end
  end
  n = math.min(n + tonumber(args[1]), 9007199254740991)
  call('SET', keys[1], whole(this) .. ':' .. whole(n), 'PX', whole(math.ceil(((this + 1) * span - now) / 1000) + 1000))
  return n
end

-- share makes decisions known and takes others back; it returns the generation, the
-- number of the last change, and the ids that were taken back before.
-- keys: generation and number; index; changes; then of each id its decision and its tombstone.
-- args: a new generation, how many decisions, then id, value, ms left of each, then the
-- ids that are taken back.
local function share(keys, args)
  local general, index, changes = keys[1], keys[2], keys[3]
  if call('EXISTS', general) == 0 then
    -- Numbers grow also where what came before is lost.
    call('HSET', general, 'g', args[1], 'n', whole(clock()))
  end
  local longest, back, wrote = FORGET, {}, false
  local function changed(what, id)
    local number = whole(call('HINCRBY', general, 'n', 1))
    call('XADD', changes, 'MAXLEN', '~', CHANGES, number .. '-0', what, id)
    wrote = true
    return number
  end
  local n, a, k = tonumber(args[2]), 3, 4
  for _ = 1, n do
    local id, value, left = args[a], args[a + 1], tonumber(args[a + 2]) + GRACE
    local decision, tombstone = keys[k], keys[k + 1]
    if call('EXISTS', tombstone) == 1 then
      back[#back + 1] = id
    else
      local had = call('PTTL', decision)
      local fresh = had == -2
      if fresh then
        call('SET', decision, value, 'PX', whole(left))
      elseif had > GRACE and left < had then
        call('PEXPIRE', decision, whole(left))
      end
      if fresh or had > GRACE and not call('ZSCORE', index, id) then
        call('ZADD', index, changed('+', id), id)
        longest = math.max(longest, left)
      end
    end
    a, k = a + 3, k + 2
  end
  for i = a, #args do
    local id, decision, tombstone = args[i], keys[k], keys[k + 1]
    if call('EXISTS', tombstone) == 0 then
      local left = call('PTTL', decision)
      if left < 0 then left = FORGET end
      call('DEL', decision)
      call('ZREM', index, id)
      call('SET', tombstone, '', 'PX', whole(math.max(left, GRACE)))
      changed('-', id)
    end
    k = k + 2
  end
  atleast(general, longest)
  if wrote then
    atleast(index, longest)
    atleast(changes, longest)
  end
  local now = call('HMGET', general, 'g', 'n')
  return {now[1], now[2], back}
end

-- read returns of each id the decision and how many ms are left of it, '' and 0 when it is
-- not in force. keys: index, then the decisions. args: the ids.
local function read(keys, args)
  local out = {}
  for i, id in ipairs(args) do
    local left = call('PTTL', keys[i + 1]) - GRACE
    if left > 0 then
      out[#out + 1] = call('GET', keys[i + 1])
      out[#out + 1] = left
    else
      call('ZREM', keys[1], id)
      out[#out + 1] = ''
      out[#out + 1] = 0
    end
  end
  return out
end

redis.register_function('ironpost_v1_window', window)
redis.register_function('ironpost_v1_count', count)
redis.register_function('ironpost_v1_share', share)
redis.register_function('ironpost_v1_read', read)
