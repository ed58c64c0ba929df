-- Of the operations of a decision (see operations.lua) those with a message for another partition: C, M, F.
--- include outbox
local function outbox_operation(r, i)
  local op = ARGV[i]
  if op == 'C' then
    append(r, ARGV[i + 2], ARGV[i + 3])
    rcall('HSET', pend_key, 'c:' .. ARGV[i + 1], ARGV[i + 7])
    post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6])
    return i + 8
  elseif op == 'M' then
    if ARGV[i + 1] ~= '' then append(r, ARGV[i + 1], ARGV[i + 2]) end
    post(KEYS[tonumber(ARGV[i + 3])], ARGV[i + 4], ARGV[i + 5])
    return i + 6
  elseif op == 'F' then
    append(r, ARGV[i + 2], ARGV[i + 3])
    rcall('HDEL', pend_key, 'c:' .. ARGV[i + 7])
    post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6])
    return i + 8
  end
end
