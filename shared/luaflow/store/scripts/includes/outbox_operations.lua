-- Of the operations of a decision (see operations.lua) those with a message for another partition: C, M, F.
--- include activity_operations
--- include outbox

function OPS.C(r, i)
  append(r, ARGV[i + 2], ARGV[i + 3])
  rcall('HSET', pend_key, 'c:' .. ARGV[i + 1], ARGV[i + 7])
  post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6])
  return i + 8
end

function OPS.M(r, i)
  if ARGV[i + 1] ~= '' then append(r, ARGV[i + 1], ARGV[i + 2]) end
  post(KEYS[tonumber(ARGV[i + 3])], ARGV[i + 4], ARGV[i + 5])
  return i + 6
end

function OPS.F(r, i)
  append(r, ARGV[i + 2], ARGV[i + 3])
  rcall('HDEL', pend_key, 'c:' .. ARGV[i + 7])
  post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6])
  return i + 8
end
