"""Trees that reach into forks, as a recursive run makes them, through the public recorder."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlm_mcp.errors import BadRequestError, SubLLMError
from rlm_mcp.lm import Answer, Prompt, Request, ScriptedModel
from rlm_mcp.settings import Settings
from rlm_mcp.store import SpanTable, Store
from rlm_mcp.trajectory import NOTHING, Recorded, Recorder, read_trees

from .conftest import Recorded as Read

pytestmark = pytest.mark.anyio

QUESTION = Request(Prompt("what?"))


@pytest.fixture
def store(settings: Settings, tmp_path: Path) -> Iterator[Store]:
    """A store with the space `main` and its forks `fork` and `deeper`."""
    image = tmp_path / "image"
    image.write_bytes(bytes(1 << 16))
    with contextlib.closing(Store(settings.home)) as store:
        digest = "de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31"
        store.create("main", image, digest, 1 << 16, None, "guest")
        store.fork("main", "fork")
        store.fork("fork", "deeper")
        yield store


async def test_a_recursive_run_is_one_tree_and_each_fork_has_its_part(
    store: Store, recorded: Read
) -> None:
    recorder = Recorder(store.spans())
    model = ScriptedModel(lambda request: "text")
    with recorder.begin("execution", "main", texts={"code": "sub_rlm('why?')"}) as execution:
        asked = Recorded(model, execution)
        with execution.begin("sub_rlm", texts={"question": "why?"}) as run:
            for number in (1, 2):
                with run.begin("iteration", space="fork", number=number) as step:
                    # The model of a run is made of that of what began it: recorded once.
                    await Recorded(Recorded(asked, run), step).ask(QUESTION)
                    with step.begin("sub_rlm", space="fork") as nested:
                        nested.begin("iteration", space="deeper").end("failed")
            run.note(calls=2)
        await asked.ask(QUESTION)
    await recorder.aclose()
    tree = recorded()
    names = {span["id"]: span["kind"] for span in tree}
    assert [(s["kind"], s["space"], names.get(s["parent"])) for s in tree] == [
        ("execution", "main", None),
        ("sub_rlm", "main", "execution"),
        ("iteration", "fork", "sub_rlm"),
        ("sub_llm", "fork", "iteration"),
        ("sub_rlm", "fork", "iteration"),
        ("iteration", "deeper", "sub_rlm"),
        ("iteration", "fork", "sub_rlm"),
        ("sub_llm", "fork", "iteration"),
        ("sub_rlm", "fork", "iteration"),
        ("iteration", "deeper", "sub_rlm"),
        ("sub_llm", "main", "execution"),
    ]
    assert len({span["trace"] for span in tree}) == 1
    assert tree[1]["detail"]["calls"] == 2
    assert [span["kind"] for span in recorded("fork")] == [s["kind"] for s in tree[2:10]]
    assert [span["status"] for span in recorded("deeper")] == ["failed", "failed"]
    with contextlib.closing(store.spans()) as table:
        tops, total = read_trees(store, table, "fork", None, texts=False)
    assert total == 1
    assert [(top.span.kind, len(top.parts)) for top in tops] == [("iteration", 2)] * 2


class Known(ScriptedModel):
    """Knows the answer from before."""

    async def ask(self, request: Request) -> Answer:
        return Answer("known", model="p/m", input_tokens=100, output_tokens=9, usd=1, cached=True)


async def test_an_answer_from_the_cache_is_recorded_as_costing_nothing(
    store: Store, recorded: Read
) -> None:
    recorder = Recorder(store.spans())
    with recorder.begin("execution", "main") as execution:
        await Recorded(Known([]), execution).ask(QUESTION)
    await recorder.aclose()
    detail = recorded()[1]["detail"]
    assert detail["cached"] and detail["answer"] == "known"
    assert (detail["input_tokens"], detail["output_tokens"], detail["usd"]) == (0, 0, 0.0)


async def test_a_span_that_is_a_block_says_how_the_block_ended(
    store: Store, recorded: Read
) -> None:
    recorder = Recorder(store.spans())
    with pytest.raises(BadRequestError), recorder.begin("sub_rlm", "main"):
        raise BadRequestError("written for the agent")
    with pytest.raises(RuntimeError), recorder.begin("sub_rlm", "main"):
        raise RuntimeError("may hold anything")
    with recorder.begin("sub_rlm", "main") as span:
        span.end("timeout")
    await recorder.aclose()
    await recorder.aclose()
    first, second, third = recorded()
    assert (first["status"], first["detail"]["error"]) == ("failed", "written for the agent")
    assert second["detail"] == {"error_kind": "RuntimeError"}
    assert third["status"] == "timeout"


async def test_nothing_is_recorded_under_nothing(store: Store, recorded: Read) -> None:
    recorder = Recorder(store.spans(), "off")
    span = recorder.begin("execution", "main", texts={"code": "x"})
    assert span is NOTHING
    with span.begin("iteration", space="fork") as part:
        answer = await Recorded(ScriptedModel(["text"]), part).ask(QUESTION)
    assert answer.text == "text"
    with pytest.raises(SubLLMError):
        await Recorded(ScriptedModel([]), NOTHING).ask(QUESTION)
    await recorder.aclose()
    assert recorded() == []


async def test_a_disk_that_is_too_slow_costs_spans_and_not_memory(
    settings: Settings,
    store: Store,
    recorded: Read,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("rlm_mcp.trajectory._recorder.MAX_PENDING", 50_000)
    recorder = Recorder(store.spans())
    database = sqlite3.connect(settings.home / "store.sqlite", isolation_level=None)
    with contextlib.closing(database):
        database.execute("BEGIN IMMEDIATE")  # another server is at a long write
        for number in range(100):
            recorder.begin("load", "main", texts={"reply": f"{number} " * 3000}).end()
    await recorder.aclose()
    assert 0 < len(recorded()) < 100
    assert any("are not in the record" in record.getMessage() for record in caplog.records)


async def test_a_fault_of_ours_ends_the_record_and_nothing_else(
    store: Store,
    recorded: Read,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def write(_table: SpanTable, _rows: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(SpanTable, "write", write)
    recorder = Recorder(store.spans())
    recorder.begin("load", "main").end()
    await recorder.aclose()
    recorder.begin("load", "main").end()
    assert recorded() == []
    assert [r.getMessage() for r in caplog.records] == ["the record of this server ends here"]
