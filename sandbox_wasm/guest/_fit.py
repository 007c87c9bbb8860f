"""Text made fit to be shown: escaped, cut to a bound, counted in words."""

import re
from collections.abc import Iterable

# Controls but newline and tab, lone surrogates, and what reorders or hides text. The joiners
# U+200C and U+200D stay: ordinary words of several languages contain them.
_RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def escape(text: str) -> str:
    r"""Show control characters, lone surrogates and bidirectional marks as `\x..` escapes."""
    return _RAW.sub(lambda found: repr(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """As `escape`, with line ends and tabs as escapes too: for names among other text."""
    return escape(text).replace("\n", "\\n").replace("\t", "\\t")


def clip(text: str, room: int) -> str:
    """Cut to `room` characters; a cut text ends in an ellipsis."""
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"[:room]


def fit(rows: Iterable[str], room: int) -> list[str]:
    """The first rows that fit into `room` characters, then a row of dots for the others."""
    out: list[str] = []
    for row in rows:
        room -= len(row) + 1
        if room < 0:
            return [*out, "  ..."]
        out.append(row)
    return out


def plural(count: int, noun: str) -> str:
    """A number of things: `1 key`, `3,201 keys`, `2 matches`."""
    ending = "" if count == 1 else "es" if noun.endswith("ch") else "s"
    return f"{count:,} {noun}{ending}"


def fitting(rows: Iterable[str], room: int) -> list[str]:
    """As many of the first rows as fit, each with its line's end."""
    shown: list[str] = []
    for row in rows:
        if len(row) > room:
            break
        shown.append(row)
        room -= len(row) + 1
    return shown
