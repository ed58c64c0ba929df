"""Runs that no other suite has, so that the corpus can be recorded with every event there is."""

from __future__ import annotations

from tests.support.engine import Engine, engine, make_engine

__all__ = ["engine", "make_engine"]


async def test_a_child_that_is_canceled(engine: Engine) -> None:
    """Its parent hears of it, as an event or as the error of the call that waits."""
    await engine.deploy(
        {
            "parent": """
            local function main()
              local events = process.events()
              local pid = process.spawn_monitored("app:child", "app:worker")
              assert(process.cancel(pid, "enough"))
              return events:receive().result.error:kind()
            end""",
            "child": """
            local function main()
              process.set_options({ interrupt_on_cancel = true })
              local _, err = time.sleep("1h")
              return nil, err
            end""",
        }
    )
    await engine.worker()
    await engine.scheduler()
    assert await engine.execute("parent") == "Canceled"


async def test_much_at_once(engine: Engine) -> None:
    """Coroutines, channels, a select with a timer, activities side by side, a saga, tables."""
    await engine.deploy(
        {
            "busy": """
            local function main(n)
              local out, done = {}, channel.new(n)
              for i = 1, n do
                coroutine.spawn(function()
                  time.sleep((n - i) * 3 .. "ms")
                  done:send({ i = i, v = funcs.call("app:double", i), r = math.random(1000) })
                end)
              end
              local late = time.after("5s")
              while #out < n do
                local case = channel.select({ done:case_receive(), late:case_receive() })
                if case.channel == late then return nil, errors.new("late") end
                out[#out + 1] = case.value
              end
              table.sort(out, function(a, b) return a.i < b.i end)
              local keys = {}
              for key in pairs({ b = 1, a = 2, [3] = 3, [true] = 4 }) do
                keys[#keys + 1] = tostring(key)
              end
              local saga = workflow.saga()
              saga:add("app:double", 1)
              saga:compensate()
              workflow.attrs({ search = { n = n }, memo = { keys = keys } })
              return { out, keys, string.format("%5.2f|%q|%s", 1 / 3, "a\\nb", uuid.v4():len()) }
            end"""
        },
        activities={"double": "local function main(n) return n * 2 end"},
    )
    await engine.worker()
    await engine.scheduler()
    out, keys, _ = await engine.execute("busy", 5)
    assert [one["v"] for one in out] == [2, 4, 6, 8, 10]
    assert keys == ["3", "a", "b", "true"]
