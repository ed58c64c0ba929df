-- finish_jobs: outcomes of plain jobs are kept for a while, and whoever waits for them is told.
-- KEYS meta jobs leases timers any...
-- ARGV server list...
-- any: the hash of each job; list: of each its id, token, proof, member, score, type, body
-- Returns for each job 'ok' | 'fenced'
--- include partition
local token, proof, member, score
--- include attempt

local answers, ended, told = {}, {}, {}
for i = list, #ARGV, 7 do
  local key = KEYS[5 + (i - list) / 7]
  local v = rcall('HMGET', key, 'status', 'a:1', 'ttl')
  token, proof, member, score = ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local mine = not told[key] and v[1] == 'running' and speaks_for(v[2])
  answers[#answers + 1] = mine and 'ok' or 'fenced'
  if mine then
    told[key] = v[3]
    ended[#ended + 1] = i
  end
end
if #ended == 0 then return answers end
touch()
local leases, timers, ids = {}, {}, {}
for n = 1, #ended do
  local i = ended[n]
  local key, job = KEYS[5 + (i - list) / 7], '|j:' .. ARGV[i] .. '|1'
  local body = ARGV[i + 6]
  rcall('HDEL', key, 'a:1', 'o:1', 'h:1', 'f:1', 'e:1', 'p:1')
  rcall('HSET', key, 'status', ARGV[i + 5], 'close', now, 'body', body)
  rcall('PEXPIRE', key, told[key])
  rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'done:j:' .. ARGV[i],
    ARGV[i + 5] .. '\n' .. (#body <= 65536 and body or ''))
  leases[2 * n - 1], leases[2 * n] = 'a' .. job, 's' .. job
  timers[2 * n - 1], timers[2 * n] = 'r' .. job, 'c' .. job
  ids[n] = ARGV[i]
end
rcall('ZREM', leases_key, (unpack or table.unpack)(leases))
rcall('ZREM', timers_key, (unpack or table.unpack)(timers))
rcall('ZREM', jobs_key, (unpack or table.unpack)(ids))
return answers
