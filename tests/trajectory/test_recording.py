"""What calls leave in the record: parents, order, texts, tokens, and what is left out."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.errors import StoreError, SubLLMError
from rlm_mcp.lm import Request, ScriptedModel
from rlm_mcp.settings import Settings
from rlm_mcp.store import SpanTable

from ..conftest import Connect
from .conftest import Recorded

pytestmark = pytest.mark.anyio


def answer(request: Request) -> str | SubLLMError:
    text = request.prompt.text
    if "bad" in text:
        return SubLLMError(
            "the provider refused", kind="refused", provider="p", model="p/m", input_tokens=7
        )
    return f"answer to {text}"


async def test_an_execution_is_recorded_with_its_sub_calls_below_it(
    connect: Connect, recorded: Recorded
) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run("print('hello')\n1 + 1")
        code = "r = sub_llm_map(['one', 'bad', 'three'], on_error='return', concurrency=1)"
        await agent.run(code)
        await agent.fails("exec_code", code="1 / 0")
    first, second, third = recorded(kind="execution")
    assert [span["detail"]["number"] for span in (first, second, third)] == [1, 2, 3]
    assert first["detail"]["code"] == "print('hello')\n1 + 1"
    assert first["detail"]["output"] == "hello\n"
    assert first["detail"]["value"] == "2"
    assert (first["status"], second["status"], third["status"]) == ("ok", "ok", "failed")
    assert "ZeroDivisionError" in third["detail"]["error"]
    assert first["parent"] is second["parent"] is None
    assert first["trace"] < second["trace"] < third["trace"]
    assert 0 < first["seconds"] < 90 and abs(second["started"] - first["started"]) < 90
    detail = second["detail"]
    assert (detail["calls"], detail["failed_calls"], detail["usd"]) == (3, 1, 0.0)
    calls = recorded(kind="sub_llm")
    assert {call["parent"] for call in calls} == {second["id"]}
    assert {call["trace"] for call in calls} == {second["trace"]}
    assert [call["detail"]["prompt"] for call in calls] == ["one", "bad", "three"]
    assert [call["status"] for call in calls] == ["ok", "failed", "ok"]
    assert calls[0]["detail"]["answer"] == "answer to one"
    assert calls[0]["detail"]["model"] == "scripted"
    assert (calls[0]["detail"]["input_tokens"], calls[0]["detail"]["output_tokens"]) == (1, 3)
    assert calls[1]["detail"]["error_kind"] == "refused"
    assert calls[1]["detail"]["error"] == "the provider refused"
    assert calls[1]["detail"]["input_tokens"] == 7


async def test_other_tools_are_recorded_where_they_change_something(
    connect: Connect, recorded: Recorded, work: Path
) -> None:
    (work / "a.txt").write_text("some text")
    async with connect(ScriptedModel(answer)) as agent:
        await agent.call("load_variable", name="text", source="a.txt")
        await agent.fails("load_variable", name="none", source="missing.txt")
        await agent.call("peek", target="text")
        await agent.call("sub_llm", prompt="about {{text}}", into="r")
        await agent.call("save_variable", name="r", path="r.txt")
        await agent.call("spaces", action="info")
        await agent.call("spaces", action="fork", name="other")
        await agent.call("spaces", action="undo")
        await agent.run("in_the_fork = 1", space="other")
    tops = [span for span in recorded() if span["parent"] is None]
    assert [(span["kind"], span["detail"].get("action"), span["status"]) for span in tops] == [
        ("load", None, "ok"), ("load", None, "failed"), ("ask", None, "ok"), ("save", None, "ok"),
        ("spaces", "fork", "ok"), ("spaces", "undo", "ok"),
    ]  # fmt: skip
    assert json.loads(tops[0]["detail"]["arguments"])["source"] == "a.txt"
    assert "missing.txt" in tops[1]["detail"]["error"]
    (call,) = recorded(kind="sub_llm")
    assert call["parent"] == tops[2]["id"]
    assert call["detail"]["prompt"] == "about some text"
    assert tops[2]["detail"]["prompt"] == "about {{text}}"
    assert [span["kind"] for span in recorded("other")] == ["execution"]


async def test_stopped_and_lost_executions_are_recorded_as_such(
    connect: Connect, recorded: Recorded
) -> None:
    async with connect() as agent:
        await agent.fails("exec_code", code="while True: pass", timeout_s=0.5)
        await agent.fails("exec_code", code="import os; os._exit(3)")
    assert [span["status"] for span in recorded()] == ["timeout", "lost"]


async def test_the_record_is_there_after_a_restart_and_gone_with_its_space(
    connect: Connect, recorded: Recorded, settings: Settings
) -> None:
    async with connect() as agent:
        await agent.run("x = 'the first'")
        await agent.call("spaces", action="fork", name="other")
        await agent.run("y = 'elsewhere'", space="other")
    async with connect() as agent:
        await agent.run("x = 'the second'")
    codes = [span["detail"]["code"] for span in recorded(kind="execution")]
    assert codes == ["x = 'the first'", "x = 'the second'"]
    async with connect() as agent:
        await agent.run("x = 'the third'")
        await agent.call("spaces", action="delete", space="main")
    assert recorded() == []
    assert [span["detail"]["code"] for span in recorded("other")] == ["y = 'elsewhere'"]
    assert not is_in_the_record(settings.home, "the third")


async def marked(connect: Connect, record: str, mark: str) -> None:
    """Let a mark go through everything that holds texts."""
    model = ScriptedModel(lambda request: f"{mark} {request.prompt.text}")
    async with connect(model, record=record) as agent:
        # The first line of code is in the history of commits, which is not the record.
        await agent.run(f"x = 1\nprint('{mark}'); text = '{mark}'\nsub_llm('{mark}')")
        await agent.fails("exec_code", code=f"x = 2\nraise ValueError('{mark}')")
        await agent.call("load_variable", name="loaded", value=mark)
        await agent.call("sub_llm", prompt=f"{mark} {{{{text}}}}", into="r")
        await agent.call("save_variable", name="text", path=f"{mark}.txt")
        await agent.fails("save_variable", name=mark, path="x.txt")


def is_in_the_record(home: Path, mark: str) -> bool:
    """Whether a text is anywhere in the table."""
    with contextlib.closing(sqlite3.connect(home / "store.sqlite")) as database:
        return mark in str(database.execute("SELECT * FROM spans").fetchall())


async def test_with_shape_no_text_reaches_the_database(
    connect: Connect, recorded: Recorded, settings: Settings
) -> None:
    mark = f"mark{random.Random(1).getrandbits(64):x}"
    await marked(connect, "shape", mark)
    assert not is_in_the_record(settings.home, mark)
    assert len(recorded()) == 8
    execution, call = recorded()[:2]
    assert execution["detail"]["code_chars"] > 60
    assert "code" not in execution["detail"]
    assert execution["detail"]["output_chars"] == len(mark) + 1
    assert call["detail"]["prompt_chars"] == len(mark)
    assert call["detail"]["output_tokens"] == 2
    assert call["status"] == "ok" and call["seconds"] > 0


async def test_with_full_the_texts_are_there_and_with_off_nothing_is(
    connect: Connect, recorded: Recorded, settings: Settings
) -> None:
    await marked(connect, "full", "markfull")
    assert is_in_the_record(settings.home, "markfull")
    before = len(recorded())
    assert before == 8
    await marked(connect, "off", "markoff")
    assert len(recorded()) == before


async def test_values_of_secret_variables_are_not_recorded(
    connect: Connect, recorded: Recorded, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = f"topsecret{random.Random(2).getrandbits(64):x}"
    monkeypatch.setenv("SOME_API_KEY", secret)
    # One lies across the place where a long prompt is cut.
    long = "x" * 5995 + secret + "y" * 30_000 + secret + "z" * 1990

    def leak(request: Request) -> str | SubLLMError:
        if request.prompt.text == "fail":
            return SubLLMError(f"refused: bad key {secret}", kind="refused", model=secret)
        return f"your key is {secret}"

    async with connect(ScriptedModel(leak)) as agent:
        await agent.fails("exec_code", code="sub_llm('fail')")
        await agent.run(f"r = sub_llm({long!r})")
        await agent.call("load_variable", name="v", source=f"{secret}.txt")
    (failed, good) = recorded(kind="sub_llm")
    assert "[secret]" in failed["detail"]["error"] and "[secret]" in good["detail"]["answer"]
    for part in (secret, secret[:12], secret[-12:]):
        assert not is_in_the_record(settings.home, part)


async def test_long_texts_keep_their_ends_and_say_their_length(
    connect: Connect, recorded: Recorded
) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run("sub_llm('begin' + 'm' * 99_990 + 'end.!'); print('o' * 100_000)")
    execution, call = recorded()
    prompt = call["detail"]["prompt"]
    assert call["detail"]["prompt_chars"] == 100_000
    assert prompt.startswith("begin") and prompt.endswith("end.!")
    assert "92,000 of 100,000 characters left out" in prompt
    assert len(prompt) < 8_100
    assert execution["detail"]["printed_chars"] == 100_001


async def test_a_database_that_cannot_be_written_fails_no_call_and_is_logged_once(
    connect: Connect,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    written = SpanTable.write
    full = [True]

    def write(self: SpanTable, rows: Any) -> None:
        if full[0]:
            raise StoreError("the disk of RLM_MCP_HOME is full")
        written(self, rows)

    monkeypatch.setattr(SpanTable, "write", write)
    async with connect(ScriptedModel(answer)) as agent:
        for index in range(3):
            assert f"=> 'answer to {index}'" in await agent.run(f"sub_llm('{index}')")
            await agent.call("spaces", action="checkpoint", name=f"c{index}")
    said = [r.getMessage() for r in caplog.records if "not being recorded" in r.getMessage()]
    assert len(said) == 1 and "full" in said[0]
    assert recorded() == []
    full[0] = False
    async with connect() as agent:
        await agent.run("'again'")
    assert [span["detail"]["code"] for span in recorded()] == ["'again'"]


async def test_the_store_is_readable_by_the_user_alone(
    connect: Connect, settings: Settings
) -> None:
    settings.home.mkdir(mode=0o755)
    settings.home.chmod(0o755)
    before = os.umask(0o022)
    try:
        async with connect() as agent:
            await agent.run("x = 1")
            found = list(files(settings.home))
            assert {"store.sqlite", "store.sqlite-wal"} <= {path.name for path in found}
            assert [path.name for path in found if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)


def files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.iterdir() if path.is_file())


async def test_a_home_that_others_could_read_is_closed_to_them(
    connect: Connect, settings: Settings
) -> None:
    async with connect() as agent:
        await agent.run("x = 1")
    (settings.home / "store.sqlite").chmod(0o644)
    async with connect() as agent:
        await agent.run("x")
    assert (settings.home / "store.sqlite").stat().st_mode & 0o077 == 0


async def test_a_thousand_calls_are_all_recorded(connect: Connect, recorded: Recorded) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run("r = sub_llm_map([f'{i}' for i in range(1000)], concurrency=100); len(r)")
    (execution,) = recorded(kind="execution")
    calls = recorded(kind="sub_llm")
    assert [call["detail"]["prompt"] for call in calls] == [str(i) for i in range(1000)]
    assert {call["parent"] for call in calls} == {execution["id"]}
    assert execution["detail"]["calls"] == 1000


async def test_the_record_stays_within_its_setting(connect: Connect, recorded: Recorded) -> None:
    async with connect(ScriptedModel(answer), record_mb=1) as agent:
        await agent.run("kept = 1")
        for number in (1, 2):
            await agent.run(f"r = sub_llm_map([f'{number} {{i}} ' * 3000 for i in range(100)])")
    spans = recorded()
    assert sum(len(json.dumps(span["detail"])) for span in spans) < 1.1 * 2**20
    # The first two calls have gone, and the last is whole but for its first parts.
    (execution,) = [span for span in spans if span["kind"] == "execution"]
    assert execution["detail"]["calls"] == 100
    assert {span["parent"] for span in spans} == {None, execution["id"]}
