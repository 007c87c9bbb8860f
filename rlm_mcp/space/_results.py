"""What a guest handed in, as values: every field is checked, since it may be an attacker's."""

from __future__ import annotations

import base64
import contextlib
from typing import Any

from ..sandbox import LostError, text_of
from ._values import Change, Execution, Variable

MAX_IMAGES, MAX_IMAGE_BYTES = 4, 1 << 20
KEPT = 40_000
"""Characters of any text from a guest; replies are shorter."""
_LOST = {
    "timeout": "the code did not stop at its deadline and was ended. Work in smaller steps, or "
    "raise timeout_s",
    "cancelled": "the code did not stop when it was cancelled and was ended",
    "stack": "the stack was exhausted. Recurse less deeply, or use a loop",
    "broken": "the code broke the interpreter's own loop. Leave builtins and sys.modules as they "
    "are",
    "unusable": "the code left no memory, or broke what later executions need",
    "died": "the sandbox process died. If that happens again, work on less at a time",
}


def why_lost(error: LostError) -> str:
    """Why nothing of a turn remains, in words for the calling agent."""
    if error.cause.startswith("exit "):
        return f"the code ended the interpreter ({error.cause}). Let it run to its end instead"
    if error.cause.startswith("trap"):
        return f"the interpreter crashed ({error.cause}). Work on less at a time"
    return _LOST.get(error.cause, error.cause)


def label_of(code: str) -> str:
    """The first line that says what code does, for the history."""
    lines = [line.strip() for line in code.splitlines() if line.strip()]
    telling = (line for line in lines if not line.startswith(("import ", "from ", "#", "@")))
    label = next(telling, lines[0] if lines else "")[:100]
    return label.encode("utf-8", "replace").decode()


def execution_of(
    result: dict[str, Any], number: int, seconds: float, notes: tuple[str, ...]
) -> Execution:
    """What the guest handed in, with every field checked: it may be an attacker's."""
    if "refused" in result:
        error = text_of(result["refused"], KEPT) or "the code broke its own result"
        return Execution(number, seconds, error=error, notes=notes)

    def text(key: str) -> str:
        return text_of(result.get(key), KEPT)

    found = result.get("changes")
    changes = []
    for entry in found[:1000] if isinstance(found, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("name"), str):
            kind, brief = text_of(entry.get("kind"), 20), text_of(entry.get("brief"), 1000)
            changes.append(Change(entry["name"][:200], kind, brief))
    total = result.get("total")
    return Execution(
        number=number,
        seconds=seconds,
        output=text("output"),
        tail=text("tail"),
        total=total if type(total) is int and 0 <= total < 1 << 62 else 0,
        value=text("value") if isinstance(result.get("value"), str) else None,
        error=text("error") or None,
        stopped="cancelled" if result.get("stopped") is True else None,
        changes=tuple(changes),
        notes=(*notes, *texts_of(result.get("notes"))),
        images=images_of(result.get("images")),
    )


def images_of(found: object) -> tuple[bytes, ...]:
    """Images that a guest shows: few, bounded, and PNG by their beginning."""
    images = []
    for text in found[:MAX_IMAGES] if isinstance(found, list) else ():
        if isinstance(text, str) and len(text) <= MAX_IMAGE_BYTES * 4 // 3 + 4:
            with contextlib.suppress(ValueError):
                data = base64.b64decode(text, validate=True)
                if data.startswith(b"\x89PNG\r\n\x1a\n"):
                    images.append(data)
    return tuple(images)


def texts_of(found: object) -> list[str]:
    """A short list of texts, such as notes."""
    return [text_of(text, 500) for text in found[:20]] if isinstance(found, list) else []


def variables_of(found: object, limit: int) -> list[Variable]:
    """A list of variables."""
    return [
        Variable(text_of(entry.get("name"), 200), text_of(entry.get("brief"), 1000))
        for entry in (found[:limit] if isinstance(found, list) else ())
        if isinstance(entry, dict)
    ]
