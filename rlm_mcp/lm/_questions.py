"""Questions to the calling agent, which wait until somebody hands the answers in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from ..errors import BadRequestError, SubLLMError
from ._choose import AGENT
from ._schema import SchemaMismatchError, UnusableSchemaError, read_data
from ._types import Answer, Prompt, Request

MAX_ANSWER_CHARS = 1_000_000
"""Of one answer; models write a few thousand tokens, so more is a mistake."""
MAX_IMAGE_BYTES = 5_000_000
"""Of one image: more is refused by the clients and models known."""
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
SETTLE_SECONDS = 0.05
"""After the last question of a batch: its calls come here one after the other, each maybe after a
look at the disk (a guess)."""
SETTLE_RUNNING_SECONDS = 1.0
"""The same while code still runs, which may be preparing the next question (a guess)."""


@dataclass(eq=False)
class Question:
    """A question that waits for its answer.

    Args:
        id: names it for the one who answers.
        key: the same for identical questions.
        request: what is asked.
        answered: becomes its answer, or why its schema can never be met.
        asking: how many calls wait for it.
    """

    id: str
    key: object
    request: Request
    answered: asyncio.Future[Answer | UnusableSchemaError]
    asking: int = 0

    @property
    def text(self) -> str:
        """The question as it is read, with what was said before it."""
        return _text_of(self.request.prompt)


class Questions:
    """The open questions of one call of a tool.

    Args:
        ids: gives the numbers of the questions, so that no two of a server have the same.
    """

    def __init__(self, ids: Iterator[int] | None = None) -> None:
        self.round = 0
        """How often the last open question was answered or withdrawn."""
        self._ids = itertools.count(1) if ids is None else ids
        self._open: dict[str, Question] = {}
        self._same: dict[object, Question] = {}
        self._past: dict[str, str] = {}
        self._guests_waiting = 0
        self._asked_at = 0.0
        self._stirred = asyncio.Event()

    @property
    def open(self) -> list[Question]:
        """The questions without an answer, the oldest first."""
        return list(self._open.values())

    async def ask(self, request: Request) -> Answer:
        """Ask and wait for the answer; identical questions that are open are asked once.

        Cancelling it withdraws the question.

        Raises:
            SubLLMError: it holds what cannot be shown, or its schema cannot be checked.
        """
        _check_attachments(request.prompt)
        # Who asks for a fresh answer may want several to the same question.
        key = object() if request.fresh else _key(request)
        question = self._same.get(key) or self._add(key, request)
        question.asking += 1
        try:
            found = await asyncio.shield(question.answered)
        finally:
            question.asking -= 1
            if not question.asking and not question.answered.done():
                question.answered.cancel()
                self._remove(question, "is no longer asked")
        if isinstance(found, UnusableSchemaError):
            raise SubLLMError(str(found), kind="schema", model=AGENT)
        return found

    async def answer(self, name: str, value: object) -> None:
        """Hand in the answer to a question: text, or any JSON value.

        Raises:
            BadRequestError: there is no such question, or the answer does not fit.
        """
        question = self._find(name)
        schema = question.request.schema
        text = _answer_text(value, with_schema=schema is not None)
        found: Answer | UnusableSchemaError
        if schema is None:
            found = Answer(text, None, AGENT, usd=0.0)
        else:
            try:
                data = await to_thread.run_sync(_read, value, text, schema)
            except SchemaMismatchError as error:
                raise BadRequestError(f"the answer does not fit the schema: {error}") from None
            except UnusableSchemaError as error:
                found = error
            else:
                found = Answer(text, data, AGENT, usd=0.0)
            # Somebody else may have answered meanwhile.
            question = self._find(name)
        question.answered.set_result(found)
        self._remove(question, "is answered already")

    def past(self, name: str) -> str | None:
        """What became of a question that is not open, or `None` if it never was."""
        return self._past.get(name)

    @contextlib.contextmanager
    def asked_here(self) -> Iterator[None]:
        """Take what `AgentModel` is asked in the block, and in tasks that are begun there."""
        token = ASKED.set(self)
        try:
            yield
        finally:
            ASKED.reset(token)

    @contextlib.contextmanager
    def guest_waiting(self) -> Iterator[None]:
        """Say that guest code waits for answers during the block."""
        self._guests_waiting += 1
        self._stir()
        try:
            yield
        finally:
            self._guests_waiting -= 1

    async def settled(self) -> None:
        """Wait until there are open questions, and those that are asked along with them."""
        while True:
            stirred, left = self._stirred, self._until_settled()
            if left is not None and left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await stirred.wait()

    async def none_left(self, round: int) -> None:
        """Wait until the questions of a round are answered or withdrawn."""
        while self.round == round:
            await self._stirred.wait()

    def _until_settled(self) -> float | None:
        if not self._open:
            return None
        quiet = SETTLE_SECONDS if self._guests_waiting else SETTLE_RUNNING_SECONDS
        return self._asked_at + quiet - time.monotonic()

    def _add(self, key: object, request: Request) -> Question:
        future = asyncio.get_running_loop().create_future()
        question = Question(f"q{next(self._ids)}", key, request, future)
        self._open[question.id] = self._same[key] = question
        self._asked_at = time.monotonic()
        self._stir()
        return question

    def _find(self, name: str) -> Question:
        question = self._open.get(name)
        if question is None:
            raise BadRequestError(self._past.get(name, "there is no such question"))
        return question

    def _remove(self, question: Question, why: str) -> None:
        del self._open[question.id]
        del self._same[question.key]
        self._past[question.id] = why
        if not self._open:
            self.round += 1
        self._stir()

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = asyncio.Event()


ASKED: ContextVar[Questions] = ContextVar("ASKED")
"""Takes what `AgentModel` is asked."""


def _key(request: Request) -> object:
    schema = None if request.schema is None else json.dumps(request.schema, sort_keys=True)
    return request.prompt, schema, request.max_tokens


def _text_of(prompt: Prompt) -> str:
    if not prompt.system and not prompt.history:
        return prompt.text
    parts = [("instructions", prompt.system)] if prompt.system else []
    parts += [(turn.role, turn.text) for turn in prompt.history]
    return "\n\n".join(f"[{who}]\n{text}" for who, text in (*parts, ("user", prompt.text)))


def _check_attachments(prompt: Prompt) -> None:
    for attachment in prompt.attachments:
        if attachment.mime not in IMAGES:
            known = ", ".join(sorted(IMAGES))
            raise SubLLMError(
                f"the calling agent cannot be shown {attachment.mime[:80]}, only {known}: send "
                "its text instead, or name a model that reads it",
                kind="refused",
                model=AGENT,
            )
        if len(attachment.data) > MAX_IMAGE_BYTES:
            raise SubLLMError(
                f"an image has {len(attachment.data):,} bytes; the calling agent can be shown at "
                f"most {MAX_IMAGE_BYTES:,}: make it smaller",
                kind="refused",
                model=AGENT,
            )


def _answer_text(value: object, *, with_schema: bool) -> str:
    if isinstance(value, str):
        text = value
    elif value is None and not with_schema:
        text = ""
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError, RecursionError):
            raise BadRequestError("the answer is not JSON") from None
    if not text.strip():
        raise BadRequestError("the answer is empty; if there is none, say so in words")
    if len(text) > MAX_ANSWER_CHARS:
        raise BadRequestError(
            f"the answer has {len(text):,} characters; at most {MAX_ANSWER_CHARS:,}"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadRequestError("the answer holds half of a surrogate pair; leave it out") from None
    return text


def _read(value: object, text: str, schema: dict[str, Any]) -> Any:
    try:
        return read_data(text, schema)
    except SchemaMismatchError as mismatch:
        if not isinstance(value, str):
            raise
        # Where a string is asked for, it may be given as it is and not as JSON.
        try:
            return read_data(json.dumps(value), schema)
        except SchemaMismatchError as error:
            raise (mismatch if text.lstrip()[:1] in "{[" else error) from None
