"""Places inside of values: access paths as code writes them, and references as people follow them.

A place is a variable and the keys that lead on from it. What a loader made of a file is known by
its unit, so that `pages[2]` is `report.pdf#page=3` and `files["a/b.txt"]` is
`files.zip!/a/b.txt`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from ._fit import one_line
from ._render import short

UNITS = {
    "pdf": "page", "pptx": "slide", "xlsx": "sheet", "epub": "chapter", "mbox": "message",
    "ipynb": "cell", "sqlite": "table", "lines": "line",
}  # fmt: skip
"""What an item of a value is, by the format that it was loaded from."""
MEMBER = "!/"
"""Between an archive and the path of a file in it, as addresses of Java archives have it."""
_DEEPEST = 6

Keys = tuple[Any, ...]
"""Keys and indexes that lead from a variable to a place; a `range` stands for several items."""


@dataclass
class Contents:
    """What a loader notes of a source besides its value.

    Args:
        unit: what an item of the value is, or of the value of each file; see `UNITS`.
        members: of an archive, size and SHA-256 of each file that was taken, by its path.
    """

    unit: str = ""
    members: dict[str, tuple[int, bytes]] | None = field(default=None)


def parsed(text: str) -> tuple[str, Keys] | None:
    """The variable and the keys of an access path of subscripts alone, or None."""
    try:
        node: ast.expr = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    keys: list[Any] = []
    while isinstance(node, ast.Subscript) and len(keys) < _DEEPEST:
        key = node.slice
        negative = isinstance(key, ast.UnaryOp) and isinstance(key.op, ast.USub)
        constant = key.operand if isinstance(key, ast.UnaryOp) and negative else key
        if not isinstance(constant, ast.Constant):
            return None
        if negative and type(constant.value) is not int:
            return None
        keys.append(-constant.value if negative else constant.value)  # type: ignore[operator]
        node = node.value
    return (node.id, tuple(keys[::-1])) if isinstance(node, ast.Name) else None


def access_path(name: str, keys: Keys) -> str:
    """A place as code names it."""
    return name + "".join(f"[{_key(key)}]" for key in keys)


def _key(key: Any) -> str:
    if type(key) is range:
        return f"{key.start}:{key.stop}"
    return repr(key) if type(key) in (str, int) else short(key, 200)


def reference(path: str, unit: str, keys: Keys) -> str:
    """A place in a file, as a person finds it: `report.pdf#page=3`, `app.log:12`, `rows.csv[4]`.

    Pages and the like count from 1, indexes in brackets from 0 as in code.
    """
    rest = keys
    if unit and keys and (place := _counted(keys[0]) or _named(keys[0], unit)):
        path += f":{place}" if unit == "line" else f"#{unit}={place}"
        rest = keys[1:]
    return path + access_path("", rest)


def _counted(key: Any) -> str:
    if type(key) is range:
        return f"{key.start + 1}-{key.stop}" if len(key) > 1 else f"{key.start + 1}"
    return f"{key + 1}" if type(key) is int and key >= 0 else ""


def _named(key: Any, unit: str) -> str:
    """Sheets and tables have names."""
    return one_line(key) if type(key) is str and unit in ("sheet", "table") else ""
