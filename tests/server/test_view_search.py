"""`search` over views: the same best passages as over a text, wherever they stand in the file."""

from __future__ import annotations

import ast
import random
from pathlib import Path

import pytest

from tests.conftest import Agent

pytestmark = pytest.mark.anyio

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


async def test_a_hit_in_a_view_can_be_cited_and_looked_at(agent: Agent, work: Path) -> None:
    write(work / "app.log", 18)
    await load(agent, "app.log")
    reply = await agent.run("hit = search('zeppelin', log, k=1)[0]; mark = cite(hit); mark")
    place = f"{work / 'app.log'}:"
    assert place.rpartition("/")[2] in reply
    assert PLANTED[0.2] in (await agent.call("peek", target="cite:1")).text
    reply = await agent.run(
        "hit.of, hit.where, PLANTED in log.lines[hit.line - 1:hit.end_line]".replace(
            "PLANTED", repr(PLANTED[0.2])
        )
    )
    assert "=> ('log', '', True)" in reply
    reply = await agent.run("cite(grep('quagga', log)[0]); evidence()")
    assert "the quagga drank" in reply
    assert "it has lines 1 to" in await agent.fails("exec_code", code="cite('log', 10**9)")


async def test_hits_at_the_ends_of_a_view_and_of_its_lines(agent: Agent, work: Path) -> None:
    with (work / "long.log").open("w", encoding="utf-8") as file:
        file.write("axolotl\n" + "filler words of a log\n" * 700_000)
        file.write("é " * 2_000_000 + "pangolin é " + "y " * 200_000 + "\n\nokapi")
    await load(agent, "long.log", "long")
    reply = await agent.run(
        "a, b, c = (search(word, long)[0] for word in ('axolotl', 'pangolin', 'okapi'))\n"
        "[(h.line, 'axolotl' in h.text, 'pangolin é' in h.text, h.text.endswith('okapi'), "
        "len(h.text) < 4000, long[h.start:h.start + len(h.text.encode())] == h.text) "
        "for h in (a, b, c)]"
    )
    assert "(1, True, False, False, True, True)" in reply
    assert "(700002, False, True, False, True, True)" in reply
    assert "False, False, True, True, True)" in reply


async def test_frequent_words_give_lines_with_two_of_them_and_a_note(
    agent: Agent, work: Path
) -> None:
    numbers = random.Random(5)
    with (work / "busy.log").open("w") as file:
        for number in range(600_000):
            word = numbers.choice(("error on the disk", "warning about memory", "all is fine here"))
            both = " a disk warning" if number == 234_567 else ""
            file.write(f"{number} node {numbers.randrange(900)} says {word}{both}\n")
    await load(agent, "busy.log", "busy")
    reply = await agent.run("hits = search('disk warning', busy); hits")
    assert "only a part of them was looked at" in reply
    assert "=> (10, True)" in await agent.run(
        "len(hits), any('disk warning' in h.text for h in hits)"
    )
    reply = await agent.run("search('error', busy)")
    assert "10 hits; 'error': in so many lines" in reply
    # A rare word finds its passage, whatever else is asked.
    reply = await agent.run("lines(busy, 234568), search('node error 234567', busy)[0].text")
    assert "234567 node" in reply.partition("=> ")[2]


async def test_no_match_and_words_that_only_look_alike(agent: Agent, work: Path) -> None:
    write(work / "app.log", 18)
    await load(agent, "app.log")
    assert "0 hits; no 'xylophone'" in await agent.run("search('xylophone', log)")
    reply = await agent.run("search('zepelin', log)")
    assert "no 'zepelin'; like it: zeppelin" in reply and "zeppelin landed" in reply
    assert "use grep" in await agent.fails("exec_code", code="search('+', log)")
    await load(agent, "app.log", "raw", "bytes")
    (work / "empty.log").write_text("")
    await load(agent, "empty.log", "empty")
    assert "0 hits" in await agent.run("search('walrus', empty)")


async def test_views_among_texts_are_ranked_with_them(agent: Agent, work: Path) -> None:
    write(work / "app.log", 18)
    await load(agent, "app.log")
    await agent.run(
        "docs = {'notes.md': 'What the zeppelin did is told in the log.', 'app.log': log,\n"
        "        'other.md': 'Nothing of interest: a disk, a server.'}\n"
        "parts = log.parts(3)"
    )
    reply = await agent.run("[(h.where, h.of) for h in search('zeppelin landed', docs)]")
    assert "[('app.log', 'docs'), ('notes.md', 'docs')]" in reply
    reply = await agent.run(
        "[h.where for h in search('quagga', parts)], cite(search('disk', docs)[0])"
    )
    assert "=> ([2], " in reply
    reply = await agent.run("search('kraken', parts[1])[0].text in parts[1]")
    assert "=> True" in reply
    assert "=> ['notes.md', 'app.log']" in await agent.run(
        "docs['notes.md'] = 'The zeppelin landed. Once more the zeppelin landed.'\n"
        "[h.where for h in search('the zeppelin landed', docs)][:2]"
    )


async def test_a_view_whose_file_changed_says_so(agent: Agent, work: Path) -> None:
    write(work / "app.log", 18)
    await load(agent, "app.log")
    assert "1 hit" in await agent.run("search('zeppelin', log)")
    write(work / "app.log", 17, {0.5: "An ostrich instead of it."})
    assert "ViewChangedError: 'app.log'" in await agent.fails(
        "exec_code", code="search('zeppelin', log)"
    )
    reply = await agent.run("log.refresh(); search('zeppelin', log), search('ostriches', log)")
    assert "An ostrich instead" in reply


async def test_what_a_changed_view_has_not_is_not_said_of_its_file(
    agent: Agent, work: Path
) -> None:
    (work / "small.log").write_text("a quiet line\n" * 1_000 + "the zeppelin landed\n")
    await load(agent, "small.log")
    assert "1 hit" in await agent.run("search('zeppelin', log)")
    assert "0 hits" in await agent.run("search('walrus', log)")
    (work / "small.log").write_text("another line\n" * 1_000 + "a walrus came\n")
    assert "ViewChangedError: 'small.log'" in await agent.fails(
        "exec_code", code="search('walrus', log)"
    )
    assert "1 hit" in await agent.run("log.refresh(); search('walrus', log)")


async def test_a_hit_in_a_view_that_no_variable_holds_can_be_cited(
    agent: Agent, work: Path
) -> None:
    (work / "small.log").write_text("a quiet line\n" * 10 + "\nthe zeppelin landed\n")
    await load(agent, "small.log")
    reply = await agent.run("cite(search('zeppelin', [log])[0])")
    assert "small.log:" in reply and "sha256 of these lines" in reply


async def test_a_view_larger_than_an_object_of_the_sandbox(agent: Agent, work: Path) -> None:
    with (work / "huge.log").open("wb") as file:
        file.write(b"a line like many others\n" * 1_000)
        file.seek(9 << 28)
        file.write(b"\nthe zeppelin landed\nand left again\n")
    await load(agent, "huge.log", "huge")
    reply = await agent.run(
        "h = search('zeppelins', huge)[0]; h.line, h.end_line, h.start > 1 << 31, "
        "'the zeppelin landed' in h.text, len(h.text) < 5_000"
    )
    assert "=> (1002, 1003, True, True, True)" in reply or "=> (1001, 1003, " in reply
    assert "1 hit" in await agent.run("search('landed', huge)")
