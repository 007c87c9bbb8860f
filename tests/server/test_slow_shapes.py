"""Text that some parser takes time for by the square of its size: read in good time, or refused.

Each would take minutes to hours. What is refused says what there is too much of.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio


def numbered(count: int, text: str) -> str:
    return "".join(text.format(n) for n in range(count))


SHAPES: dict[str, tuple[str, str]] = {
    # name of the file: content, and what the reply says
    "attributes.html": (
        f"<p {numbered(100_000, 'a{}=1 ')}>seen</p>",
        "over 10,000 attributes",
    ),
    "nested.html": ("<div>" * 50_000 + "in", "v: Page (str) 2 chars"),
    "links.html": ("<a href=x>y" * 30_000, ".links (30,000)"),
    "comment.xml": (f"<p><!--{'x' * 4_000_000}--></p>", "dict 1 key"),
    "declared.xml": (
        f"<!DOCTYPE r [{numbered(50_000, '<!ATTLIST r a{} CDATA #IMPLIED>')}]><r/>",
        "declares over 1,000 attributes",
    ),
    "twice.json": ("{" + numbered(100_000, '"k{}":1,') + '"k99999":2}', "'k99999'"),
    "dotted.toml": (".".join("a" * 50_000) + " = 1", "a key has over 500 parts"),
    "header.toml": ("[" + ".".join("a" * 50_000) + "]", "a key has over 500 parts"),
    "same.csv": (f"{'c,' * 50_000}c\n{'1,' * 50_000}1\n", "50,001 of its columns have"),
    "longer.csv": (f"a,b\n{'1,' * 50_000}1\n", "50,001 values and the header 2 names"),
    "nested.eml": (
        numbered(5_000, "Content-Type: multipart/mixed; boundary=b{0}\n\n--b{0}\n")
        + "x\n" * 10_000,
        "nested over 32 levels deep",
    ),
    "parameters.eml": (f"Content-Type: text/plain{'; a=b' * 200_000}\n\nbody", "body"),
    "words.eml": (f"Subject: {'=?utf-8?q?a?= =?latin-1?q?b?= ' * 10_000}\n\nbody", "body"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHAPES)
async def test_no_text_takes_time_by_the_square(agent: Agent, work: Path, name: str) -> None:
    content, expected = SHAPES[name]
    (work / name).write_text(content)
    reply = await agent.call("load_variable", name="v", source=name)
    assert expected in reply.text, reply.text[:500]


async def test_a_page_whose_tag_has_no_end_of_attributes_is_read_without_its_tree(
    agent: Agent, work: Path
) -> None:
    (work / "a.html").write_text(f"<title>T</title><p {numbered(20_000, 'a{}=1 ')}>seen</p>")
    reply = await agent.call("load_variable", name="v", source="a.html")
    assert ".tree and .tables do not work" in reply.text
    assert "=> ('seen', 'T', 20000)" in await agent.run("str(v), v.title, len(v.soup.p.attrs)")
    assert "over 10,000 attributes" in await agent.fails("exec_code", code="v.tree")
