"""`search` over views: the same best passages as over a text, wherever they stand in the file."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from tests.conftest import Agent

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

TEXT = """time person year way day thing man world life hand part child eye woman place work week
case point government company number group problem fact server disk network memory error warning
request answer client session worker queue timeout cache index page"""
WORDS = TEXT.split()
QUERIES = (
    "the zeppelin landed",  # rare
    "zeppelins landing safely",  # other endings
    "parsing an HTTP header",  # inside of camelCase
    "kraken_wakes",  # and snake_case
    "thundrestorm over Reykjavik",  # misspelt
    "größenwahn in münchen",  # beyond ASCII
    "walrus number 17",
    "a loadvariable call",  # written as one
)
PLANTED = {
    0.0: "At the very beginning a walrus number 17 was seen.",
    0.2: "The zeppelin landed safely on the roof of the archive.",
    0.37: "def parseHTTPHeader(text): the client header is parsed",
    0.5: "kraken_wakes = True  # in the deep",
    0.61: "A thunderstorm over Reykjavik took the antenna.",
    0.8: "Sein Größenwahn war in München bekannt.",
    0.9: "then load_variable was called by the harness",
    1.0: "and at the very end the quagga drank",
}


def write(path: Path, megabytes: float, planted: dict[float, str] = PLANTED) -> None:
    """A log of common words, with some lines that are about something."""
    numbers = random.Random(3)
    block = [" ".join(numbers.choices(WORDS, k=12)) for _ in range(4_000)]
    size = sum(map(len, block)) + len(block)
    count = int(megabytes * 1e6 / size * len(block))
    at = {int(part * (count - 1)): row for part, row in planted.items()}
    with path.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = at.get(number) or f"{number} {block[number % len(block)]}"
            file.write(row + ("\n\n" if number % 50 == 49 else "\n"))


async def load(agent: Agent, source: str, name: str = "log", format: str = "view") -> None:
    reply = await agent.call("load_variable", name=name, source=source, format=format)
    assert not reply.failed, reply.text


@pytest.mark.parametrize("megabytes", [1, 24])
async def test_a_view_gives_the_best_hit_that_its_text_gives(
    agent: Agent, work: Path, megabytes: int
) -> None:
    write(work / "app.log", megabytes)
    await load(agent, "app.log")
    await load(agent, "app.log", "text", "text")
    for query in QUERIES:
        reply = await agent.run(
            f"a, b = search({query!r}, log)[0], search({query!r}, text)[0]\n"
            f"rows = {list(PLANTED.values())!r}\n"
            "[row for row in rows if row in a.text], [row for row in rows if row in b.text], "
            "lines(log, a.line, a.end_line) == a.text.splitlines(), "
            "log[a.start:a.start + len(a.text.encode())] == a.text, a.score"
        )
        value = reply.partition("=> ")[2].splitlines()[0]
        found, expected, *rest = ast.literal_eval(value)
        assert found == expected and found, (query, value)
        assert rest == [True, True, 1.0], (query, value)
