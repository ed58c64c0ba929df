-- What a decision asks for, as the worker spells it in ARGV; KEYS are named by their index.
--   E type body                              an event and nothing else (markers, attributes …)
--   A seq body opts queue s2c hb s2s s2e     activity on a queue: queue is a KEYS index
--   L seq body opts token worker s2c hb s2e  activity kept by this worker (eager), started at once
--   R seq body target                        ask for the cancellation of activity `target`
--   T seq body ms                            timer            t seq body target   timer canceled
--   C seq type body key receiver message rec request to another workflow, through the outbox
--   M type body key receiver message         a letter to a process, not answered; type '': no event
--   F seq type body key receiver message target   a message nobody answers; `target` waits no more
--   S type body                              a message to oneself: an event and news at once
--   U ids                                    messages up to `seen` that the code has not taken
--   H field value                            a field of the run that describe shows (attrs, memo, views);
--                                            '' = not any more
--   I index                                  its search attributes are these now (see visible.lua)
--   N update_id state type body              a step of an update; whoever waits for it is woken
--   Z status type body key receiver message close   the end; key 0: nobody to tell
--- include activity_operations
--- include outbox_operations

function OPS.E(r, i)
  append(r, ARGV[i + 1], ARGV[i + 2])
  return i + 3
end

function OPS.S(r, i)
  append(r, ARGV[i + 1], ARGV[i + 2])
  r.news = r.news + 1
  r.own = r.own or {}
  r.own[#r.own + 1] = { ARGV[i + 1], ARGV[i + 2], r.len }
  return i + 3
end

function OPS.U(r, i)
  r.unread = ARGV[i + 1]
  if r.unread == '' then
    rcall('HDEL', run_key, 'unread')
  else
    rcall('HSET', run_key, 'unread', r.unread)
  end
  return i + 2
end

function OPS.H(_, i)
  if ARGV[i + 2] == '' then
    rcall('HDEL', run_key, ARGV[i + 1])
  else
    rcall('HSET', run_key, ARGV[i + 1], ARGV[i + 2])
  end
  return i + 3
end

function OPS.I(r, i)
  remove_attributes(rcall('HGET', run_key, 'index') or '', r.start)
  add_attributes(ARGV[i + 1], r.start)
  rcall('HSET', run_key, 'index', ARGV[i + 1])
  return i + 2
end

function OPS.N(r, i)
  append(r, ARGV[i + 3], ARGV[i + 4])
  rcall('HSET', run_key, 'u:' .. ARGV[i + 1], ARGV[i + 2] .. r.len)
  rcall('PUBLISH', string.sub(meta_key, 1, -5) .. 'update:' .. run_id .. ':' .. ARGV[i + 1], r.len)
  return i + 5
end

function OPS.T(r, i)
  append(r, 'TimerStarted', ARGV[i + 2])
  local due = now + tonumber(ARGV[i + 3])
  rcall('HSET', pend_key, 't:' .. ARGV[i + 1], due)
  set_timer('t|' .. run_id .. '|' .. ARGV[i + 1], due)
  return i + 4
end

function OPS.t(r, i)
  append(r, 'TimerCanceled', ARGV[i + 2])
  rcall('HDEL', pend_key, 't:' .. ARGV[i + 3])
  rcall('ZREM', timers_key, 't|' .. run_id .. '|' .. ARGV[i + 3])
  return i + 4
end

function OPS.Z(r, i)
  if ARGV[i + 4] ~= '0' then post(KEYS[tonumber(ARGV[i + 4])], ARGV[i + 5], ARGV[i + 6]) end
  local body = ARGV[i + 3]
  if r.unread then body = string.sub(body, 1, -2) .. ',' .. listed(r, r.unread, {}, r.len) .. '}' end
  close_run(r, ARGV[i + 1], ARGV[i + 2], body)
  return i + 8
end

local function run_operations(r, i)
  while i <= #ARGV do i = OPS[ARGV[i]](r, i) end
end
