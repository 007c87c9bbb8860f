"""The demo's stand-in for a language model: one honest line, from the text of the prompt."""

from __future__ import annotations

import re
from typing import Any

from ..quantities import counted

_HEAD = re.compile(r"^# (?P<path>\S+):(?P<line>\d+) (?P<function>\S+)$", re.MULTILINE)
_SILENT = re.compile(
    r"^(?P<indent>[ \t]*)except\s*:[^\n]*\n\s*(?P<does>(?:pass|continue|return)\b[^\n]*)",
    re.MULTILINE,
)
_DOCSTRING = re.compile(r'"""\s*(.+?)(?:\n\s*\n|""")', re.DOTALL)


def answer_demo(messages: list[dict[str, Any]]) -> str:
    """Answer a question of the demo about the function in its prompt."""
    prompt = str(messages[-1].get("content", ""))
    head = _HEAD.search(prompt)
    if head is None:
        return f"I was given {len(prompt)} characters and no function."
    source = prompt[head.end() :].strip("\n")
    silent = _SILENT.search(source) if "except" in prompt[: head.start()] else None
    if silent is not None:
        return _verdict(head["function"], source, silent)
    return _purpose(head["function"], source)


def _verdict(function: str, source: str, silent: re.Match[str]) -> str:
    guarded = _try_body(source[: silent.start()].splitlines(), silent["indent"])
    what = f"`{guarded[0]}`" if guarded else "its `try` block"
    rest = len(guarded) - 1
    more = f" and {counted(rest, 'more line')}" if rest > 0 else ""
    return (
        f"{function} hides every error of {what}{more}, KeyboardInterrupt included; nobody "
        f"notices, as all it does then is `{silent['does'].strip()}`."
    )


def _try_body(lines: list[str], indent: str) -> list[str]:
    body: list[str] = []
    for line in reversed(lines):
        if line.rstrip() == f"{indent}try:":
            break
        if line.strip() and not line.strip().startswith("#"):
            body.insert(0, line.strip())
    return body


def _purpose(function: str, source: str) -> str:
    lines = source.splitlines()
    found = _DOCSTRING.search("\n".join(lines[:12]))
    if found is not None:
        return f"{function}: {' '.join(found[1].split())[:160]}"
    calls = re.findall(r"\b([A-Za-z_]\w+)\(", "\n".join(lines[1:]))
    used = ", ".join(list(dict.fromkeys(calls))[:4]) or "nothing"
    return f"{function} has no docstring; in its first {len(lines)} lines it calls {used}."
