"""The preview of a folder, a dict of path to text: languages, tree, largest and empty files."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ._fit import clip, fit, plural
from ._kinds import base_of, first_items, length_of
from ._label import label
from ._preview_nested import ends
from ._render import short

_ENTRIES = 6_000  # of a folder looked at: about 30 ms in the guest
_LANGUAGES = {
    "py": "Python", "js": "JavaScript", "jsx": "JavaScript", "ts": "TypeScript",
    "tsx": "TypeScript", "rs": "Rust", "go": "Go", "java": "Java", "c": "C", "h": "C",
    "cc": "C++", "cpp": "C++", "hpp": "C++", "cs": "C#", "rb": "Ruby", "php": "PHP",
    "swift": "Swift", "kt": "Kotlin", "scala": "Scala", "sh": "Shell", "sql": "SQL",
    "html": "HTML", "css": "CSS", "md": "Markdown", "rst": "reST", "json": "JSON", "yaml": "YAML",
    "yml": "YAML", "toml": "TOML", "xml": "XML",
}  # fmt: skip


def folder_paths(value: Any) -> list[tuple[str, int]] | None:
    """Paths and sizes, if this looks like a dict of path to text (first entries only)."""
    sample = first_items(value, 50)
    texts = all(type(k) is str and base_of(v) in (str, bytes) for k, v in sample)
    named = sum(bool(re.search(r"[\w-]/[\w.-]|\w\.\w{1,5}$", k[:300])) for k, _ in sample if texts)
    if not texts or named * 2 <= len(sample) or any("\n" in k or " " in k[:2] for k, _ in sample):
        return None
    # Stepping over 1,000,000 entries takes about 30 ms in the guest.
    step = -(-min(dict.__len__(value), 1_000_000) // _ENTRIES)
    entries = islice(dict.items(value), 0, 1_000_000, step)
    return [(k, length_of(v) or 0) for k, v in entries if type(k) is str]


def describe_folder(value: Any, paths: list[tuple[str, int]], room: int) -> list[str]:
    """How much there is, in which languages and folders, the largest and the empty files."""
    count = dict.__len__(value)
    total = sum(size for _, size in paths)
    part = about = ""
    if len(paths) < count:
        part, about = f" in {len(paths):,} sampled", "about "
        total = total * count // max(1, len(paths))
    out = [
        f"{label(value)}: a folder, path -> text, {plural(count, 'file')}, "
        f"{about}{plural(total, 'char')}, ~{plural(total // 4, 'token')}"
    ]
    prefix = _common_folder([path for path, _ in paths])
    languages = _totals((_language(path), size) for path, size in paths)
    out.append(f"languages{part}: " + clip("; ".join(islice(languages, 8)), room // 4))
    tree = _totals((_place(path[len(prefix) :]), size) for path, size in paths)
    out.append(f"tree of {short(prefix, 200) if prefix else 'the top'}{part}:")
    out += fit((f"  {row}" for row in tree), room // 3)
    largest = sorted(paths, key=lambda item: -item[1])[:4]
    out.append("largest: " + ", ".join(f"{short(p, 80)} {size:,}" for p, size in largest))
    if empty := [path for path, size in paths if not size]:
        out.append(f"odd: {len(empty):,} empty, e.g. {short(empty[0], 80)}")
    return out + ends(value, dict, min(350, room - sum(len(row) + 1 for row in out)))


def _totals(sizes: Iterable[tuple[str, int]]) -> Iterator[str]:
    """`name 30 files 2,610 chars` for each name, the largest first."""
    totals: dict[str, list[int]] = {}
    for name, size in sizes:
        entry = totals.setdefault(name, [0, 0])
        entry[0] += 1
        entry[1] += size
    for name, (files, size) in sorted(totals.items(), key=lambda item: -item[1][1]):
        yield f"{clip(name, 80)} {plural(files, 'file')} {plural(size, 'char')}"


def _language(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    if "." not in name[1:]:  # `.gitignore` has no ending either
        return "(none)"
    ending = name.rsplit(".", 1)[-1].lower()
    return _LANGUAGES.get(ending, f".{ending}")


def _place(path: str) -> str:
    top, slash, _ = path.partition("/")
    return top + slash if slash else "(files here)"


def _common_folder(paths: list[str]) -> str:
    low, high = min(paths), max(paths)
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), 0)
    return low[: low.rfind("/", 0, same) + 1] if same else ""
