"""What the files of a folder define and use: `symbols` for guest code."""

from __future__ import annotations

from array import array
from collections import Counter
from importlib import import_module
from typing import Any, SupportsIndex, overload

from ._find import documents
from ._fit import clip, one_line, plural
from ._hits import Hit, Hits, rest_of, shown
from ._kinds import base_of, type_name
from ._lines import as_text, is_text, plain
from ._outline import Definition, Parsed, language_of, parse
from ._sources import holder_of

_LINE = 2_000
_SHOWN, _ROW = 50, 200  # definitions of a list that are shown, and the characters of each


@shown
class Definitions(list[Definition]):
    """The definitions of a folder. Called with a name, those of that name."""

    def __call__(self, name: str) -> Definitions:
        """The definitions of a name, or of one in another as in `Store.get`."""
        return Definitions([one for one in self if name in (one.name, one.path)])

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Definition: ...
    @overload
    def __getitem__(self, index: slice, /) -> Definitions: ...
    def __getitem__(self, index: SupportsIndex | slice, /) -> Definition | Definitions:
        """A definition, or for a slice a list that shows itself in the same way."""
        if isinstance(index, slice):
            return Definitions(super().__getitem__(index))
        return super().__getitem__(index)

    def __repr__(self) -> str:
        """The first 50, and how many there are."""
        rows = [plural(len(self), "definition")]
        rows += [clip(repr(one), _ROW) for one in list(self)[:_SHOWN]]
        if len(self) > _SHOWN:
            rows.append(rest_of(self, _SHOWN))
        return "\n".join(rows)

    __str__ = __repr__


class Symbols:
    """The definitions of a folder, and where its names are used.

    Attributes:
        definitions: all of them, file after file; `definitions(name)` are those of a name.
        files: how many files of which language were read.
        skipped: how many were not, by reason.
    """

    def __init__(
        self, texts: dict[str | int, str], parsed: dict[str | int, Parsed], of: str
    ) -> None:
        self.definitions = Definitions()
        self.files: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._texts = texts
        self._of = of
        self._where: list[str | int] = []
        self._uses: dict[str, array[int]] = {}
        for where, found in parsed.items():
            self._add(where, found)

    def _add(self, where: str | int, found: Parsed) -> None:
        if found.problem:
            self.skipped[found.problem] += 1
            return
        file, base = len(self._where), len(self.definitions)
        self._where.append(where)
        self.definitions += found.definitions
        self.files[(language_of(where) if isinstance(where, str) else None) or "?"] += 1
        numbers = found.references
        uses = [self._uses.setdefault(name, array("i")) for name in found.names]
        for at in range(0, len(numbers), 4):
            around = numbers[at + 3]
            uses[numbers[at]].extend(
                (file, numbers[at + 1], numbers[at + 2], base + around if around >= 0 else -1)
            )

    def find(self, name: str) -> Definitions:
        """The definitions of a name, or of one in another as in `Store.get`."""
        return self.definitions(name)

    def references(self, name: str, max_hits: int = 1000) -> Hits:
        """The lines that use a name, calls among them, as a list of `Hit`; definitions are not.

        `within` of a hit is what it is defined in.
        """
        return self._hits(name, max_hits, calls=False)

    def callers(self, name: str, max_hits: int = 1000) -> Hits:
        """The lines that call a name, as a list of `Hit`; `within` of a hit is the caller."""
        return self._hits(name, max_hits, calls=True)

    def _hits(self, name: str, max_hits: int, *, calls: bool) -> Hits:
        hits = Hits()
        uses = self._uses.get(name.rpartition(".")[2], array("i"))
        lines: list[str] = []
        offsets: list[int] = []
        current, seen = -1, (-1, -1)
        for at in range(0, len(uses), 4):
            file, line, called, around = uses[at : at + 4]
            if (calls and not called) or (file, line) == seen:
                continue
            if len(hits) >= max_hits:
                hits.complete = False
                break
            seen = (file, line)
            where = self._where[file]
            if file != current:
                current, lines, offsets = file, self._texts[where].split("\n"), [0]
                for one in lines:
                    offsets.append(offsets[-1] + len(one) + 1)
            text = lines[line - 1].removesuffix("\r") if line <= len(lines) else ""
            start = offsets[line - 1] + max(text.find(name.rpartition(".")[2]), 0)
            within = self.definitions[around].path if around >= 0 else ""
            hits.append(Hit(where, line, clip(text, _LINE), start, within=within, of=self._of))
        return hits

    @property
    def table(self) -> Any:
        """The definitions as a DataFrame: path, line, end_line, kind, name, owner, signature."""
        pandas: Any = import_module("pandas")
        names = ("path", "line", "end_line", "kind", "name", "owner", "signature")
        rows = [
            (d.where, d.line, d.end_line, d.kind, d.name, d.owner, d.signature)
            for d in self.definitions
        ]
        return pandas.DataFrame(rows, columns=names)

    def __repr__(self) -> str:
        """How much there is, what is used most, and what to call next."""
        kinds = Counter(one.kind for one in self.definitions).most_common(6)
        named = {one.name for one in self.definitions}
        used = sorted(
            ((len(uses) // 4, name) for name, uses in self._uses.items() if name in named),
            reverse=True,
        )
        files = ", ".join(f"{count:,} {name}" for name, count in self.files.most_common(8))
        rows = [
            f"{plural(len(self.definitions), 'definition')} in {plural(len(self._where), 'file')}"
            f" ({files or 'no code'})",
            "kinds: " + ", ".join(f"{count:,} {kind}" for kind, count in kinds),
            "used most: " + ", ".join(f"{name} {count:,}" for count, name in used[:10]),
        ]
        if self.skipped:
            left = ", ".join(f"{count:,} {reason}" for reason, count in self.skipped.most_common(4))
            rows.append(f"skipped: {left}")
        rows.append("next: .find(name), .references(name), .callers(name), .definitions, .table")
        return "\n".join(one_line(clip(row, 400)) for row in rows)


def symbols(folder: Any) -> Symbols:
    """What the code of a folder defines, and where its names are used and called.

    Python, JavaScript, TypeScript, Go, Rust, Java, C, C++, C#, Ruby, PHP, Kotlin, Swift, Scala,
    Lua and shell are known by the endings of the paths. Names are matched by spelling, not by
    scope or type.

    Args:
        folder: a dict of path to text.

    Raises:
        SymbolsError: the host has no helper for languages other than Python.
    """
    if base_of(folder) is not dict:
        raise TypeError(
            f"symbols() takes a dict of path to text, not {type_name(type(folder))}; for one text "
            "use outline(text)"
        )
    texts: dict[str | int, str] = {}
    languages: dict[str | int, str] = {}
    unknown = 0
    for where, body in documents(folder):
        language = language_of(where) if isinstance(where, str) else None
        if language is None or not is_text(body):
            unknown += 1
            continue
        texts[where], languages[where] = as_text(plain(body)), language
    asked = [(where, text, languages[where]) for where, text in texts.items()]
    found = Symbols(texts, dict(zip(texts, parse(asked), strict=True)), holder_of(folder))
    if unknown:
        found.skipped["no code"] = unknown
    return found
