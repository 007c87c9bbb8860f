"""One call of a tool whose work may ask the calling agent, and so has to outlive its request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from ..lm import Questions
from ..quantities import counted
from ..space import Spaces
from ._questions_text import QuestionsText, names_text
from ._reply import Reply

CANCEL_SECONDS = 10.0
"""Until work that was asked to stop is ended; a space stops its code within a few seconds."""


class AskingCall:
    """One call of a tool, whose work may ask the caller.

    Args:
        handle: of the space that it works in.
        questions: those that it asks.
        stop: ends the work in order when it is set.
        work: carries out the call; raises nothing.
        spaces: all spaces.
        text: shows the questions.
    """

    def __init__(
        self,
        handle: str,
        questions: Questions,
        stop: asyncio.Event,
        work: Coroutine[Any, Any, Reply],
        spaces: Spaces,
        text: QuestionsText,
    ) -> None:
        self.handle = handle
        self.questions = questions
        self.text = text
        self.read = False
        """Whether somebody was given what it came to."""
        self._stop = stop
        self._spaces = spaces
        self._round = -1
        self._turned = asyncio.Event()
        self._work = asyncio.ensure_future(work)
        self._following = asyncio.create_task(self._follow())

    @property
    def waits(self) -> bool:
        """Whether it waits for answers."""
        return self._round == self.questions.round and bool(self.questions.open)

    @property
    def over(self) -> bool:
        """Whether it has come to its end."""
        return self._work.done()

    async def rest(self) -> None:
        """Wait until it waits for answers, or is over."""
        while not (self.waits or self.over):
            await self._turned.wait()

    def reply(self) -> Reply:
        """What the work came to, or the questions that it waits for."""
        if not self.over:
            return self.text.reply(self.questions.open)
        self.read = True
        if self._work.cancelled():
            return Reply("the execution was ended; its space is at its last commit", True)
        return self._work.result()

    def when_over(self, do: Callable[[], None]) -> None:
        """Have something done when it is over."""
        self._work.add_done_callback(lambda _: do())

    async def end(self) -> None:
        """Stop the work in order, or else end it."""
        self._stop.set()
        await asyncio.wait([self._work], timeout=CANCEL_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End the work."""
        self._work.cancel()
        await asyncio.wait([self._work, self._following])

    def brief(self) -> str:
        """What it waits for."""
        count = len(self.questions.open)
        return f"waits for {counted(count, 'answer')}"

    def refusal(self) -> str:
        """What is told to a caller that wants something else of the space."""
        names = [question.id for question in self.questions.open]
        return (
            f"space `{self.handle}` is suspended: its code waits for answers to "
            f"{names_text(names)}. Give them with {self.text.call(names)}, end the code with "
            f'{self.text.give_up}, or work in a copy: spaces(action="fork", space="{self.handle}")'
        )

    async def _follow(self) -> None:
        """Keep the space's state in step with the questions."""
        while not self.over:
            await self._until(self.questions.settled())
            if self.over:
                break
            self._round = self.questions.round
            space = self._spaces.find(self.handle)
            if space is not None:
                space.suspend(self)
            self._turn()
            try:
                await self._until(self.questions.none_left(self._round))
            finally:
                if space is not None:
                    space.resume()
        self._turn()

    async def _until(self, moment: Coroutine[Any, Any, None]) -> None:
        waiting = asyncio.ensure_future(moment)
        try:
            await asyncio.wait({waiting, self._work}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _turn(self) -> None:
        self._turned.set()
        self._turned = asyncio.Event()
