from __future__ import annotations

import json
from typing import Any

import pytest

from sandbox_wasm.guest import _folder, _table, _text
from sandbox_wasm.guest._load import LoadError, load


class Memory:
    """A source over bytes that checks how it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.size = len(data)
        self.reads = 0

    def read(self, offset: int, length: int, /) -> bytes:
        assert offset >= 0 and length <= 64 << 20
        self.reads += 1
        return bytes(memoryview(self.data)[offset : offset + length])

    def ascii(self, offset: int, length: int, /) -> str | None:
        data = self.read(offset, length)
        return data.decode("ascii") if data.isascii() else None

    def wipe(self, buffer: bytes, /) -> None:
        """Really zeroes it, so that a test sees when something still holds it."""
        assert type(buffer) is bytes
        if len(buffer) > 1:
            _text._raw(id(buffer) + _text._BYTES_HEADER, len(buffer))[:] = bytes(len(buffer))


@pytest.fixture(params=["twice", "once"])
def small_windows(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "_KEPT", 0 if request.param == "twice" else 1 << 20)
    monkeypatch.setattr(_text, "WINDOW", 64)
    for module in (_folder, _table):
        monkeypatch.setattr(module, "WINDOW", 64)
    monkeypatch.setattr(_text, "_PLAIN", 16)
    monkeypatch.setattr(_text, "_MIN_WIPE", 8)


def loaded(data: bytes, format: str = "auto", name: str = "a.txt") -> tuple[Any, list[str]]:
    return load(Memory(data), [(name, 0, len(data))], "file", format, name)


def value(data: bytes, format: str = "auto", name: str = "a.txt") -> Any:
    result, notes = loaded(data, format, name)
    assert notes == []
    return result


def folder(files: dict[str, bytes], format: str = "auto") -> tuple[Any, list[str]]:
    entries, data = [], b""
    for name, content in files.items():
        entries.append((name, len(data), len(content)))
        data += content
    return load(Memory(data), entries, "folder", format, "folder")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", "\x0b", "\u2028"])
def test_newlines_stay_as_they_are(newline: str) -> None:
    text = newline.join(["a", "é", "", "z", ""])
    assert value(text.encode()) == text


TEXTS = {
    "ascii": "plain text\n",
    "latin": "caf\xe9 na\xefve\n",
    "greek": "x\u03b1\u03b2\u03b3 \xe9\n",
    "cjk": "\u65e5\u672c\u8a9e text\n",
    "emoji": "a\U0001f600b\u65e5\xe9\n",
    "combining": "e\u0301\u200d\ufeff\x00x\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("shift", range(4))
@pytest.mark.usefixtures("small_windows")
def test_characters_across_the_edges_of_windows_arrive_whole(text: str, shift: int) -> None:
    whole = "." * shift + text * 50
    found = value(whole.encode(), "text")
    assert found == whole
    assert (
        found == "".join(found) and hash(found) == hash(whole) and found.encode().decode() == whole
    )
    assert whole in {found}


@pytest.mark.usefixtures("small_windows")
def test_one_wide_character_at_the_end_of_much_ascii_is_found() -> None:
    for last in ("\x80", "\u0100", "\uffff", "\U00010000"):
        text = "x" * 1000 + last
        assert value(text.encode()) == text


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (b"\xef\xbb\xbf", "utf-8"),
        (b"\xff\xfe", "utf-16-le"),
        (b"\xfe\xff", "utf-16-be"),
        (b"\xff\xfe\0\0", "utf-32-le"),
        (b"\0\0\xfe\xff", "utf-32-be"),
    ],
)
@pytest.mark.usefixtures("small_windows")
def test_byte_order_marks_say_the_encoding_and_are_taken_off(mark: bytes, encoding: str) -> None:
    for text in ("abc", "h\xe9llo \u20ac \U0001f600\n" * 20, ""):
        assert value(mark + text.encode(encoding), "text") == text
        assert folder({"a": mark + text.encode(encoding)}) == ({"a": text}, [])


def test_utf16_without_a_mark_is_recognised_with_a_note() -> None:
    text = "The quick brown fox\r\n" * 10
    found, notes = loaded(text.encode("utf-16-le"))
    assert found == text and "utf-16-le, a guess" in notes[0]


@pytest.mark.usefixtures("small_windows")
def test_text_that_is_not_utf8_is_guessed_with_a_note() -> None:
    found, notes = loaded(b"x" * 200 + b"caf\xe9\n")
    assert found == "x" * 200 + "caf\xe9\n"
    assert notes == ["The text is not UTF-8 (0xE9 at byte 203): decoded as cp1252, a guess."]


def test_longer_text_in_an_old_encoding_is_guessed_well() -> None:
    text = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 40
    found, notes = loaded(text.encode("cp1251"))
    assert found == text and "guess" in notes[0]


def test_bytes_that_no_code_page_has_still_become_text() -> None:
    found, notes = loaded(b"a\x81\x8d\xe9")
    assert found == "a\x81\x8d\xe9" and "latin-1" in notes[0]


@pytest.mark.usefixtures("small_windows")
def test_damage_in_utf8_is_replaced_with_a_note() -> None:
    good = "日本語のテキスト" * 40
    data = good.encode()
    found, notes = loaded(data[:300] + b"\xff" + data[300:])
    assert found == good[:100] + "\ufffd" + good[100:]
    assert "U+FFFD" in notes[0] and "byte 300" in notes[0]


def test_utf8_that_ends_in_the_middle_of_a_character_is_noted() -> None:
    found, notes = loaded("日本語日本語".encode()[:-1])
    assert found == "日本語日本\ufffd" and len(notes) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("é" * 300, "x" * 600),  # all ASCII now, in a string made for more
        ("é" * 300, "日" * 200),  # wider characters, and fewer of them
        ("日" * 200, "é" * 300),  # narrower characters, and more of them
        ("日é" * 100 + "x" * 100, "é" * 250 + "x" * 100),
    ],
)
def test_a_file_that_changes_between_the_two_readings_is_refused(
    before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_text, "WINDOW", 64)
    monkeypatch.setattr(_text, "_PLAIN", 16)
    monkeypatch.setattr(_text, "_KEPT", 0)

    class Changing(Memory):
        starts = 0

        def read(self, offset: int, length: int, /) -> bytes:
            self.starts += offset == 0
            if self.starts == 4:  # the kind, the head, the first reading, the second
                self.data = after.encode()
            return super().read(offset, length)

    source = Changing(before.encode())
    assert len(after.encode()) == source.size
    with pytest.raises(LoadError, match="changed"):
        load(source, [("a", 0, source.size)], "file", "text", "a")


def test_a_file_that_became_shorter_is_refused() -> None:
    for format in ("text", "bytes"):
        with pytest.raises(LoadError, match="shorter"):
            load(Memory(b"abc"), [("a", 0, 10)], "file", format, "a")


def test_empty_files_are_fine() -> None:
    assert loaded(b"") == ("", ["The file is empty."])
    assert loaded(b"", name="a.json") == ("", ["The file is empty."])
    assert value(b"", "text") == ""
    assert value(b"", "bytes") == b""
    assert value(b"", "lines") == []
    assert value(b"", "jsonl") == []
    with pytest.raises(LoadError, match="empty"):
        value(b"", "json")
    assert folder({"a": b"", "b": b"", "c": b"x"}) == ({"a": "", "b": "", "c": "x"}, [])


def test_binary_content_becomes_bytes_with_a_note() -> None:
    found, notes = loaded(b"\x7fELF\0\1")
    assert found == b"\x7fELF\0\1" and "binary" in notes[0]


def test_bytes_beyond_one_call_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "MAX_READ", 64)
    monkeypatch.setattr(_text, "WINDOW", 64)
    data = bytes(range(256)) * 5
    assert value(data, "bytes") == data


def test_lines_end_at_newlines_alone() -> None:
    assert value(b"a\nb\r\n\nc\rd\x0be\n", "lines") == ["a", "b", "", "c\rd\x0be"]
    assert value(b"a\nb", "lines") == ["a", "b"]
    assert value(b"x" * 10_000, "lines") == ["x" * 10_000]
    assert value(b"x" * 10_000 + b"\n", "lines") == ["x" * 10_000]
    assert value(b"\n" * 5000, "lines") == [""] * 5000


def test_json_is_recognised_by_its_suffix() -> None:
    data = {"a": [1, 2.5, None, "é" * 9000], "b": {}}
    assert value(json.dumps(data).encode(), name="x/y.JSON") == data
    assert value(json.dumps(data).encode(), "json", "noname") == data
    assert value(b'"' + b"x" * 9000 + b'"', "json") == "x" * 9000


def test_invalid_json_names_line_and_column_and_shows_the_place() -> None:
    with pytest.raises(LoadError, match=r"line 3, column 8: Expecting value.*'  \"b\": oops,'"):
        value(b'{\n  "a": 1,\n  "b": oops,\n  "c": 2\n}', "json")


def test_json_on_each_line_hints_at_jsonl() -> None:
    with pytest.raises(LoadError, match=r"line 2, column 1.*format='jsonl'"):
        value(b'{"a": 1}\n{"a": 2}\n', name="a.json")


def test_the_excerpt_of_a_line_of_megabytes_is_short() -> None:
    with pytest.raises(LoadError) as caught:
        value(b"[" + b"1," * 1_000_000 + b"x]", "json")
    assert len(str(caught.value)) < 500 and "column 2,000,002" in str(caught.value)


@pytest.mark.parametrize("format", ["json", "jsonl"])
def test_json_beyond_reason_is_an_error(format: str) -> None:
    with pytest.raises(LoadError, match="deep"):
        value(b"[" * 500_000, format)
    with pytest.raises(LoadError, match="digit"):
        value(b"1" * 10_000, format)


def test_json_lines_become_a_list_and_blank_lines_are_noted() -> None:
    found, notes = loaded(b'{"a": 1}\r\n\n2\n  \n"x"', name="a.ndjson")
    assert found == [{"a": 1}, 2, "x"] and notes == ["blank lines were skipped: 2."]


def test_an_invalid_line_is_named() -> None:
    with pytest.raises(LoadError, match=r"line 3, column 2.*'\{oops\}'.*format='lines'"):
        value(b"1\n\n{oops}\n", "jsonl")
    with pytest.raises(LoadError, match="format='json'"):
        value(b'[\n{"a": 1}\n]', "jsonl")


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(LoadError, match="jsonl"):
        value(b"x", "no-such")


@pytest.mark.usefixtures("small_windows")
def test_a_folder_becomes_a_mapping_whatever_the_windows() -> None:
    texts = {f"f{i}": TEXTS[kind] * (i % 7) for i, kind in enumerate([*TEXTS] * 10)}
    texts["long"] = "é" * 500
    texts["plain"] = "x" * 500
    texts["exact"] = "y" * 64
    found, notes = folder({name: text.encode() for name, text in texts.items()})
    assert found == texts and list(found) == list(texts) and notes == []
    found, notes = folder({name: text.encode() for name, text in texts.items()}, "bytes")
    assert found == {name: text.encode() for name, text in texts.items()} and notes == []


def test_a_folder_of_one_file_keeps_it() -> None:
    assert folder({"a": b"x" * 9000}) == ({"a": "x" * 9000}, [])
    assert folder({"a": b"x" * 9000}, "bytes") == ({"a": b"x" * 9000}, [])
    assert folder({"a": b"", "b": b"x" * 9000, "c": b""})[0]["b"] == "x" * 9000


def test_old_encodings_in_a_folder_are_noted_together() -> None:
    found, notes = folder({f"f{i}": b"caf\xe9" for i in range(30)})
    assert set(found.values()) == {"caf\xe9"}
    assert notes == [
        "Not UTF-8, decoded by a guess: f0 (cp1252), f1 (cp1252), f2 (cp1252) and 27 more."
    ]


def test_a_folder_can_be_parsed_file_by_file() -> None:
    assert folder({"a.json": b"[1]", "b.json": b"{}"}, "json")[0] == {"a.json": [1], "b.json": {}}
    assert folder({"a": b"x\ny\n"}, "lines")[0] == {"a": ["x", "y"]}
    with pytest.raises(LoadError, match=r"b\.json: invalid JSON at line 1"):
        folder({"a.json": b"[1]", "b.json": b"{"}, "json")
