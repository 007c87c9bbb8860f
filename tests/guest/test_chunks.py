"""What `chunks` promises: bounded pieces that know their lines and leave nothing out."""

import pickle

import pytest

from sandbox_wasm.guest._chunk import Span
from sandbox_wasm.guest._chunks import chunks
from sandbox_wasm.guest._tokens import tokens

MARKDOWN = """intro

# One
text

```
# not a heading
```
Two
===
more
## Two a ##
end
"""

CODE = """import os

LIMIT = 3


# What it keeps.
class Store:
    def get(self, key):
        return key

    @staticmethod
    def load(key):
        return os.path.join(key)


@cached
def main():
    pass

print(main())
"""


@pytest.mark.parametrize("by", ["lines", "paragraphs", "chars"])
def test_chunks_are_bounded_and_joined_are_the_text(by: str) -> None:
    text = "".join(f"line {i}\n" + ("\n" if i % 7 == 0 else "") for i in range(1_000)) + "x" * 500
    pieces = chunks(text, 200, by=by)
    assert "".join(pieces) == text and max(map(len, pieces)) <= 200
    if by != "chars":
        assert all(piece.endswith("\n") for piece in pieces if "line" in piece and "x" not in piece)


@pytest.mark.parametrize("by", ["lines", "paragraphs", "chars"])
@pytest.mark.parametrize("overlap", [1, 30, 99])
def test_chunks_that_overlap_leave_nothing_out(by: str, overlap: int) -> None:
    text = "\n".join(f"word{i}" * (i % 30) for i in range(200))
    position = 0
    for piece in chunks(text, 100, overlap, by):
        assert len(piece) <= 100
        begin = text.index(piece, max(0, position - overlap))
        assert begin <= position < begin + len(piece)
        position = begin + len(piece)
    assert position == len(text)


def test_chunks_of_a_folder_name_the_files() -> None:
    assert chunks({"a.py": "x = 1"}) == ["=== a.py ===\nx = 1"]
    assert chunks(["a", "b"]) == ["a\nb"] and chunks("") == []


def test_bad_arguments_of_chunks_say_what_to_use() -> None:
    with pytest.raises(ValueError, match="'lines', 'paragraphs', 'headings'"):
        chunks("x", by="words")
    with pytest.raises(ValueError, match="size must be above overlap"):
        chunks("x", size=10, overlap=10)


def lines_of(text: str, span: Span) -> str:
    return "".join(text.splitlines(keepends=True)[span.line - 1 : span.end_line])


@pytest.mark.parametrize("by", ["lines", "paragraphs", "headings", "functions", "tokens"])
def test_pieces_know_exactly_which_lines_they_are(by: str) -> None:
    for text in (CODE * 30, *([MARKDOWN * 30] if by != "functions" else [])):
        pieces = chunks(text, 60 if by == "tokens" else 200, by=by, language="python")
        assert "".join(pieces) == text
        for piece in pieces:
            assert text[piece.start : piece.start + len(piece)] == piece
            (span,) = piece.spans
            assert piece in lines_of(text, span)
            assert len(lines_of(text, span).splitlines()) == len(piece.splitlines())


def test_pieces_of_a_folder_name_the_lines_of_each_file() -> None:
    files = {"a.py": "1\n2\n3\n", "b.py": "x", "c.py": "4\n5\n"}
    (whole,) = chunks(files)
    assert whole.spans == (Span("a.py", 1, 3), Span("b.py", 1, 1), Span("c.py", 1, 2))
    for piece in chunks(files, 22):
        for where, first, last in piece.spans:
            assert isinstance(where, str)
            for line in files[where].splitlines()[first - 1 : last]:
                assert line in piece


def test_markdown_is_cut_at_its_headings() -> None:
    pieces = chunks(MARKDOWN, by="headings")
    assert [piece.heading for piece in pieces] == ["", "One", "Two", "Two a"]
    assert [piece.line for piece in pieces] == [1, 3, 9, 12]


def test_code_is_cut_at_its_functions_with_their_comments_and_decorators() -> None:
    pieces = chunks(CODE, by="functions", language="python")
    assert [piece.heading for piece in pieces] == ["", "Store", "", "main", ""]
    assert pieces[1].startswith("# What it keeps.\nclass Store") and "os.path" in pieces[1]
    assert pieces[3].startswith("@cached\ndef main")


def test_a_class_larger_than_a_piece_is_cut_at_its_methods() -> None:
    titles = [piece.heading for piece in chunks(CODE, 120, by="functions", language="python")]
    assert "get" in titles and "load" in titles


def test_files_are_cut_one_by_one_at_their_structure() -> None:
    pieces = chunks({"a.md": "# A\nx\n", "b.md": "# B\ny\n"}, by="headings")
    assert [(piece.where, piece.line, piece.end_line) for piece in pieces] == [
        ("a.md", 1, 2), ("b.md", 1, 2),
    ]  # fmt: skip


def test_tokens_bound_a_piece_whatever_the_script() -> None:
    for text in ("some words of text\n" * 500, "日本語の文章です。\n" * 500):
        pieces = chunks(text, 100, overlap=10, by="tokens")
        assert all(0 < tokens(piece) <= 100 for piece in pieces) and len(pieces) < 80


def test_a_piece_keeps_its_place_when_it_is_copied() -> None:
    piece = chunks("a\nb\n", 2)[1]
    copied = pickle.loads(pickle.dumps(piece))  # noqa: S301
    assert (copied, copied.spans, copied.start) == (piece, piece.spans, 2)


def test_structure_has_no_overlap() -> None:
    with pytest.raises(ValueError, match="do not overlap"):
        chunks("x", 10, 5, by="functions")
