"""What a prompt is made of: text, and images or documents that travel beside it."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

from ._json_form import SaveError, framed, is_frame, json_text
from ._view import is_view

MAX_CONTEXT_CHARS = 20_000_000  # the host refuses more than this in bytes; say it before sending
MAX_ATTACHED_BYTES = 30_000_000
"""Of all attachments of a prompt; the host refuses more. Providers take less, mostly 20 MB."""
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
_BYTES = bytes | bytearray | memoryview

Composed = dict[str, Any]
"""The fields `prompt` and, where there are any, `attachments` of a request."""


def compose(prompt: Any, context: Any = None, name: str = "prompt") -> Composed:
    """Make the fields of a request.

    Args:
        prompt: text, or a list of texts and of bytes that hold an image or a PDF.
        context: put below the prompt: text as it is, bytes as an attachment, tables as CSV, others
            as JSON.
        name: of the prompt, for errors.

    Raises:
        TypeError: something is neither text nor an image or PDF.
        ValueError: something is too large to be sent.
    """
    if isinstance(prompt, str):
        parts: list[Any] = [prompt]
    elif isinstance(prompt, list | tuple) and any(not isinstance(part, str) for part in prompt):
        parts = list(prompt)
    else:
        listed = isinstance(prompt, list | tuple)
        hint = "; for several prompts use sub_llm_map" if listed and name == "prompt" else ""
        raise TypeError(f"{name} must be a str, not {type(prompt).__name__}{hint}")
    if isinstance(context, _BYTES):
        parts.append(context)
    elif isinstance(context, list | tuple) and context and all(
        isinstance(item, _BYTES) for item in context
    ):  # fmt: skip
        parts += context
    elif context is not None:
        parts.append(f"<context>\n{text_of(context)}\n</context>")
    return join(parts, name)


def join(parts: Sequence[Any], name: str = "prompt", between: str = "\n\n") -> Composed:
    """Make the fields of a request from parts: texts, and bytes that hold an image or a PDF."""
    number = sum(not isinstance(part, str) for part in parts)
    texts: list[str] = []
    attached: list[dict[str, str]] = []
    room = MAX_ATTACHED_BYTES
    for index, part in enumerate(parts):
        if isinstance(part, str):
            texts.append(part)
            continue
        if not isinstance(part, _BYTES):
            raise TypeError(
                f"part {index} of {name} must be a str, or the bytes of an image or PDF, not "
                f"{type(part).__name__}"
            )
        data = bytes(part)
        mime = mime_of(data)
        if mime is None:
            raise TypeError(
                f"part {index} of {name} is bytes that begin with {data[:8]!r}: neither PNG, JPEG, "
                "GIF, WebP nor PDF; if it is text, decode it first: data.decode()"
            )
        room -= len(data)
        if room < 0:
            raise ValueError(
                f"the images and documents of {name} have over {MAX_ATTACHED_BYTES:,} bytes: send "
                "fewer, or smaller ones, in one call"
            )
        attached.append({"mime": mime, "data": base64.b64encode(data).decode()})
        if number > 1:
            texts.append(f"[attachment {len(attached)}]")  # so that the text can speak of it
    composed: Composed = {"prompt": between.join(texts)}
    if attached:
        composed["attachments"] = attached
    return composed


def is_attachment(value: Any) -> bool:
    """Whether a value is bytes that can be attached to a prompt."""
    return isinstance(value, _BYTES) and mime_of(bytes(value[:16])) is not None


def mime_of(data: bytes) -> str | None:
    """The media type of an image or document, by its first bytes."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((mime for magic, mime in _MAGIC if data.startswith(magic)), None)


def text_of(context: Any) -> str:
    """A value as it stands in a prompt: whole, where `str` would leave out the middle of a table.

    Raises:
        TypeError: it is bytes, whose encoding nobody knows.
        ValueError: it is too long for one call.
    """
    if is_view(context) and context.size <= 4 * MAX_CONTEXT_CHARS:
        context = context.to_str()
    elif is_view(context):
        raise ValueError(
            f"context is a view of {context.size:,} bytes; at most {MAX_CONTEXT_CHARS:,} "
            "characters fit in one call: pass slices of it"
        )
    if isinstance(context, str):
        text = context
    elif isinstance(context, _BYTES):
        raise TypeError("context is bytes; decode it first: context.decode()")
    elif isinstance(context, Iterator):
        raise TypeError(
            f"context is a {type(context).__name__}, which can be read once only: pass list(...) "
            "of it"
        )
    elif is_frame(context):
        text = framed(context).to_csv(index=False).rstrip("\n")
    else:
        try:
            text = json_text(context, indent=1)
        except SaveError:
            text = str(context)
    if len(text) > MAX_CONTEXT_CHARS:
        raise ValueError(
            f"context has {len(text):,} characters; at most {MAX_CONTEXT_CHARS:,} fit in one "
            "call: split it and use sub_llm_map"
        )
    return text
