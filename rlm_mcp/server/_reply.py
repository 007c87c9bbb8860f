"""What a tool replies."""

from __future__ import annotations

from dataclasses import dataclass

from ..lm import Attachment


@dataclass(frozen=True)
class Reply:
    """A reply to a call of a tool.

    Args:
        text: for the calling agent.
        failed: whether it is an error.
        images: shown after the text.
    """

    text: str
    failed: bool = False
    images: tuple[Attachment, ...] = ()


Replied = str | tuple[str, bool] | Reply
"""What a handler may return: a text, a text and whether it is an error, or all of a reply."""


def reply_of(replied: Replied) -> Reply:
    """What a handler returned, in full."""
    if isinstance(replied, Reply):
        return replied
    return Reply(*replied) if isinstance(replied, tuple) else Reply(replied)
