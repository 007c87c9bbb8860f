"""What happened in a space: as a tree for people, as JSON Lines for programs."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TextIO

import click
from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from ..errors import SourceError
from ..quantities import counted
from ..store import SpanRow, Store
from ..trajectory import (
    TEXTS,
    Node,
    export_line,
    facts_of,
    label_of,
    read_trees,
    spans_of,
    spent_texts,
    title_of,
)

GROUPED = 4
"""Sub-LLM calls of one parent that are shown each; more are shown as their sum."""
_LABEL_CHARS = 80
_WIDTH = 160
"""Of lines that go to a file or a pipe."""
_STYLES = {
    "ok": "green", "failed": "red", "lost": "red", "timeout": "red",
    "cancelled": "yellow", "interrupted": "yellow", "running": "cyan",
}  # fmt: skip


def print_trees(store: Store, space: str, limit: int, *, full: bool) -> None:
    """Print the newest calls of a space, each with its parts below it.

    Args:
        store: that has the space.
        space: its handle.
        limit: how many calls.
        full: with all texts, and each sub-LLM call by itself.
    """
    with contextlib.closing(store.spans()) as table:
        tops, total = read_trees(store, table, space, limit, texts=full)
    if not tops:
        click.echo(f"Nothing is recorded of space {space} (RLM_MCP_RECORD says what is).")
        return
    shown = f"the last {limit} of {total:,} calls" if total > limit else counted(total, "call")
    row = store.space(space)
    origin = f", fork of {_printable(row.origin)}" if row is not None and row.origin else ""
    root = Tree(Text(f"space {space}: {shown}{origin}", style="bold"), guide_style="dim")
    outer, branch = "", root
    for top in tops:
        if top.outer is None:
            _add(root, top, full=full)
            continue
        if top.outer.id != outer:
            outer, branch = top.outer.id, root.add(_outer_line(top.outer))
        _add(branch, top, full=full)
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, soft_wrap=True, width=_WIDTH)
    console.print(root)
    if total > limit:
        click.echo(f"(--limit {total} shows all)")


def _add(branch: Tree, node: Node, *, full: bool) -> None:
    below = branch.add(_line(node))
    if full:
        for name in TEXTS:
            if text := node.span.detail.get(name):
                below.add(Text(f"{name}: ", style="dim").append(_printable(str(text))))
    calls = [part for part in node.parts if part.span.kind == "sub_llm"]
    grouped = not full and len(calls) > GROUPED
    told = False
    for part in node.parts:
        if not grouped or part.span.kind != "sub_llm":
            _add(below, part, full=full)
        elif not told:
            told = True
            below.add(_sum(calls))


def _outer_line(span: SpanRow) -> Text:
    """What happened in another space, and had its parts here."""
    line = Text(f"part of {_one_line(span.kind)} in space {_printable(span.space)}", style="dim")
    if label := label_of(span):
        line.append("  " + _one_line(label), style="italic")
    return line


def _line(node: Node) -> Text:
    span = node.span
    moment = time.strftime("%m-%d %H:%M:%S", time.localtime(span.started))
    line = Text(f"{moment} ", style="dim")
    line.append(f"{_one_line(title_of(span))} ", style="bold")
    line.append(span.status, style=_STYLES.get(span.status, "red"))
    line.append(" " + ", ".join(_one_line(fact) for fact in facts_of(span)))
    if label := label_of(span):
        line.append("  " + _one_line(label), style="italic")
    return line


def _sum(calls: Sequence[Node]) -> Text:
    """Many sub-LLM calls in one line."""
    counts = Counter(
        "cached" if node.span.detail.get("cached") else node.span.status for node in calls
    )
    states = ", ".join(f"{count:,} {state}" for state, count in counts.most_common())
    details = [node.span.detail for node in calls]
    usd: float | None = 0.0
    for detail, node in zip(details, calls, strict=True):
        if "usd" not in detail and node.span.status == "ok":
            usd = None
        elif usd is not None:
            usd += detail.get("usd", 0.0)
    read = sum(detail.get("input_tokens", 0) for detail in details)
    written = sum(detail.get("output_tokens", 0) for detail in details)
    line = Text(f"{len(calls):,} sub_llm calls", style="bold")
    line.append(": " + ", ".join([states, *spent_texts(read, written, usd)]))
    kinds = Counter(d["error_kind"] for d in details if isinstance(d.get("error_kind"), str))
    if kinds:
        told = ", ".join(f"{count:,} {_one_line(kind)}" for kind, count in kinds.most_common(3))
        line.append(f" ({told})", style="red")
    return line


def _one_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return _printable(line if len(line) <= _LABEL_CHARS else line[: _LABEL_CHARS - 3] + "...")


def _printable(text: str) -> str:
    """Text that cannot move the cursor or turn lines around: it may be from an attacker."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in text)


def write_lines(store: Store, space: str, out: str | None) -> None:
    """Write the spans of a space, one in a line, a parent before its parts.

    Args:
        store: that has the space.
        space: its handle.
        out: a file that does not exist yet; standard output if left out.

    Raises:
        SourceError: the file cannot be written.
    """
    with contextlib.closing(store.spans()) as table:
        trees, _ = table.trees(space)
        lines = (export_line(s) for tree in trees for s in spans_of(store, table, space, tree))
        if out is None:
            _write(lines, sys.stdout)
            return
        try:
            # It holds what the store holds, so nobody else may read it either.
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="ascii") as file:
                count = _write(lines, file)
        except FileExistsError:
            raise SourceError(f"{out} exists already; name another file") from None
        except OSError as error:
            raise SourceError(f"{out} cannot be written ({error.strerror})") from error
    click.echo(f"{counted(count, 'span')} of space {space} in {out}")


def _write(lines: Iterable[str], file: TextIO) -> int:
    count = 0
    for count, line in enumerate(lines, 1):  # noqa: B007 - it is the result
        file.write(line + "\n")
    return count
