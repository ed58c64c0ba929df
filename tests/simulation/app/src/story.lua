-- Plays a story: a list of steps, each a feature of the engine. The result is what the code saw:
-- `log`, an entry a step, and `got`, the numbers of the signals it took, in order.
local funcs, time, workflow, uuid = require("funcs"), require("time"), require("workflow"), require("uuid")

local steps = {}

-- An activity's value, or the kind of its error.
local function seen(value, err)
    if err then
        return { err = err:kind() }
    end
    return { v = value.v }
end

local function caller(step)
    if step.options then
        return funcs.new():with_options(step.options)
    end
    return funcs.new()
end

function steps.call(_, step)
    return seen(caller(step):call(step.fn, step.spec))
end

function steps.chain(_, step)
    local found = {}
    for i, spec in ipairs(step.specs) do
        found[i] = seen(funcs.call("app:work", spec))
    end
    return { all = found }
end

function steps.all(_, step)
    local futures, found = {}, {}
    for i, spec in ipairs(step.specs) do
        local future, err = caller(step):async(step.fn, spec)
        futures[i] = future or { err = err:kind() }
    end
    for i, future in ipairs(futures) do
        if future.err then
            found[i] = future
        else
            future:response():receive()
            local payload, err = future:result()
            found[i] = seen(payload and payload:data(), err)
        end
    end
    return { all = found }
end

-- An activity against a timer; the one that is late is given up.
function steps.race(_, step)
    local future = caller(step):async(step.fn, step.spec)
    local answer = future:response()
    local timer = time.after(step.ms .. "ms")
    local case = channel.select({ answer:case_receive(), timer:case_receive() })
    if case.channel == answer then
        local payload, err = future:result()
        return seen(payload and payload:data(), err)
    end
    future:cancel()
    return { late = true }
end

function steps.sleep(_, step)
    local _, err = time.sleep(step.ms .. "ms")
    return { err = err and err:kind() }
end

local function take(story, value)
    story.got[#story.got + 1] = value
end

-- Some signals, as many as come in time.
function steps.take(story, step)
    local deadline, count = time.after(step.ms .. "ms"), 0
    while count < step.count do
        local case = channel.select({ story.box:case_receive(), deadline:case_receive() })
        if case.channel ~= story.box or not case.ok then
            return { took = count, late = true }
        end
        take(story, case.value)
        count = count + 1
    end
    return { took = count }
end

-- What is there, without waiting.
function steps.poll(story)
    local count = 0
    while true do
        local case = channel.select({ story.box:case_receive(), default = true })
        if case.default or not case.ok then
            return { took = count }
        end
        take(story, case.value)
        count = count + 1
    end
end

function steps.self(_, step)
    local _, err = process.send(process.pid(), "s", step.value)
    return { err = err and err:kind() }
end

function steps.send(_, step)
    local err
    for _, value in ipairs(step.values) do
        _, err = process.send(step.to, "s", value)
    end
    return { err = err and err:kind() }
end

function steps.child(_, step)
    local value, err = workflow.exec("app:story", step.story)
    if err then
        return { err = err:kind() }
    end
    return { log = #value.log }
end

-- A child that is not waited for.
function steps.spawn(_, step)
    local options = { ["workflow.id"] = step.id, ["workflow.parent_close_policy"] = step.policy }
    local _, err = process.with_options(options):spawn("app:story", "app:worker", step.story)
    return { err = err and err:kind() }
end

function steps.side(_, step)
    return { v = workflow.side_effect(function() return step.value end), id = #uuid.v4() }
end

function steps.version()
    return { v = workflow.version("change", 1, 2) }
end

function steps.attrs(_, step)
    workflow.set_view("at", step.value)
    local _, err = workflow.attrs({ search = { at = step.value }, memo = { at = step.value } })
    return { err = err and err:kind() }
end

-- Two lines of the story side by side.
function steps.fork(story, step)
    local done, open = channel.new(2), 2
    for _, one in ipairs(step.sides) do
        coroutine.spawn(function()
            for _, inner in ipairs(one) do
                steps[inner.op](story, inner)
            end
            done:send(true)
        end)
    end
    while open > 0 do
        done:receive()
        open = open - 1
    end
    return { forked = true }
end

function steps.lock(story, step)
    local lock, err = workflow.lock(step.key, { timeout = step.ms .. "ms" })
    if not lock then
        return { err = err:kind() }
    end
    local found = seen(caller(step):call("app:work", step.spec))
    if step.release then
        lock:release()
    end
    return found
end

function steps.fail()
    return nil, errors.new({ kind = errors.CONFLICT, message = "as the story wants it", retryable = false })
end

-- Leave nothing behind: take all messages, and take leave while there is none.
function steps.drain(story)
    workflow.await(workflow.all_handlers_finished)
    return steps.poll(story)
end

local function main(tale)
    local story = { log = tale.log or {}, got = tale.got or {}, sum = tale.sum or 0 }
    story.box = process.listen("s")
    if tale.interrupt then
        process.set_options({ interrupt_on_cancel = true })
    end
    workflow.on_query("took", function() return #story.got end)
    workflow.on_update("add", function(n, slow)
        if slow then
            time.sleep("300ms")
        end
        story.sum = story.sum + n
        return { n = n }
    end, function(n) return n >= 0 end)
    for i = tale.at or 1, #tale.steps do
        local step = tale.steps[i]
        if step.op == "again" then
            return workflow.continue_as_new({
                steps = tale.steps, at = i + 1, log = story.log, got = story.got, sum = story.sum,
                interrupt = tale.interrupt,
            })
        end
        local found, err = steps[step.op](story, step)
        if err then
            return nil, err
        end
        if found.err == "Canceled" and tale.interrupt then
            return nil, errors.new({ kind = errors.CANCELED, message = "as it was asked" })
        end
        found.op = step.op
        story.log[#story.log + 1] = found
    end
    return { log = story.log, got = story.got, sum = story.sum }
end

return { main = main }
