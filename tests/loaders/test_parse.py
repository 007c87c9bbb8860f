"""What a helper that parses says, read as if an attacker had written it."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from rlm_mcp.errors import BadRequestError, SourceError
from rlm_mcp.helpers._process import Output
from rlm_mcp.loaders import _parse, parse, scratch
from rlm_mcp.sandbox import WithFile

pytestmark = pytest.mark.anyio


async def ask(fields: dict[str, Any], source: int = -1, size: int = 100) -> tuple[Any, bytes]:
    answer = await parse(asyncio.Semaphore(1), source, size, fields, 1 << 20)
    assert isinstance(answer, WithFile)
    descriptor = answer.handed.descriptor
    made = os.pread(descriptor, 1 << 20, 0)
    os.close(descriptor)
    return answer["files"], made


def given(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_files_of_a_source_are_parsed_one_by_one() -> None:
    source = scratch()
    os.write(source, b"a: 1\nb: [\nc: {d: 2}\n")
    files = [[0, 5], [5, 5], [10, 10], [0, 0]]
    found, made = await ask({"format": "yaml", "slot": 63, "files": files}, source, 20)
    os.close(source)
    assert found[1].startswith("invalid YAML at line")
    first = made[: found[0]]
    assert json.loads(first) == {"plain": True, "documents": [{"a": 1}]}
    assert json.loads(made[found[0] :][: found[2]])["documents"] == [{"c": {"d": 2}}]
    assert isinstance(found[3], int)


async def test_what_was_unpacked_in_the_guest_is_handed_in() -> None:
    found, made = await ask({"format": "yaml", "slot": 63, "data": given("- é")})
    assert found == [len(made)]
    assert json.loads(made)["documents"] == [["é"]]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"format": "pickle", "slot": 63, "files": [[0, 1]]},
        {"format": "yaml", "slot": 64, "files": [[0, 1]]},
        {"format": "yaml", "slot": 61, "files": [[0, 1]]},
        {"format": "yaml", "slot": True, "files": [[0, 1]]},
        {"format": "yaml", "slot": 63},
        {"format": "yaml", "slot": 63, "files": []},
        {"format": "yaml", "slot": 63, "files": [[0, 101]]},
        {"format": "yaml", "slot": 63, "files": [[-1, 1]]},
        {"format": "yaml", "slot": 63, "files": [[101, 0]]},
        {"format": "yaml", "slot": 63, "files": [[0, 1.5]]},
        {"format": "yaml", "slot": 63, "files": [[0, 1, 2]]},
        {"format": "yaml", "slot": 63, "files": [[0, 1]] * 5_001},
        {"format": "yaml", "slot": 63, "data": "no base64!"},
        {"format": "yaml", "slot": 63, "data": "eDogMQ==", "files": [[2, 3]]},
        {"format": ["yaml"], "slot": 63, "data": ""},
    ],
)
async def test_what_a_guest_cannot_ask_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        await ask(fields)


async def test_what_was_unpacked_may_be_several_files() -> None:
    files = [[0, 5], [5, 5]]
    found, made = await ask(
        {"format": "yaml", "slot": 62, "data": given("a: 1\nb: 2\n"), "files": files}
    )
    assert [
        json.loads(made[: found[0]])["documents"],
        json.loads(made[found[0] :])["documents"],
    ] == [
        [{"a": 1}],
        [{"b": 2}],
    ]


async def test_errors_that_quote_other_alphabets_cost_no_other_file() -> None:
    text = "!!int " + "Ü" * 400 + "\n"
    size = len(text.encode())
    files = [[at * size, size] for at in range(60)]
    found, _ = await ask({"format": "yaml", "slot": 63, "data": given(text * 60), "files": files})
    assert all("invalid literal" in one for one in found), found


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (b'{"size": 1000}\n', "cannot be read"),
        (b'{"size": -1}\n', "cannot be read"),
        (b'{"size": true}\n', "cannot be read"),
        (b'{"size": "1"}\n', "cannot be read"),
        (b'{"error": ["x"]}\n', "cannot be read"),
        (b'{"error": ""}\n', "cannot be read"),
        (b"[" * 100_000 + b"\n", "cannot be read"),
        (b"\xff\n", "cannot be read"),
        (b"", "left it out"),
        (b'{"error": "' + b"x" * 900 + b'"}\n', "x" * 500),
    ],
)
async def test_a_helper_that_lies_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, said: bytes, expected: str
) -> None:
    async def lie(*_: object, **__: object) -> Output:
        return Output(said, 0)

    monkeypatch.setattr(_parse, "run_helper", lie)
    (found,), _ = await ask({"format": "yaml", "slot": 63, "data": given("a")})
    assert isinstance(found, str)
    assert expected in found
    assert len(found) <= 500


async def test_files_that_end_their_helper_cost_themselves_and_then_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    starts = 0

    async def die(_module: str, _arguments: object, *, data: bytes, **_: object) -> Output:
        nonlocal starts
        starts += 1
        assert len(json.loads(data)) == 101 - starts
        return Output(b"", -11, "the helper died")

    monkeypatch.setattr(_parse, "run_helper", die)
    fields = {"format": "pdf", "slot": 63, "files": [[0, 1]] * 100}
    found, _ = await ask(fields)
    assert starts == _parse.MAX_FAILURES
    assert "its parser died of it" in found[0]
    assert found[-1] == "not read: files before it failed"
    assert len(found) == 100


@pytest.mark.parametrize("failure", ["the helper took too long", ""])
async def test_a_missing_library_and_a_late_helper_are_named(
    monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    said: Callable[[], bytes] = lambda: b"" if failure else b'{"missing": "yaml"}\n'  # noqa: E731

    async def end(*_: object, **__: object) -> Output:
        return Output(said(), -9 if failure else 0, failure)

    monkeypatch.setattr(_parse, "run_helper", end)
    fields = {"format": "yaml", "slot": 63, "data": ""}
    if failure:
        (found,), _ = await ask(fields)
        assert found == "it takes over 300 s"
    else:
        with pytest.raises(SourceError, match="yaml is not installed"):
            await ask(fields)
