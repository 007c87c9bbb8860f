"""Views over a file of the host, without a sandbox between: slices, lines, windows, searching."""

from __future__ import annotations

import ctypes
import pickle
import random
import re
import struct
import subprocess
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.space import search_program
from sandbox_wasm.guest import _slots, _view, _view_find, _view_range
from sandbox_wasm.guest._chunks import chunks
from sandbox_wasm.guest._find import grep, lines
from sandbox_wasm.guest._slots import ViewChangedError, ViewError
from sandbox_wasm.guest._translate import translate
from sandbox_wasm.guest._view import FileView

BLOCK = 64


class Host:
    """What views ask of the host, over files of a folder: the worker's part and the server's."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.asked: list[str] = []
        self.can_search = True
        self._slots: dict[int, bytes] = {}

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    def raw(self, frame: bytes) -> bytes:
        if frame[:1] == b"W":
            address, length = struct.unpack("<II", frame[1:9]) if len(frame) == 9 else (0, 0)
            assert length
            return b""
        slot, address, length, offset = struct.unpack("<IQIQ", frame[1:])
        part = self._slots[slot][offset : offset + length]
        ctypes.memmove(address, part, len(part))
        return struct.pack("<I?qq", len(part), part.isascii(), len(self._slots[slot]), 0)

    def answer(self, op: str, **fields: Any) -> dict[str, Any]:
        self.asked.append(op)
        data = self.data
        if op == "view_open":
            self._slots[fields["slot"]] = data
            return {"size": len(data), "actual": len(data), "mtime": 0}
        if op == "view_index":
            ends = range(BLOCK, len(data) + 1, BLOCK)
            self._slots[fields["slot"]] = array(
                "Q", (data.count(b"\n", 0, end) for end in ends)
            ).tobytes()
            return {"blocks": len(ends), "block": BLOCK}
        assert op == "view_find"
        program = search_program()
        if not self.can_search or program is None:
            return {"unable": "not here"}
        done = subprocess.run(
            [
                program, "--no-config", "-a", "-E", "none", "-n", "-b", "--max-columns", "200",
                f"-m{fields['most']}", "-e", fields["pattern"], "-",
            ],
            input=data[fields["begin"] : fields["end"]],
            capture_output=True,
        )  # fmt: skip
        if done.returncode == 2:
            return {"unable": done.stderr.decode()}
        self._slots[fields["slot"]] = done.stdout
        return {"size": len(done.stdout), "cut": False}


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses have 64 bits here, and 32 in the guest."""
    pack = struct.pack

    class Wide:
        unpack = staticmethod(struct.unpack)

        @staticmethod
        def pack(form: str, *values: Any) -> bytes:
            return pack({"<IIIQ": "<IQIQ", "<II": "<QI"}.get(form, form), *values)

    monkeypatch.setattr(_slots, "struct", Wide)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    made = Host(tmp_path / "file.txt")
    monkeypatch.setattr(_slots, "_raw", lambda frame: b"" if frame[:1] == b"W" else made.raw(frame))
    monkeypatch.setattr(_slots, "_answer", made.answer)
    _slots.begin()
    yield made
    _slots.begin()


@pytest.fixture(params=["on the host", "in windows", "in one piece"])
def way(request: pytest.FixtureRequest, host: Host, monkeypatch: pytest.MonkeyPatch) -> str:
    """How a view is searched: by the host's program, window by window, or as it comes."""
    monkeypatch.setattr(_view_find, "HOST", 0)
    monkeypatch.setattr(_view_find, "FIRST", 20)
    host.can_search = request.param == "on the host"
    if request.param != "in one piece":
        monkeypatch.setattr(_view_range, "WINDOW", 37)
        monkeypatch.setattr(_view_find, "WINDOW", 37)
        monkeypatch.setattr(_view_find, "MARGIN", 60)
    return str(request.param)


def made(
    host: Host, content: str | bytes, name: str = "file.txt", format: str = "view"
) -> FileView:
    host.path.write_bytes(content.encode() if isinstance(content, str) else content)
    _slots.begin()
    view, _ = _view.make("0" * 32, name, len(host.data), "view")
    return view


TEXT = "first\nzwölf Boxkämpfer\n\n日本語 text\r\nlast 😀 line"


def test_slices_are_of_bytes_and_pieces_joined_are_the_text(host: Host) -> None:
    view = made(host, TEXT)
    data = TEXT.encode()
    assert view.size == len(view) == len(data)
    for cut in range(len(data) + 1):
        assert view[:cut] + view[cut:] == TEXT
        assert "�" not in view[:cut]
    assert view[-4:] == "line" and view[3:3] == "" and view[0] == "f" and view[-1] == "e"
    at = data.index("ö".encode())
    assert view[at] == view[at + 1] == "ö"
    with pytest.raises(IndexError, match="out of range"):
        view[len(data)]
    with pytest.raises(ValueError, match="step"):
        view[::2]
    with pytest.raises(TypeError, match="offset or a slice"):
        view["a"]


def test_bytes_that_are_no_text_stay_where_they_are(host: Host) -> None:
    view = made(host, b"caf\xc3\xa9 \xff\xfe \xa0\xa0\xa0 x\n" * 3)
    assert view.find("x") == 13
    assert view[8:] == view[8:10] + view[10:]
    match = view.search("x")
    assert match.span() == (13, 14)
    assert [hit.start for hit in grep("x", view)] == [13, 28, 43]


def test_a_view_of_bytes_gives_bytes(host: Host) -> None:
    data = bytes(range(256)) * 2
    view = made(host, data)
    assert view.binary and view[10:20] == data[10:20] and view[65] == 65
    assert view[::16] == data[::16]
    assert view.find(b"\x80\x81") == 128 and view.count(b"\n") == 2 and b"\xff\x00" in view
    assert view.search(rb"[\x80-\x82]+").span() == (128, 131)
    with pytest.raises(TypeError, match="searched for bytes, not str"):
        view.find("a")
    with pytest.raises(TypeError, match="pattern of bytes"):
        view.search("a")


@pytest.mark.parametrize(
    "content",
    ["", "\n", "one", "one\n", "\n\n", "a\nb", "a\r\nb\r\n", "x" * 500 + "\n" + "y" * 10, TEXT],
)
def test_lines_by_number_and_offset(host: Host, content: str) -> None:
    view = made(host, content)
    expected = lines(content)
    assert list(view) == expected and list(view.lines) == expected
    assert len(view.lines) == view.line_count() == len(expected)
    assert [view.lines[i] for i in range(len(expected))] == expected
    assert view.lines[-2:] == expected[-2:] and view.lines[1:3] == expected[1:3]
    assert view.lines[::2] == expected[::2]
    assert view.head(2) == expected[:2] and view.tail(2) == expected[-2:]
    assert lines(view, 1, 2) == lines(content, 1, 2) and lines(view, -1) == lines(content, -1)
    data = content.encode()
    for offset in range(len(data) + 1):
        assert view.line_at(offset) == data.count(b"\n", 0, offset) + 1
    begin = 0
    for number, row in enumerate(data.split(b"\n"), 1):
        assert view.offset_of(number) == min(begin, len(data))
        begin += len(row) + 1
    with pytest.raises(IndexError, match="out of range"):
        view.lines[len(expected)]


def test_lines_of_a_long_file_are_found_by_the_index(host: Host) -> None:
    numbers = random.Random(1)
    rows = ["x" * numbers.randrange(200) + str(i) for i in range(2_000)]
    view = made(host, "\n".join(rows))
    for number in numbers.sample(range(2_000), 200):
        assert view.lines[number] == rows[number]
        assert view.line_at(view.offset_of(number + 1)) == number + 1
    assert view.lines[1_990:] == rows[1_990:] and view.lines[-5] == rows[-5]
    assert set(view.sample(50)) <= set(rows) and len(view.sample(50)) == 50


def test_parts_join_to_the_whole_and_end_with_lines(host: Host) -> None:
    text = "".join(f"row {i} ö\n" for i in range(500)) + "no end"
    view = made(host, text)
    for count in (1, 2, 7, 499, 5_000):
        parts = view.parts(count)
        assert "".join(part[:] for part in parts) == text
        assert all(part[-1] == "\n" for part in parts[:-1])
        assert sum(part.line_count() for part in parts) == 501
    part = view.parts(3)[1]
    first = text[: len(text.encode()[: part.begin].decode())].count("\n")
    assert part.lines[0] == f"row {first} ö" and part.line_at(0) == 1
    assert part.lines[-1] == lines(part[:])[-1]
    assert [hit.line for hit in grep(f"row {first + 2} ", part)] == [3]


def test_find_count_and_in(host: Host, way: str) -> None:
    content = "abc\n" * 30 + "needle ö here\n" + "aaaa\n" * 30 + "needle"
    view = made(host, content)
    data = content.encode()
    for wanted in ("needle", "ö", "aa", "c\na", "aaaa\naaaa", "no such", "abc\n" * 20, "e"):
        raw = wanted.encode()
        assert view.find(wanted) == data.find(raw), wanted
        assert view.rfind(wanted) == data.rfind(raw), wanted
        assert view.count(wanted) == data.count(raw), wanted
        assert (wanted in view) == (raw in data), wanted
        for start in (121, 130, 200) if way != "on the host" else (130,):
            assert view.find(wanted, start) == data.find(raw, start), (wanted, start)
            assert view.find(wanted, 5, start) == data.find(raw, 5, start), (wanted, start)
    assert view.find("") == 0


PATTERNS = [
    r"ERROR", r"err\w+", r"(?i)error", r"\bfoo\b", r"\Bfoo", r"fo+?o", r"(a|bc)+d", r"[^a-z ]+",
    r"\d{2,3}", r"\s+x", r"x\s", r"^", r"$", r"^$", r"(?m)^\w+", r"(?m)\w+$", r"(?m)^", r"(?m)$",
    r"", r"x*", r"(\w)\1", r"(?<=o)b", r"(?<!o)b", r"foo(?=\s)", r"foo(?!b)", r"é+", r"[à-ÿ]",
    r"\W\W", r"\S+", r".", r".*", r"(?s)o.b", r"a\nb", r"\n\n", r"[^x]{5,}", r"\A\w", r"\w\Z",
    r"(?P<k>\w+)=(?P<v>\w*)", r"(?:a|b|)c", r"(?>fo+)b", r"fo++b", r"²|\u212a", r"(?i)k", r"(?i)ß",
    r"(?i)[i-k]+", r"(?a)\w+é", r"\x41", r"\.", r"(?i:E)rr", r"[\w.-]+@\w+", r"(f)?(?(1)oo|b)",
]  # fmt: skip
WORDS = ["foo", "bar", "ERROR", "err12", "é", "à la", "x", " ", "  ", "a", "bc", "d", "fooo", "k=v",
         "K", "K", "İ", "ß", "aa", "²", "A", "a.b@c", "o", "b", "\r", "😀", "日本"]  # fmt: skip


def texts(way: str) -> Iterator[str]:
    numbers = random.Random(11)
    on_host = way == "on the host"  # where each text costs a process
    yield from ("", "\n\nfoo\n\n") if on_host else ("", "\n", "foo", "foo\n", "\n\nfoo\n\n")
    for number in range(2 if on_host else 6):
        size = 150 if not number else numbers.randrange(1, 60)
        text = "".join(numbers.choice([*WORDS, "\n", "\n", " "]) for _ in range(size))
        yield text if numbers.random() < 0.5 else text + "\n"


@pytest.mark.parametrize("pattern", PATTERNS)
def test_matches_are_those_of_re_over_the_whole_text(host: Host, way: str, pattern: str) -> None:
    for text in texts(way):
        view = made(host, text)
        offsets = [len(text[:at].encode()) for at in range(len(text) + 1)]
        expected = [
            (m.group(), offsets[m.start()], offsets[m.end()], m.groups())
            for m in re.finditer(pattern, text)
        ]
        found = [(m.group(), m.start(), m.end(), m.groups()) for m in view.finditer(pattern)]
        assert found == expected, text
        assert view.findall(pattern) == re.findall(pattern, text)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_grep_finds_the_lines_that_grep_finds_in_text(host: Host, way: str, pattern: str) -> None:
    told = translate(re.compile(pattern, re.MULTILINE))
    for text in texts(way):
        view = made(host, text)
        expected = list(grep(pattern, text, context=1))
        found = list(grep(pattern, view, context=1))
        if told is not None and told.crosses:
            # Where a match reaches over lines in a text, it may hide others or be none here.
            ours = {hit.line for hit in found}
            assert {hit.line for hit in expected} >= ours - _lines_alone(pattern, text)
            continue
        assert [(h.line, h.text, h.before, h.after) for h in found] == [
            (h.line, h.text, h.before, h.after) for h in expected
        ], text
        offsets = [len(text[: hit.start].encode()) for hit in expected]
        assert [hit.start for hit in found] == offsets


def _lines_alone(pattern: str, text: str) -> set[int]:
    """The lines that match when nothing else is there."""
    found = set()
    for number, row in enumerate(text.split("\n"), 1):
        match = re.compile(pattern, re.MULTILINE).search(row + "\n")
        if match is not None and match.start() <= len(row):
            found.add(number)
    return found


def test_case_and_the_number_of_hits(host: Host, way: str) -> None:
    view = made(host, "Error\nerror\nfine\n" * 50)
    assert len(grep("ERROR", view, ignore_case=True)) == 100
    some = grep("error", view, max_hits=7)
    assert len(some) == 7 and not some.complete
    assert grep("error", view, max_hits=50).complete
    assert [hit.line for hit in grep("^error", view)[:2]] == [2, 5]
    assert [hit.where for hit in grep("fine", {"a": view, "b": "fine"})] == ["a"] * 50 + ["b"]


def test_a_match_over_the_edge_of_a_window_is_found(host: Host, way: str) -> None:
    for shift in range(40):
        text = "." * shift + "\nBEGIN one\ntwo END\n" + "." * 90 + "needle\n"
        view = made(host, text)
        match = view.search(r"BEGIN(.*\n.*)END")
        assert match is not None and match.group(1) == " one\ntwo "
        assert match.start() == shift + 1
        assert view.find("one\ntwo") == text.index("one")
        assert view.search("nee+dle").start() == text.index("needle")


def test_each_match_in_a_line_of_megabytes_is_an_excerpt(host: Host, way: str) -> None:
    text = "a" * 3_000 + "NEEDLE" + "b" * 3_000 + "NEEDLE\nNEEDLE\n"
    view = made(host, text)
    hits = grep("NEEDLE", view)
    assert [(hit.line, hit.start) for hit in hits] == [(1, 3_000), (1, 6_006), (2, 6_013)]
    assert all("NEEDLE" in hit.text and len(hit.text) < 2_100 for hit in hits)


def test_other_encodings_are_guessed_or_given_as_bytes(host: Host) -> None:
    host.path.write_bytes("Größe: fünf Äpfel kosten 5 €\n".encode("cp1252") * 40)
    view, notes = _view.make("0" * 32, "a.txt", len(host.data), "view")
    assert "Größe" in view[:20] and "guess" in notes[0]
    assert view.find("fünf") == 7 and len(grep("Äpfel", view)) == 40
    _slots.begin()
    host.path.write_bytes("text".encode("utf-16"))
    view, notes = _view.make("0" * 32, "a.txt", len(host.data), "view")
    assert view.binary and "utf-16" in notes[0]
    _slots.begin()
    view = made(host, b"\xef\xbb\xbftext\nmore")
    assert view[:4] == "text" and view.lines[1] == "more" and view.line_at(5) == 2


def test_what_is_too_large_says_what_to_do(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    view = FileView("0" * 32, "big.log", 0, 10 << 30, "utf-8", "")
    with pytest.raises(OverflowError, match=r"use view\.size"):
        len(view)
    assert bool(view) and view.size == 10 << 30
    for take in (view.to_str, view.to_bytes):
        with pytest.raises(MemoryError, match=r"view\.parts\(n\)"):
            take()
    with pytest.raises(MemoryError, match="smaller slices"):
        view[:]
    assert made(host, TEXT).to_str() == TEXT


def test_json_lines_and_what_is_none(host: Host) -> None:
    view = made(host, '{"a": 1}\n\n[2]\n', "rows.jsonl")
    assert list(view.rows()) == [{"a": 1}, [2]]
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        list(made(host, "1\nx\n", "rows.jsonl").rows())
    with pytest.raises(ValueError, match="rows\\(format='csv'\\)"):
        made(host, "a").rows()


def test_a_file_that_became_shorter_is_noticed(host: Host) -> None:
    view = made(host, "x" * 1000)
    host.path.write_text("x")
    _slots.begin()
    with pytest.raises(ViewChangedError, match=r"\.refresh\(\)"):
        view[500:600]


def test_a_view_that_an_older_version_made_gets_the_methods_of_this_one(host: Host) -> None:
    new = made(host, "some text")
    older = type("FileView", (), {"__module__": FileView.__module__})()
    older.__dict__.update(vars(new))
    assert not _view.is_view(older)
    _view.adopt()
    assert _view.is_view(older)
    assert older[:4] == "some"


def test_what_the_host_refuses_is_raised(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    view = made(host, "x")
    _slots.begin()
    monkeypatch.setattr(_slots, "_answer", lambda op, **_: {"refused": "no such view"})
    with pytest.raises(ViewError, match="no such view"):
        view[:1]


MARKDOWN = (
    "intro\n\n# One\ntext\n\n```\n# none\n```\nTwo\n===\n" + "more of it\n\n" * 40 + "## Three\nend"
)
ROWS = (
    "".join(f"row {i} of a text\n" + ("\n" if i % 9 == 0 else "") for i in range(400)) + "x" * 700
)


@pytest.mark.parametrize("overlap", [0, 1, 40])
@pytest.mark.parametrize("by", ["lines", "paragraphs", "chars", "tokens", "headings"])
def test_the_pieces_of_a_view_are_those_of_its_text(host: Host, by: str, overlap: int) -> None:
    for text in (MARKDOWN, ROWS, "", "\n", "one\n", "x" * 1_000):
        if by == "headings" and overlap:
            with pytest.raises(ValueError, match="do not overlap"):
                chunks(made(host, text), 50, overlap, by)
            continue
        view = made(host, text)
        expected = list(chunks(text, 120, overlap, by))
        pieces = chunks(view, 120, overlap, by)
        assert list(pieces) == expected and len(pieces) == len(expected), text
        for found in (pieces, [pieces[i] for i in range(len(pieces))], pieces[:], pieces[0:1]):
            for one, other in zip(found, expected, strict=False):
                assert (one, one.start, one.heading) == (other, other.start, other.heading)
                assert one.spans == other.spans


def test_the_pieces_of_a_view_are_cut_when_they_are_asked_for(host: Host) -> None:
    view = made(host, "".join(f"línea {i}\n" for i in range(20_000)))
    pieces = chunks(view, 1_000)
    assert "index, slice or go through them" in repr(pieces)
    assert pieces[1].startswith("línea") and pieces[1].line == pieces[0].end_line + 1
    assert view[pieces[1].start :].startswith(pieces[1])
    assert sum(len(part) for part in pickle.dumps(pieces).split()) < 2_000, "nothing else is cut"
    assert "".join(pieces) == view[:] and all(len(p.encode()) <= 1_000 for p in pieces)
    assert pieces[-1].end_line == 20_000 and [p.line for p in pieces[-2:]] == [
        pieces[-2].line,
        pieces[-1].line,
    ]
    assert [len(p) for p in chunks(made(host, "日本語"), 1)] == [1, 1, 1]
    with pytest.raises(IndexError, match="out of range"):
        pieces[10**6]
    with pytest.raises(ValueError, match="parses a text as a whole"):
        chunks(view, by="functions")
    with pytest.raises(TypeError, match="the value at 'a' is a view: cut it by itself"):
        chunks({"a": view})
