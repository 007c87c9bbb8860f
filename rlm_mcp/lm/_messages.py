"""A prompt as the messages of a chat, and as one text for what takes only that."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from ._types import Attachment, Prompt, Turn


def messages_of(prompt: Prompt, text: str, after: Sequence[Turn]) -> list[dict[str, Any]]:
    """Return the messages of OpenAI's chat protocol, which litellm translates.

    Args:
        prompt: what is asked.
        text: instead of the prompt's own, with what a schema adds to it.
        after: what was said since.
    """
    messages: list[dict[str, Any]] = []
    if prompt.system is not None:
        messages.append({"role": "system", "content": prompt.system})
    messages += [{"role": turn.role, "content": turn.text} for turn in prompt.history]
    content: Any = text
    if prompt.attachments:
        parts = [_part(number, found) for number, found in enumerate(prompt.attachments, 1)]
        content = [{"type": "text", "text": text}, *parts]
    messages.append({"role": "user", "content": content})
    messages += [{"role": turn.role, "content": turn.text} for turn in after]
    return messages


def _part(number: int, attachment: Attachment) -> dict[str, Any]:
    url = f"data:{attachment.mime};base64,{base64.b64encode(attachment.data).decode()}"
    if attachment.mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    suffix = attachment.mime.rpartition("/")[2]
    return {"type": "file", "file": {"filename": f"attachment-{number}.{suffix}", "file_data": url}}


def transcript_of(prompt: Prompt, text: str, after: Sequence[Turn]) -> str:
    """Return a conversation as one text; without earlier turns it is the question alone."""
    if not prompt.history and not after:
        return text
    turns = [*prompt.history, Turn("user", text), *after]
    said = "\n\n".join(f"<{turn.role}>\n{turn.text}\n</{turn.role}>" for turn in turns)
    return f"{said}\n\nGive the assistant's next reply, and only its text."
