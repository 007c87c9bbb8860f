"""Executions that ask their own caller: suspended until the answers are handed in.

A call of a tool whose code asks the calling agent cannot wait for the answer, since the agent
waits for the call. So the call returns with the questions while its work goes on in a task of
its own, and what the work comes to is the reply of the call that hands in the last answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine, Mapping
from dataclasses import replace
from typing import Any

from ..errors import BadRequestError
from ..lm import Question, Questions
from ..space import Spaces
from ._asking_call import AskingCall
from ._questions_text import QuestionsText
from ._reply import Reply

STATE_SECONDS = 10.0
"""How long a call that hands in nothing waits for code that runs: short enough for clients that
give a call a minute, long enough to spare most of a second call (a guess)."""
UNREAD_CHARS = 300
REFUSED_SHOWN = 10


class Suspended:
    """The calls of one server that wait for answers, or did and are over, by their space.

    Args:
        spaces: all spaces.
        default: the space that calls are for which name none.
        hint: said once, with the first questions.
    """

    def __init__(self, spaces: Spaces, default: str, hint: str) -> None:
        self._ids = itertools.count(1)
        self._spaces = spaces
        self._default = default
        self._hint = hint
        self._calls: dict[str, AskingCall] = {}
        self._running: set[AskingCall] = set()

    def questions(self) -> Questions:
        """Takes the questions of one call; their ids are unique in this server."""
        return Questions(self._ids)

    async def run(
        self,
        handle: str,
        questions: Questions,
        stop: asyncio.Event,
        work: Coroutine[Any, Any, Reply],
        max_chars: int,
    ) -> Reply:
        """Carry out a call of a tool until it is over or asks its caller.

        Args:
            handle: of the space.
            questions: those that it asks.
            stop: ends the work in order when it is set.
            work: carries out the call and raises nothing; cancelled with this.
            max_chars: of a reply that lists questions.

        Raises:
            BadRequestError: the space waits for answers already.
        """
        before = self._calls.get(handle)
        if before is not None and before.waits:
            work.close()
            raise BadRequestError(before.refusal())
        if before is not None and before.over:
            del self._calls[handle]
        text = QuestionsText(handle, max_chars, named=handle != self._default)
        asking = AskingCall(handle, questions, stop, work, self._spaces, text)
        self._running.add(asking)
        asking.when_over(lambda: self._running.discard(asking))
        try:
            await asking.rest()
        except BaseException:
            await asking.kill()
            raise
        other = self._calls.get(handle)
        if not asking.over and other is not None and not other.over:
            # Not of the same interpreter: a recursive run works on a fork of the space.
            await asking.end()
            raise BadRequestError(
                f"another call in space `{handle}` asks you too, so this one was stopped: see "
                f"{other.text.state}, and call again when it is over"
            )
        reply = asking.reply()
        # It may have come to its end while this call waited for its turn.
        if before is not None and before.over:
            if self._calls.get(handle) is before:
                del self._calls[handle]
            if not before.read:
                ended = before.reply().text[:UNREAD_CHARS]
                told = f"note: what waited for answers before this ended, unread: {ended}\n\n"
                reply = replace(reply, text=told + reply.text)
        if not asking.over:
            self._calls[handle] = asking
            reply = replace(reply, text=reply.text + self._hint)
            self._hint = ""
        return reply

    async def answer(self, handle: str, answers: Mapping[str, object], cancel: bool) -> Reply:
        """Hand in answers.

        Args:
            handle: of the space.
            answers: by the ids of the questions; none asks for the state.
            cancel: end the work instead.

        Returns:
            What the work came to, or the questions that are open.

        Raises:
            BadRequestError: nothing waits for answers there.
        """
        asking = self._calls.get(handle)
        if asking is None:
            raise BadRequestError(self._nothing(handle, answers))
        if cancel and not asking.over:
            await asking.end()
            return replace(asking.reply(), failed=False)
        taken, refused = [], {}
        for name, value in answers.items():
            try:
                await asking.questions.answer(name, value)
                taken.append(name)
            except BadRequestError as error:
                refused[name] = self._elsewhere(asking, name) or str(error)
        note = _refused_text(refused)
        all_answered = not asking.questions.open
        if all_answered:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if taken else STATE_SECONDS):
                    await asking.rest()
        if asking.over:
            reply = asking.reply()
            return replace(reply, text=note + reply.text)
        if not asking.questions.open:
            text = f"{note}all is answered and the code runs; ask again with {asking.text.state}"
            return Reply(text, bool(refused))
        return asking.text.reply(
            asking.questions.open,
            taken=taken,
            note=note,
            failed=bool(refused),
            again=not answers,
            anew=all_answered,
        )

    def open(self, handle: str) -> list[Question]:
        """The questions that wait for answers in a space."""
        asking = self._calls.get(handle)
        return asking.questions.open if asking is not None else []

    async def close(self) -> None:
        """End all that waits; may be called twice."""
        for asking in list(self._running):
            await asking.kill()
        self._running.clear()

    def _nothing(self, handle: str, answers: Mapping[str, object]) -> str:
        waiting = [call for call in self._calls.values() if call.waits]
        for call in waiting:
            names = {question.id for question in call.questions.open}
            if names & answers.keys():
                return f'these are questions of another space: pass space="{call.handle}"'
        where = "; ".join(f'space="{call.handle}" {call.brief()}' for call in waiting[:10])
        return f"nothing in space `{handle}` waits for answers, so none was taken. " + (
            f"Elsewhere: {where}" if where else "If its code was lost, run it again"
        )

    def _elsewhere(self, asking: AskingCall, name: str) -> str | None:
        for call in self._calls.values():
            if call is not asking and any(name == question.id for question in call.questions.open):
                return f'it is a question of another space: pass space="{call.handle}"'
        return None


def _refused_text(refused: Mapping[str, str]) -> str:
    shown = list(refused.items())[:REFUSED_SHOWN]
    lines = [f"not taken: {name[:40]}: {why[:500]}" for name, why in shown]
    if len(refused) > REFUSED_SHOWN:
        lines.append(f"and {len(refused) - REFUSED_SHOWN} more were not taken")
    return "".join(f"{line}\n" for line in lines)
