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
-- Each function answers where the next operation begins; nil: this one is none of its own.
--- include activity_operations

-- From the first operation on that is not one that most decisions have: what those need is made here.
local function run_rest(r, i)
  --- include visible
  --- include close
  --- include activity
  --- include outbox_operations
  --- include other_operations
  while i <= #ARGV do i = activity_operation(r, i) or other_operation(r, i) or outbox_operation(r, i) end
end

local function run_operations(r, i)
  while i <= #ARGV do
    local next = activity_operation(r, i)
    if not next then return run_rest(r, i) end
    i = next
  end
end
