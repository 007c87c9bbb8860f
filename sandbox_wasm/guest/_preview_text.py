"""The preview of text and bytes: size, lines, tokens, format, what is odd, head and tail."""

import re
from typing import Any

from ._fit import escape, plural
from ._kinds import base_of, length_of
from ._label import label
from ._render import short
from ._tokens import tokens_of

_WINDOW = 8_192  # characters of each of 48 windows of a long text
_COUNTED = 20_000_000  # characters up to which lines are counted: about 10 ms in the guest
_MAGIC = {
    "%PDF": "PDF",
    "PK\x03\x04": "zip (docx, xlsx, epub, ...)",
    "\x1f": "gzip",
    "SQLite f": "SQLite",
    "PAR1": "Parquet",
    "GIF8": "GIF",
    "From ": "mbox",
}


def describe_text(value: Any, is_str: bool, room: int) -> list[str]:
    """Size, lines, tokens, format, what is odd, and as much of both ends as there is room for."""
    size = length_of(value) or 0
    if not size:
        return [f"{label(value)} (empty)"]
    step = max(_WINDOW, size // 48)
    windows = [_cut(value, at, at + _WINDOW) for at in range(0, size, step)]
    sampled = "".join(windows)
    binary = not is_str and ("\0" in sampled or sampled.count("�") * 20 > len(sampled))
    out = [label(value)]
    odd: list[str] = []
    if not binary:
        breaks = _breaks(value, windows, size)
        about = "" if size <= _COUNTED else "about "
        count = breaks + (0 if _cut(value, size - 1, size) == "\n" else 1)
        out[0] += f", {about}{plural(count, 'line')}, ~{plural(tokens_of(sampled, size), 'token')}"
        odd = odd_text(sampled, windows, breaks, size)
    if kind := looks_like(_cut(value, 0, 400), _cut(value, max(0, size - 20), size)):
        out.append(f"looks like {kind}")
    if odd:
        out.append("odd: " + "; ".join(odd))
    if binary:
        return [*out, short(value, min(400, room // 2))]
    left = max(40, room - sum(map(len, out)) - 60)
    if size <= left:
        return [*out, "--- all of it:", _cut(value, 0, size)]
    head = escape(_cut(value, 0, left * 2 // 3))[: left * 2 // 3]
    tail = escape(_cut(value, size - left // 3, size))[-(left // 3) :]
    return [*out, f"--- first {len(head):,} chars:", head, f"--- last {len(tail):,} chars:", tail]


def _cut(value: Any, begin: int, end: int) -> str:
    base: Any = base_of(value)
    cut = base.__getitem__(value, slice(begin, end))
    return cut if base is str else bytes(cut).decode("utf-8", "replace")


def _breaks(value: Any, windows: list[str], size: int) -> int:
    """The number of newlines; of a long text estimated from the windows."""
    base: Any = base_of(value)
    if size <= _COUNTED:
        return int(base.count(value, "\n" if base is str else b"\n"))
    return round(sum(row.count("\n") for row in windows) * size / (len(windows) * _WINDOW))


def odd_text(sampled: str, windows: list[str], breaks: int, size: int) -> list[str]:
    """What a reader should know before trusting a text, going by a sample."""
    odd = []
    rows = [row for window in windows for row in window.split("\n")]
    longest = max(map(len, rows))
    if breaks and longest > 2_000:
        more = "or more " if longest >= _WINDOW else ""
        odd.append(f"long lines ({longest:,} chars {more}in the sample)")
    elif not breaks and size > 2_000:
        odd.append("a single line")
    for found, name in (
        (not sampled.strip(), "only white space"),
        ("\0" in sampled, "NUL characters"),
        ("\r\n" in sampled, "lines end in \\r\\n"),
        ("�" in sampled, "U+FFFD: decoded with the wrong encoding?"),
        (sampled.startswith("\ufeff"), "begins with a byte-order mark"),
        (not sampled.isascii() and bool(re.search("[\ud800-\udfff]", sampled)), "lone surrogates"),
        (bool(re.search("[\x01-\x08\x0e-\x1f\x7f]", sampled)), "control characters"),
    ):
        if found:
            odd.append(name)
    return odd


def looks_like(head: str, tail: str) -> str:
    """The format that both ends speak for, or nothing."""
    start, end = head.lstrip(" \t\r\n\ufeff"), tail.rstrip()
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    if "PNG\r\n" in head[:8]:
        return "PNG"
    if start[:1] == "{" and end[-1:] == "}" and "}\n{" in head.replace("\r", ""):
        return "JSON Lines"
    if (start[:1], end[-1:]) in (("{", "}"), ("[", "]")) and re.match(
        r'[{\[]\s*["{\[\d\]}tfn-]', start
    ):
        return "JSON: json.loads reads it"
    if re.match(r"<!doctype html|<html", start, re.IGNORECASE):
        return "HTML"
    return "XML" if start.startswith("<?xml") else ""
