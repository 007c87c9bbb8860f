"""Access paths, ranges and searches: what is shown, and that the next call goes on there."""

import collections
import re
from typing import Any

import pytest

from sandbox_wasm.guest._find import lines
from sandbox_wasm.guest._peek import PeekError, peek, resolve

LOG = "".join(f"line {i} {'error' if i % 10 == 0 else 'fine'}\n" for i in range(1, 5_001))


class Thing:
    def __init__(self) -> None:
        self.rows = [1, 2]
        self._secret = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self, name + "x")


SPACE: dict[str, Any] = {
    "log": LOG,
    "raw": LOG.encode(),
    "docs": {"src/a.py": "import os\nx = 1\n", "src/b.py": "y = 2\n" * 400, 'odd"\n': "z"},
    "rows": [{"text": f"row {i}", "n": i} for i in range(1_000)],
    "thing": Thing(),
    "counts": collections.defaultdict(list, a=[1]),
    "__builtins__": {"open": open},
    "esc": "\x1b" * 5_000,
    "wide": "a" * 50_000 + "NEEDLE" + "b" * 50_000,
    "numbers": {1, 2, 3},
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ('docs["src/a.py"]', "import os\nx = 1\n"),
        ('rows[3]["text"]', "row 3"),
        ("log[-5:]", "fine\n"[-5:] if LOG.endswith("fine\n") else "rror\n"),
        ("rows[-1]['n']", 999),
        ("thing.rows[0]", 1),
        (" log[:4] ", "line"),
    ],
)
def test_access_paths_lead_to_the_value(target: str, expected: object) -> None:
    assert resolve(target, SPACE) == expected


@pytest.mark.parametrize(
    "target",
    [
        "open('x')", "log.upper()", "log + log", "rows[n]", "[x for x in rows]", "log.__class__",
        "thing._secret", "__builtins__", "lambda: 1", "rows[f'{1}']", "log; log", "", "(" * 500,
        "f'{log}'", "rows[(yield)]", "log := 1", "-log", "5", "rows[-log]", "x" * 3_000, "a\0b",
    ],
)  # fmt: skip
def test_anything_but_names_subscripts_and_attributes_is_refused(target: str) -> None:
    with pytest.raises(PeekError, match=r"allowed: names|not shown|no access|path of"):
        resolve(target, SPACE)


def test_mistakes_name_what_exists() -> None:
    for target, hint in {
        "lgo": "'log'",
        'docs["a.py"]': "'src/a.py' (3 keys in all)",
        "rows[5000]": "0 to 999",
        'rows["text"]': "rows[0]['text']",
        "log.uper": "'upper'",
        'docs["nothing like it"]': "(3 keys in all)",
    }.items():
        with pytest.raises(PeekError) as caught:
            peek(SPACE, target)
        message = str(caught.value)
        assert any(part in message for part in (hint, hint.split(" (")[0])), message


def test_a_huge_dict_is_searched_for_near_keys_within_bounds() -> None:
    with pytest.raises(PeekError, match="200,000 keys in all"):
        resolve('d["k77"]', {"d": {f"key{i}" * 5: i for i in range(200_000)}})


def test_looking_at_a_missing_key_does_not_make_it() -> None:
    with pytest.raises(PeekError):
        resolve('counts["b"]', SPACE)
    assert list(SPACE["counts"]) == ["a"]


def test_user_code_that_loops_ends_as_an_error() -> None:
    with pytest.raises(PeekError, match="RecursionError"):
        resolve("thing.missing", SPACE)


def _next_call(text: str) -> str | None:
    found = re.search(r"next: (peek\(.*\))\]$", text.split("\n")[-1])
    return found[1] if found else None


def _pages(**arguments: Any) -> list[str]:
    """All pages, each gotten by the call that the one before names."""

    def again(target: str, **more: Any) -> str:
        return peek(SPACE, target, **more)

    pages = [again(**arguments)]
    while (call := _next_call(pages[-1])) and len(pages) < 2_000:
        pages.append(eval(call, {"peek": again}))
    return pages


def _bodies(pages: list[str]) -> list[str]:
    return [page.rsplit("\n[", 1)[0] for page in pages]


@pytest.mark.parametrize("target", ["log", "raw"])
def test_pages_of_characters_joined_are_the_text(target: str) -> None:
    pages = _pages(target=target, start=1, max_chars=9_000)
    assert "".join(_bodies(pages)) == LOG[1:]
    assert pages[0].endswith("start=9001, max_chars=9000)]")


def test_pages_of_lines_joined_are_the_text() -> None:
    pages = _pages(target="log", start=10, unit="lines", max_chars=3_000)
    assert "\n".join(_bodies(pages)) == "\n".join(LOG.split("\n")[10:-1])


def test_pages_of_items_show_every_item_once() -> None:
    shown = "\n".join(_bodies(_pages(target="rows", start=1, max_chars=2_000)))
    assert re.findall(r"^\[(\d+)\]", shown, re.MULTILINE) == [str(i) for i in range(1, 1_000)]


def test_pages_of_matches_show_every_match_once() -> None:
    shown = "\n".join(_pages(target="log", find="error", context=1, max_chars=1_500))
    numbers = re.findall(r"^(\d+):\d+: line", shown, re.MULTILINE)
    assert numbers == [str(i) for i in range(10, 5_001, 10)]
    assert "500 matches" in shown


def test_matches_in_rows_are_paged_by_item() -> None:
    shown = "\n".join(_pages(target="rows", find="'row 9", context=0, max_chars=600))
    found = re.findall(r"^\[(\d+)\]:1:", shown, re.MULTILINE)
    assert found == [str(i) for i in range(1_000) if str(i).startswith("9")]


def test_a_range_within_limits_names_the_range_after_it() -> None:
    footer = f'[chars [5:15] of {len(LOG):,}; next: peek("log", start=15, length=10)]'
    assert peek(SPACE, "log", start=5, length=10) == f"{LOG[5:15]}\n{footer}"


def test_the_footer_numbers_lines_from_one_and_says_what_start_was() -> None:
    text = peek(SPACE, "log", start=3, length=5, unit="lines")
    assert text.startswith("line 4 fine\n") and "\nline 8 fine\n[" in text
    call = 'peek("log", start=8, length=5, unit="lines")'
    assert text.endswith(f"[lines 4-8 of 5,000 (start=3); next: {call}]")
    last = peek(SPACE, "log", start=-1, unit="lines")
    assert last == "line 5000 error\n[line 5,000 of 5,000 (start=4999)]"


def test_what_find_reports_leads_to_the_match() -> None:
    text = peek(SPACE, "log", find="line 40 ", context=0)
    assert "lines count from 1 as in lines(), an offset is a start for peek" in text
    found = re.search(r"^(\d+):(\d+): (.*)$", text, re.MULTILINE)
    assert found is not None
    line, offset, row = int(found[1]), int(found[2]), found[3]
    assert lines(LOG, line, line) == [row] == ["line 40 error"]
    assert peek(SPACE, "log", start=offset, length=8).startswith("line 40 \n")
    shown = peek(SPACE, "log", start=line - 1, length=1, unit="lines")
    assert shown.startswith(f"{row}\n[line {line} of ")


def test_a_range_of_items_is_named_as_the_slice_that_gives_it() -> None:
    assert "[items [2:5] of 1,000; next: " in peek(SPACE, "rows", start=2, length=3)


def test_a_negative_start_counts_from_the_end() -> None:
    assert peek(SPACE, "log", start=-4).startswith(LOG[-4:])
    assert peek(SPACE, "log", start=-2, unit="lines").startswith("line 4999 fine\nline 5000 error")
    assert peek(SPACE, "rows", start=-1).startswith("[999] {'text': 'row 999'")


def test_without_a_range_it_is_the_preview_and_the_call_that_reads_on() -> None:
    text = peek(SPACE, "log")
    assert text.startswith("str ") and text.endswith('peek("log", length=8000)]')
    assert len(text) < 2_700


def test_escaped_characters_do_not_break_the_limit() -> None:
    pages = _pages(target="esc", length=5_000, max_chars=1_000)
    assert all(len(body) <= 1_000 for body in _bodies(pages))
    assert "".join(_bodies(pages)) == "\\x1b" * 5_000


def test_find_gives_path_line_and_offset_in_a_folder() -> None:
    text = peek(SPACE, "docs", find="^x")
    assert text.startswith('1 match of "^x" in docs')
    assert "src/a.py:2:10: x = 1" in text and "src/a.py:1- import os" in text


def test_a_file_with_many_matches_does_not_hide_the_others() -> None:
    space = {"docs": {"a.py": "y\n" * 1_000, "b.py": "y\n"}}
    text = peek(space, "docs", find="y", context=0, max_chars=1_000)
    assert "b.py:1:0: y" in text and "1,001 matches" in text
    assert re.search(r"""more in a.py: peek\('docs\["a.py"\]', start=\d+, find="y\"""", text)


def test_counting_stops_at_ten_thousand_matches() -> None:
    text = peek({"x": "a\n" * 20_000}, "x", find="a", context=0, max_chars=200)
    assert text.startswith("10,000+ matches")


def test_a_match_in_a_line_of_megabytes_is_an_excerpt() -> None:
    text = peek(SPACE, "wide", find="NEEDLE")
    assert "1:50000: …" in text and "NEEDLE" in text and len(text) < 500


def test_no_match_is_said() -> None:
    assert peek(SPACE, "log", find="nothing") == '0 matches of "nothing" in log'


def test_a_line_longer_than_the_limit_goes_on_by_characters() -> None:
    pages = _pages(target="wide", start=0, length=1, unit="lines", max_chars=30_000)
    assert sum(page.count("a") for page in _bodies(pages)) >= 50_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"unit": "words"}, "'chars', 'lines' or 'items'"),
        ({"start": "5"}, "start='5': must be a whole number"),
        ({"length": 0}, "must be a whole number from 1"),
        ({"context": -1}, "must be a whole number from 0"),
        ({"find": "(("}, "no regular expression"),
        ({"start": 10**9}, "past the end"),
    ],
)
def test_bad_arguments_say_what_is_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(PeekError, match=message):
        peek(SPACE, "log", **arguments)


def test_sets_and_own_objects_can_be_looked_at() -> None:
    assert peek(SPACE, "numbers", length=3) == "- 1\n- 2\n- 3"
    assert "rows" in peek(SPACE, "thing")
