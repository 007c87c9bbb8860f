"""What a root model wrote: its code, or its answer, however it put them.

Read here and not by the server, since text that a model wrote must not be parsed beside secrets,
and since the interpreter that will run the code knows best what is code.
"""

import ast
import re
import textwrap
from typing import Any

MAX_BLOCKS = 10
"""Blocks of one reply that are run; a reply with more was not written to be run (a guess)."""
_CLOSINGS = 5  # closing fences that are tried, where a text in the code has fences of its own
_ENDS = 50  # closing brackets that are tried
_CODE_TAGS = frozenset({"python", "py", "python3", "repl", "ipython", "pycon", "tool_code", "code"})
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([\w+.#-]*)([^`]*)")
_ONE_LINE = re.compile(r"[ \t]*```(?:(?:python3?|py|repl)[ \t]+)?([^`]+)```[ \t]*")
_THOUGHTS = re.compile(r"<(think|thinking|reasoning)>.*?(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_TAGGED = re.compile(r"<(code|python|repl)>(.*?)(?:</\1>|\Z)", re.DOTALL | re.IGNORECASE)
_FINAL = re.compile(r"^[ \t>*`]*(FINAL_VAR|FINAL|SUBMIT)[ \t]*\(", re.MULTILINE)
_PROMPT = re.compile(r"^(?:>>>|\.\.\.|In \[\d+\]:) ?", re.MULTILINE)


def read(text: str) -> dict[str, Any]:
    """Take a reply apart.

    Returns:
        `blocks`: the code to run, in order; `more`: how many blocks were left out;
        `final`: code that submits the answer that was written outside of a block, or None;
        `literal`: whether that answer was written out, and not computed.
    """
    text = _THOUGHTS.sub("", text)
    tagged, plain, prose = _blocks(text)
    # Beside blocks that say they are code, those that say nothing are mostly outputs.
    blocks = tagged or plain
    if not blocks:
        blocks = [found[2] for found in _TAGGED.finditer(prose)]
        prose = _TAGGED.sub("", prose)
    blocks = [code for block in blocks if (code := _cleaned(block)).strip()]
    if not blocks and not _FINAL.match(prose.lstrip()) and _is_code(prose):
        return {"blocks": [prose.strip()], "more": 0, "final": None, "literal": False}
    final, literal = _final(prose)
    return {
        "blocks": blocks[:MAX_BLOCKS],
        "more": max(0, len(blocks) - MAX_BLOCKS),
        "final": final,
        "literal": literal,
    }


def _blocks(text: str) -> tuple[list[str], list[str], str]:
    """The blocks that say they are Python, those that say nothing, and the text around."""
    tagged: list[str] = []
    plain: list[str] = []
    prose: list[str] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        if whole := _ONE_LINE.fullmatch(lines[at]):
            tagged.append(whole[1])
            at += 1
            continue
        opening = _FENCE.fullmatch(lines[at])
        if opening is None:
            prose.append(lines[at])
            at += 1
            continue
        tag = opening[2].lower()
        is_code = tag in _CODE_TAGS
        end = _closing(lines, at, opening[1], is_code or not tag)
        code = "\n".join(lines[at + 1 : end])
        if is_code:
            tagged.append(code)
        elif not tag:
            plain.append(code)
        at = end + 1 if end < len(lines) and _closes(lines[end], opening[1]) else end
    return tagged, plain, "\n".join(prose)


def _closing(lines: list[str], start: int, fence: str, is_code: bool) -> int:
    """The line that closes a block, or where it ends without one."""
    closings: list[int] = []
    stop = len(lines)
    for at in range(start + 1, len(lines)):
        if _closes(lines[at], fence):
            closings.append(at)
            if len(closings) == _CLOSINGS:
                break
        elif not closings and (again := _FENCE.fullmatch(lines[at])) and again[2] in _CODE_TAGS:
            stop = at  # the next block begins: this one was never closed
            break
    if is_code and len(closings) > 1:
        for at in closings:
            if _parses(_cleaned("\n".join(lines[start + 1 : at]))):
                return at
    return closings[0] if closings else stop


def _closes(line: str, fence: str) -> bool:
    stripped = line.strip()
    return len(stripped) >= len(fence) and not stripped.strip(fence[0])


def _cleaned(code: str) -> str:
    """Code without what surrounds it in a document or at a prompt."""
    code = textwrap.dedent(code.expandtabs(4) if code.startswith("\t") else code).strip("\n")
    if _PROMPT.match(code):
        lines = [line for line in code.splitlines() if _PROMPT.match(line)]
        code = "\n".join(_PROMPT.sub("", line) for line in lines)
    return code


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _is_code(text: str) -> bool:
    """Whether a text without a fence is a program: a sentence that parses does nothing."""
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Await))
        or (isinstance(node, ast.stmt) and not isinstance(node, ast.Expr | ast.AnnAssign))
        for node in body
    )


def _final(prose: str) -> tuple[str | None, bool]:
    """Code that submits what `FINAL(...)`, `FINAL_VAR(...)` or `SUBMIT(...)` in a text says."""
    found = None
    for match in _FINAL.finditer(prose):
        found = match  # the last one counts: what comes before may be a plan
    if found is None:
        return None, False
    name, rest = found[1], prose[found.end() :]
    inner, node = _arguments(rest)
    if name == "FINAL_VAR":
        return f"FINAL_VAR({inner.strip().strip(_QUOTES)!r})", False
    if node is None:
        return f"SUBMIT({inner.strip()!r})", True
    names = [item for item in ast.walk(node) if isinstance(item, ast.Name)][1:]
    if not names:
        return f"SUBMIT({inner})", True
    # FINAL(Paris) is an answer in words, FINAL(best_city) a variable that should exist.
    if name == "SUBMIT" or any("_" in item.id for item in names):
        return f"SUBMIT({inner})", False
    return f"try:\n    SUBMIT({inner})\nexcept NameError:\n    SUBMIT({inner.strip()!r})", False


_QUOTES = "\"'` "


def _arguments(rest: str) -> tuple[str, ast.AST | None]:
    """What stands in brackets that were opened, and its syntax tree, or None for plain words."""
    at = -1
    last = -1
    for _ in range(_ENDS):
        at = rest.find(")", at + 1)
        if at < 0:
            break
        last = at
        try:
            return rest[:at], ast.parse(f"f({rest[:at]}\n)", mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
    # Words: to the last bracket that ends a line, else to the end.
    for end in re.finditer(r"\)[ \t*`.]*$", rest, re.MULTILINE):
        last = end.start()
    return (rest[:last] if last >= 0 else rest), None
