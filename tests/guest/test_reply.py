"""Taking replies of root models apart: which part is code, and which is the answer."""

from typing import Any

import pytest

from sandbox_wasm.guest._reply import read


def blocks(text: str) -> Any:
    return read(text)["blocks"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no code at all", []),
        ("", []),
        ("Done", []),
        ("Yes. It is (nearly) done.", []),
        ("x = 1\nprint(x)", ["x = 1\nprint(x)"]),
        ("```python\na\n```\ntext\n~~~py\nb\n~~~", ["a", "b"]),
        ("1. First:\n   ```python\n   a = 1\n   ```", ["a = 1"]),
        ("```Python\na = 1", ["a = 1"]),
        ("```python\na = 1\n```python\nb = 2\n```", ["a = 1", "b = 2"]),
        ("```json\n{}\n```", []),
        ("```text\nprint(1)\n```", []),
        ("```\na = 1\n```", ["a = 1"]),
        ("```python\na = 1\n```\n```\n1\n```", ["a = 1"]),
        ("````python\na = '''\n```\n'''\n````", ["a = '''\n```\n'''"]),
        ('```python\na = """\n```json\n{}\n```\n"""\nb = 2\n```\nend', [
            'a = """\n```json\n{}\n```\n"""\nb = 2'
        ]),
        ("`print(1)` would do", []),
        ("```print(1)```", ["print(1)"]),
        ("```python print(1)```", ["print(1)"]),
        ("<code>\nprint(1)\n</code>", ["print(1)"]),
        ("```python\n>>> a = 1\n>>> a\n1\n```", ["a = 1\na"]),
        ("```python\n\n```", []),
        ("<think>```python\na\n```</think>nothing", []),
        ("<think>```python\na\n```", []),
        ("```python\nif x:\n```", ["if x:"]),
    ],
)  # fmt: skip
def test_blocks(text: str, expected: list[str]) -> None:
    assert blocks(text) == expected


@pytest.mark.parametrize(
    ("text", "final", "literal"),
    [
        ("FINAL(a b c)", "SUBMIT('a b c')", True),
        ("FINAL('it is')", "SUBMIT('it is')", True),
        ("FINAL(It's (so) much.)", 'SUBMIT("It\'s (so) much.")', True),
        ("FINAL(unclosed words", "SUBMIT('unclosed words')", True),
        ("SUBMIT({'a': 1})", "SUBMIT({'a': 1})", True),
        ("SUBMIT(a + 1)", "SUBMIT(a + 1)", False),
        ("SUBMIT(a,\n  b)\nmore", "SUBMIT(a,\n  b)", False),
        ("> FINAL_VAR('x')", "FINAL_VAR('x')", False),
        ("FINAL_VAR(x) and more", "FINAL_VAR('x')", False),
        ("FINAL(best_one)", "SUBMIT(best_one)", False),
        ("Then I call SUBMIT(x) at last.", None, False),
        ("FINAL(1)\nno:\nFINAL(2)", "SUBMIT(2)", True),
    ],
)
def test_an_answer_outside_of_code(text: str, final: str | None, literal: bool) -> None:
    # Words in front, so that the whole is no program.
    found = read(f"So this is it:\n{text}")
    assert (found["final"], found["literal"]) == (final, literal)


def test_a_word_is_a_variable_only_if_there_is_one() -> None:
    code = read("The answer: \nFINAL(Paris)")["final"]
    for there, expected in (({}, "Paris"), ({"Paris": 5}, 5)):
        taken: list[object] = []
        exec(code, {"SUBMIT": taken.append, **there})  # noqa: S102
        assert taken == [expected]


def test_a_reply_of_very_many_blocks_is_cut() -> None:
    found = read("```python\na\n```\n" * 40)
    assert len(found["blocks"]) == 10
    assert found["more"] == 30


@pytest.mark.parametrize("text", ["(" * 50_000, "```python\n" * 3000, "FINAL(" + ")" * 50_000])
def test_hostile_replies_are_only_replies(text: str) -> None:
    assert isinstance(read(text[:150_000])["blocks"], list)
