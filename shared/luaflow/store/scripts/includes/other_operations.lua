-- Of the operations of a decision (see operations.lua) those that few decisions have.
local function other_operation(r, i)
  local op = ARGV[i]
  if op == 'E' then
    append(r, ARGV[i + 1], ARGV[i + 2])
    return i + 3
  elseif op == 'S' then
    append(r, ARGV[i + 1], ARGV[i + 2])
    r.news = r.news + 1
    r.own = r.own or {}
    r.own[#r.own + 1] = { ARGV[i + 1], ARGV[i + 2], r.len }
    return i + 3
  elseif op == 'U' then
    r.unread = ARGV[i + 1]
    if r.unread == '' then
      rcall('HDEL', run_key, 'unread')
    else
      rcall('HSET', run_key, 'unread', r.unread)
    end
    return i + 2
  elseif op == 'H' then
    if ARGV[i + 2] == '' then
      rcall('HDEL', run_key, ARGV[i + 1])
    else
      rcall('HSET', run_key, ARGV[i + 1], ARGV[i + 2])
    end
    return i + 3
  elseif op == 'I' then
    local start = tonumber(rcall('HGET', run_key, 'start'))
    remove_attributes(rcall('HGET', run_key, 'index') or '', start)
    add_attributes(ARGV[i + 1], start)
    rcall('HSET', run_key, 'index', ARGV[i + 1])
    return i + 2
  elseif op == 'N' then
    append(r, ARGV[i + 3], ARGV[i + 4])
    rcall('HSET', run_key, 'u:' .. ARGV[i + 1], ARGV[i + 2] .. r.len)
    rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'update:' .. run_id .. ':' .. ARGV[i + 1], r.len)
    return i + 5
  elseif op == 'R' then
    append(r, 'ActivityTaskCancelRequested', ARGV[i + 2])
    local target = ARGV[i + 3]
    local a = load_activity(target)
    if a and (a.state == 'r' or a.state == 'c') then
      a.state = 'c'
      save_activity(target, a)
    elseif a then
      -- not running: a scheduler tells the end of it
      a.state = 'x'
      save_activity(target, a)
      set_lease('a|' .. run_id .. '|' .. target, server_now)
    end
    return i + 4
  elseif op == 'T' then
    append(r, 'TimerStarted', ARGV[i + 2])
    local due = now + tonumber(ARGV[i + 3])
    rcall('HSET', pend_key, 't:' .. ARGV[i + 1], due)
    set_timer('t|' .. run_id .. '|' .. ARGV[i + 1], due)
    return i + 4
  elseif op == 't' then
    append(r, 'TimerCanceled', ARGV[i + 2])
    rcall('HDEL', pend_key, 't:' .. ARGV[i + 3])
    rcall('ZREM', timers_key, 't|' .. run_id .. '|' .. ARGV[i + 3])
    return i + 4
  elseif op == 'Z' then
    if ARGV[i + 4] ~= '0' then post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6]) end
    local body = ARGV[i + 3]
    if r.unread then body = string.sub(body, 1, -2) .. ',' .. listed(r, r.unread, {}, r.len) .. '}' end
    r.start = tonumber(rcall('HGET', run_key, 'start'))
    close_run(r, ARGV[i + 1], ARGV[i + 2], body)
    return i + 8
  end
end
