"""The helpers that agents call to find text."""

import re
import time

import pytest

from sandbox_wasm.guest._find import grep, lines
from sandbox_wasm.guest._hits import Hit

LOG = "alpha\nbeta error\n\ngamma\nerror again error\nomega"


def test_hits_carry_line_text_and_offset() -> None:
    hits = grep("error", LOG)
    assert list(hits) == [Hit("", 2, "beta error", 11), Hit("", 5, "error again error", 24)]
    assert all(LOG[hit.start :].startswith("error") for hit in hits)


def test_hits_in_a_folder_and_a_list_say_where() -> None:
    assert str(grep("x", {"a.py": "1", "src/b.py": "\nx = 1"})[0]) == "src/b.py:2: x = 1"
    assert str(grep("x", ["a", "x"])[0]) == "[1]:1: x"


def test_a_pattern_works_on_every_line_as_grep_has_it() -> None:
    assert [hit.line for hit in grep("^error", LOG)] == [5]
    assert [hit.line for hit in grep("a$", LOG)] == [1, 4, 6]
    assert [hit.line for hit in grep("^$", "a\n\nb\n")] == [2]
    assert [hit.line for hit in grep("ALPHA", LOG, ignore_case=True)] == [1]
    assert len(grep(re.compile("OMEGA", re.IGNORECASE), LOG)) == 1


def test_bytes_are_searched_with_a_text_pattern() -> None:
    assert grep("é", "a\né\n".encode())[0].text == "é"


def test_context_is_shown_as_grep_shows_it() -> None:
    assert str(grep("gamma", LOG, context=1)[0]) == "3- \n4: gamma\n5- error again error"


def test_the_number_of_hits_is_bounded_and_the_list_says_so() -> None:
    hits = grep("x", "x\n" * 50, max_hits=30)
    assert len(hits) == 30 and not hits.complete
    shown = repr(hits).split("\n")
    assert shown[0] == "first 30 hits (there are more: raise max_hits)"
    assert (
        shown[20] == "20: x"
        and shown[21] == "... 10 more: keep it in a variable, as in x, then x[20:]"
    )
    assert grep("x", "x\n" * 30, max_hits=30).complete


def test_each_match_in_a_line_of_megabytes_is_an_excerpt() -> None:
    text = "a" * 1_000_000 + "NEEDLE" + "b" * 1_000_000 + "NEEDLE"
    hits = grep("NEEDLE", text)
    assert [hit.start for hit in hits] == [1_000_000, 2_000_006]
    assert all("NEEDLE" in hit.text and len(hit.text) < 2_100 for hit in hits)
    assert len(str(hits[0])) <= 300


def test_what_cannot_be_searched_is_named() -> None:
    with pytest.raises(TypeError, match="the value at 1 is int"):
        grep("x", ["a", 1])
    with pytest.raises(TypeError, match="not int"):
        grep("x", 5)


def test_windows_line_ends_are_not_part_of_the_text() -> None:
    assert grep("b", "a\r\nb\r\n")[0].text == "b"
    assert lines("a\r\nb\r\n") == ["a", "b"]


def test_lines_are_counted_from_one_and_include_the_last() -> None:
    text = "\n".join(str(i) for i in range(1, 200_001))
    assert lines(text, 3, 5) == ["3", "4", "5"]
    assert lines(text, 199_999) == ["199999", "200000"]
    assert lines(text, -2) == ["199999", "200000"]
    assert lines(text, 150_000, 150_000) == ["150000"]
    assert lines(text, 300_000) == [] and lines(text, 5, 4) == []
    assert lines("a\n\nb\n") == ["a", "", "b"] and lines("") == []
    assert lines(["a", "b", "c"], 2) == ["b", "c"]


def test_a_hundred_megabytes_are_searched_without_splitting_them() -> None:
    text = ("x" * 99 + "\n") * 1_000_000 + "needle"
    began = time.process_time()
    assert grep("needle", text)[0].line == 1_000_001
    assert time.process_time() - began < 5


def test_a_wrong_pattern_is_an_error_that_says_how_to_write_it() -> None:
    with pytest.raises(ValueError, match=r"'\(' is no regular expression: .*re\.escape\(text\)"):
        grep("(", LOG)
