"""Code that awaits: at the top level, in tasks, under asyncio.run; what is left is ended."""

from __future__ import annotations

import asyncio

import anyio
import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Answer, Request, ScriptedModel, Usage

from ..conftest import Agent, Connect

pytestmark = pytest.mark.anyio


class Patient:
    """Answers with the prompt; `never ...` never, `fails ...` with an error, `last ...` after all
    others that were asked before it."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.cancelled: list[str] = []
        self.in_flight = self.most = 0
        self._quiet = asyncio.Event()

    async def ask(self, request: Request) -> Answer:
        text = request.prompt.text
        self.asked.append(text)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(0)
            if text.startswith("never"):
                await asyncio.Event().wait()
            if text.startswith("fails"):
                raise SubLLMError("the provider refused", kind="refused", input_tokens=7, usd=None)
            if text.startswith("last"):
                await self._quiet.wait()
        except asyncio.CancelledError:
            self.cancelled.append(text)
            raise
        finally:
            self.in_flight -= 1
            if self.in_flight <= 1:
                self._quiet.set()
        return Answer(f"<{text}>", input_tokens=1, output_tokens=1, usd=0.0)

    async def estimate(self, request: Request) -> Usage:
        return Usage.guess(request)

    async def aclose(self) -> None: ...


async def test_gather_asks_together_and_keeps_order(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio\n"
            "prompts = ['last'] + [f'p{i}' for i in range(49)]\n"
            "r = await asyncio.gather(*(asub_llm(p) for p in prompts))\n"
            "[x[1:-1] for x in r] == prompts"
        )
        reply = await agent.run(code)
        assert "=> True" in reply
        assert "50 sub-LLM calls, 50 tokens in, 50 out" in reply
        assert model.most == 50


async def test_blocking_calls_handed_to_threads_overlap_all_the_same(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio, functools\nask = functools.partial(llm_query, context='c')\n"
            "await asyncio.gather(asyncio.to_thread(sub_llm, 'last', max_tokens=5),\n"
            "    asyncio.to_thread(ask, 'a'))"
        )
        assert "=> ['<last>', '<a\\n\\n<context>\\nc\\n</context>>']" in await agent.run(code)
        assert model.most == 2


async def test_prompts_and_answers_that_fit_no_single_message_are_sent_in_several(
    connect: Connect,
) -> None:
    async with connect(Patient()) as agent:
        code = (
            "import asyncio\n"
            "r = await asyncio.gather(*(asub_llm(c * 6_000_000) for c in 'abcdef'))\n"
            "[(a[1], len(a)) for a in r] == [(c, 6_000_002) for c in 'abcdef']"
        )
        assert "=> True" in await agent.run(code)


async def test_at_most_a_hundred_are_in_flight(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = "import asyncio\nlen(await asyncio.gather(*(asub_llm(str(i)) for i in range(2500))))"
        assert "=> 2500" in await agent.run(code)
        assert 50 <= model.most <= 100
        assert len(set(model.asked)) == 2500


async def test_every_form_of_await_works_at_the_top_level(connect: Connect) -> None:
    async with connect(Patient()) as agent:
        await agent.run(
            "import asyncio, contextlib\n"
            "async def ask_all(*prompts):\n    for p in prompts: yield await asub_llm(p)\n"
            "@contextlib.asynccontextmanager\n"
            "async def held(name):\n    yield await asub_llm(name)"
        )
        for code, expected in (
            ("await asub_llm('a')", "'<a>'"),
            ("x = await asub_llm('a')\nx + '!'", "'<a>!'"),
            ("seen = []\nasync for x in ask_all('a', 'b'): seen.append(x)\nseen", "['<a>', '<b>']"),
            ("async with held('h') as h: pass\nh", "'<h>'"),
            ("[x async for x in ask_all('a')]", "['<a>']"),
            ("asyncio.run(asub_llm('r'))", "'<r>'"),
            ("asyncio.get_event_loop().run_until_complete(asub_llm('u'))", "'<u>'"),
            ("await asyncio.to_thread(sub_llm, 't')", "'<t>'"),
            ("await asyncio.to_thread(len, 'four')", "4"),
            ("await asyncio.get_running_loop().run_in_executor(None, sub_llm, 'e')", "'<e>'"),
            ("with asyncio.Runner() as runner: x = runner.run(asub_llm('q'))\nx", "'<q>'"),
            ("t = asyncio.create_task(asub_llm('t'))\nawait t", "'<t>'"),
            ("async def main():\n    return await asub_llm('m')\nawait main()", "'<m>'"),
        ):
            assert f"=> {expected}" in await agent.run(code), code
        text = await agent.fails("exec_code", code="x = await asub_llm('fails')")
        assert 'File "<execution' in text
        assert "asyncio/" not in text
        assert "\nSubLLMError: the provider refused" in text


async def test_answers_come_as_they_are_ready(connect: Connect) -> None:
    async with connect(Patient()) as agent:
        code = (
            "import asyncio\nseen = []\n"
            "for one in asyncio.as_completed([asub_llm(p) for p in ('last', 'a', 'b')]):\n"
            "    seen.append(await one)\n"
            "sorted(seen[:2]), seen[2]"
        )
        assert "=> (['<a>', '<b>'], '<last>')" in await agent.run(code)


async def test_queues_locks_and_timers_work_and_go_on_in_the_next_execution(
    connect: Connect,
) -> None:
    async with connect(Patient()) as agent:
        code = (
            "import asyncio\n"
            "queue, room, out = asyncio.Queue(), asyncio.Semaphore(2), []\n"
            "async def work():\n"
            "    while (item := await queue.get()) is not None:\n"
            "        async with room: out.append(await asub_llm(item))\n"
            "async def feed(*items):\n"
            "    async with asyncio.TaskGroup() as group:\n"
            "        for _ in range(3): group.create_task(work())\n"
            "        for item in items: await asyncio.sleep(0.001); await queue.put(item)\n"
            "        for _ in range(3): await queue.put(None)\n"
            "await feed('a', 'b', 'c')\nsorted(out)"
        )
        assert "=> ['<a>', '<b>', '<c>']" in await agent.run(code)
        await agent.run("held = asyncio.Lock(); await held.acquire(); agen = None")
        code = "async with asyncio.timeout(5): await feed('d')\nheld.locked(), len(out)"
        assert "=> (True, 4)" in await agent.run(code)


async def test_a_failed_task_group_cancels_its_siblings_on_the_server(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio\nkept = 1\n"
            "async with asyncio.TaskGroup() as group:\n"
            "    for p in ('never 1', 'fails', 'never 2'): group.create_task(asub_llm(p))"
        )
        text = await agent.fails("exec_code", code=code)
        assert "the provider refused" in text
        assert "3 sub-LLM calls (3 failed)" in text
        assert "=> 1" in await agent.run("kept")
        assert sorted(model.cancelled) == ["never 1", "never 2"]


async def test_a_call_that_is_waited_for_no_longer_is_cancelled_while_others_go_on(
    connect: Connect,
) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio\n"
            "async def patient():\n"
            "    try: await asyncio.wait_for(asub_llm('never'), 0.05)\n"
            "    except TimeoutError: return 'given up', await asub_llm('after')\n"
            "await asyncio.gather(patient(), asub_llm('other'))"
        )
        assert "=> [('given up', '<after>'), '<other>']" in await agent.run(code)
        assert model.cancelled == ["never"]
        assert "=> 'ok'" in await agent.run("asyncio.run(asyncio.sleep(0)); 'ok'")


async def test_what_is_still_running_at_the_end_is_cancelled_and_told_of(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio\n"
            "async def wait(c):\n"
            "    try: await asub_llm(f'never {c}')\n"
            "    finally: ended.append(1)\n"
            "ended = []\n"
            "tasks = [asyncio.create_task(wait(c)) for c in 'abc']\n"
            "await asyncio.sleep(0.02)\n'done'"
        )
        reply = await agent.run(code)
        assert "=> 'done'" in reply
        assert "note: 3 tasks still running at the end" in reply
        assert "3 sub-LLM calls (3 failed)" in reply
        assert "=> ([1, 1, 1], True)" in await agent.run("ended, all(t.cancelled() for t in tasks)")
        assert sorted(model.cancelled) == ["never a", "never b", "never c"]
        # A task that will not end is left behind, and does not run on.
        stubborn = (
            "async def cling():\n"
            "    while True:\n"
            "        try: await asyncio.sleep(9)\n"
            "        except asyncio.CancelledError: ended.append(2)\n"
            "t = asyncio.create_task(cling())\nawait asyncio.sleep(0)"
        )
        assert "1 task still running" in await agent.run(stubborn)
        await agent.run("before = len(ended)\nawait asyncio.sleep(0.01)")
        assert "=> True" in await agent.run("before == len(ended)")


@pytest.mark.parametrize(
    "body",
    [
        "await asyncio.sleep(1000)",
        "while True: await asyncio.sleep(0)",
        "await asyncio.gather(spin(), asub_llm('never'))",
        "t = asyncio.create_task(asub_llm('never'))\nawait asyncio.sleep(0.02)\nawait spin()",
        "await asyncio.gather(spin(), asyncio.sleep(1000), return_exceptions=True)",
        "asyncio.run(asyncio.sleep(1000))",
        "asyncio.run(spin())",
        "asyncio.get_event_loop().call_soon(busy); await asyncio.Event().wait()",
        "async with asyncio.TaskGroup() as group: group.create_task(spin())",
    ],
)
async def test_a_stop_reaches_what_awaits_and_variables_stay(connect: Connect, body: str) -> None:
    model = Patient()
    async with connect(model) as agent:
        await agent.run(
            "import asyncio\n"
            "def busy():\n    while True: pass\n"
            "async def spin():\n    await asyncio.sleep(0.03)\n    busy()"
        )
        text = await agent.stopped(f"kept = 1\n{body}", timeout_s=0.4)
        assert "STOPPED" in text, text
        assert "never retrieved" not in text
        assert "note:" not in text
        assert "=> (1, '<x>')" in await agent.run("kept, await asub_llm('x')")
        assert "=> '<y>'" in await agent.run("asyncio.run(asub_llm('y'))")
        assert model.in_flight == 0


async def test_a_stop_shows_where_the_code_waited(agent: Agent) -> None:
    code = "import asyncio\nasync def f():\n    await asyncio.sleep(1000)\nx = 1\nawait f()"
    text = await agent.stopped(code)
    assert "line 6, in <module>" in text
    assert "line 4, in f" in text
    assert "asyncio/" not in text
    assert "rlm_guest" not in text


async def test_a_cancelled_request_cancels_the_calls_in_flight(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        await agent.run("kept = 1")
        async with anyio.create_task_group() as group:

            async def run() -> None:
                code = (
                    "import asyncio\nawait asyncio.gather(*(asub_llm(f'never {c}') for c in 'abc'))"
                )
                await agent.call("exec_code", code=code)

            group.start_soon(run)
            while model.in_flight < 3:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        assert "=> 1" in await agent.run("kept")
        assert sorted(model.cancelled) == ["never a", "never b", "never c"]


async def test_an_execution_that_is_lost_takes_its_calls_along(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio, os\n"
            "t = asyncio.create_task(asub_llm('never'))\nawait asyncio.sleep(0.02)\nos._exit(3)"
        )
        text = await agent.fails("exec_code", code=code)
        assert "LOST" in text
        assert "=> 1" in await agent.run("1")
        assert model.cancelled == ["never"]


async def test_the_loop_survives_a_restart_and_a_fork(connect: Connect) -> None:
    async with connect(Patient()) as agent:
        await agent.run(
            "import asyncio\nlock = asyncio.Lock()\n"
            "async def use():\n    async with lock:\n"
            "        await asyncio.sleep(0)\n        return await asub_llm('x')\n"
            "await asyncio.gather(use(), use())"
        )
        await agent.call("spaces", action="fork", name="fork")
        await agent.call("spaces", action="close")
        await agent.call("spaces", action="open", space="main")
        for space in ("main", "fork"):
            code = "await asyncio.gather(use(), use())"
            assert "=> ['<x>', '<x>']" in await agent.run(code, space=space)
    async with connect(Patient()) as agent:
        assert "=> ['<x>', '<x>']" in await agent.run("await asyncio.gather(use(), use())")


async def test_forks_of_a_pmap_await_at_once(connect: Connect) -> None:
    model = Patient()
    async with connect(model) as agent:
        code = (
            "import asyncio\n"
            "async def ask(n):\n"
            "    return await asyncio.gather(*(asub_llm(f'{n}.{i}') for i in range(5)))\n"
            "def run(n): return asyncio.run(ask(n))\n"
            "wanted = [[f'<{n}.{i}>' for i in range(5)] for n in range(6)]\n"
            "wanted += [[f'<{n}.{i}>' for i in range(5)] for n in range(6, 12)]\n"
            "pmap(run, range(6), workers=2) + pmap(ask, range(6, 12), workers=2) == wanted"
        )
        reply = await agent.run(code)
        assert "=> True" in reply
        assert "60 sub-LLM calls" in reply


async def test_a_timer_that_is_left_does_not_go_off_in_a_later_execution(agent: Agent) -> None:
    code = (
        "import asyncio\nfired = []\n"
        "asyncio.get_event_loop().call_later(0.01, fired.append, 1)\n"
        "await asyncio.sleep(0)"
    )
    await agent.run(code)
    assert "=> []" in await agent.run("await asyncio.sleep(0.03)\nfired")


async def test_what_has_no_place_in_the_sandbox_says_so(agent: Agent) -> None:
    for code, expected in (
        ("await asyncio.open_connection('example.org', 80)", "no network; load_variable"),
        ("await asyncio.create_subprocess_shell('ls')", "runs no programs"),
        ("await asyncio.start_server(print, port=80)", "no network"),
        ("await asyncio.Event().wait()", "DeadlockError: all tasks wait"),
        ("asyncio.run(asyncio.Event().wait())", "DeadlockError: all tasks wait"),
        ("await asyncio.get_running_loop().create_future()", "DeadlockError"),
        ("await 5", "TypeError"),
        ("await asyncio.sleep(0)\nasyncio.run(asyncio.sleep(0))", "`await` the coroutine instead"),
        ("import threading; threading.Thread(target=print).start()", "asyncio.gather for calls"),
        ("async def f(): pass\nasyncio.create_task(f())", "no running event loop"),
    ):
        text = await agent.fails("exec_code", code=f"import asyncio\n{code}")
        assert expected in text, text
    assert "=> 7" in await agent.run("await asyncio.sleep(0, 7)")


async def test_what_code_does_to_asyncio_is_undone(agent: Agent) -> None:
    for harm in (
        "asyncio.events._event_loop_policy = None",
        "asyncio.set_event_loop(asyncio.new_event_loop())",
        "asyncio.events._set_running_loop(5)",
        "await asyncio.sleep(0); asyncio.get_running_loop().close = None",
        "asyncio.get_event_loop().close()",
        "asyncio.EventLoop = asyncio.SelectorEventLoop = None",
        "await asyncio.sleep(0); asyncio.get_running_loop().stop()",
    ):
        await agent.call("exec_code", code=f"import asyncio\n{harm}")
        assert "=> 7" in await agent.run("await asyncio.sleep(0, 7)"), harm
        assert "=> 8" in await agent.run("asyncio.run(asyncio.sleep(0, 8))"), harm


async def test_one_bad_prompt_of_a_gather_fails_alone(connect: Connect) -> None:
    model = ScriptedModel(lambda request: "yes")
    async with connect(model) as agent:
        code = (
            "import asyncio\n"
            "prompts = ['a', ' ', '\\ud800', 'b']\n"
            "r = await asyncio.gather(*map(asub_llm, prompts), return_exceptions=True)\n"
            "[str(x)[:19] for x in r]"
        )
        reply = await agent.run(code)
        expected = "['yes', 'the prompt is empty', 'the prompt holds a ', 'yes']"
        assert f"=> {expected}" in reply
        assert len(model.requests) == 2
