"""An event loop without sockets: what it waits for are sub-LLM calls, and time.

`asyncio` makes its loops through a policy, which is replaced here, so `asyncio.run` and all that
rests on it work. A loop is plain memory: it survives commits, forks and restarts.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
from collections.abc import Callable, Coroutine
from types import FunctionType
from typing import Any

from ._in_flight import Calls

_BaseLoop: Any = asyncio.BaseEventLoop
_FAR_S = 86_400.0

asynchronous: dict[Any, Callable[..., Any]] = {}
"""Functions that block, each with the one that does the same and can be awaited."""


class DeadlockError(RuntimeError):
    """Every task waits for something that no task is left to do."""


class _Selector:
    """What the loop waits with."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def select(self, timeout: float | None) -> tuple[()]:
        """Wait for the next answer, or the next timer."""
        if self._calls.any:
            self._calls.wait(timeout)
        elif timeout is None:
            raise DeadlockError(
                "all tasks wait, and nothing is left that could wake one: there are no threads "
                "here, so only other tasks, timers and sub-LLM calls can"
            )
        elif timeout > 0:
            time.sleep(min(timeout, _FAR_S))
        return ()


class EventLoop(_BaseLoop):  # type: ignore[misc]
    """The event loop of this sandbox."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = Calls()
        self._selector = _Selector(self.calls)

    def run_in_executor(self, _executor: object, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Call a function at once: there are no threads. `sub_llm` does not block even so."""
        self._check_closed()
        if (same := _asynchronous(func, args)) is not None:
            return asyncio.ensure_future(same, loop=self)
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report what nobody waited for, but for what stopped the code: that is told anyway."""
        if not isinstance(context.get("exception"), KeyboardInterrupt):
            super().call_exception_handler(context)

    def close(self) -> None:
        """End the loop, and on the server the calls that it still waits for."""
        if not self.is_running() and not self.is_closed():
            self.calls.close()
        super().close()

    def _process_events(self, _events: object) -> None:
        """Do nothing: the selector has handed out what came."""

    def _write_to_self(self) -> None:
        """Do nothing: no other thread could be waiting."""


def _asynchronous(func: Any, args: tuple[Any, ...]) -> Coroutine[Any, Any, Any] | None:
    """What can be awaited in place of a call that would block, if there is such a thing."""
    words: dict[str, Any] = {}
    while True:
        if isinstance(func, functools.partial):
            func, args, words = func.func, (*func.args, *args), {**func.keywords, **words}
        elif isinstance(getattr(func, "__self__", None), contextvars.Context) and args:
            func, args = args[0], args[1:]  # as asyncio.to_thread has it called
        else:
            break
    same = asynchronous.get(func) if isinstance(func, FunctionType) else None
    return same(*args, **words) if same is not None else None


def _refusing(name: str, why: str) -> Callable[..., Any]:
    def refuse(*_args: Any, **_keywords: Any) -> Any:
        raise NotImplementedError(f"{name}: {why}")

    return refuse


_NETWORK = "the sandbox has no network; load_variable brings data in"
_REFUSED = {
    **dict.fromkeys(
        (
            "create_connection", "create_server", "create_datagram_endpoint", "getaddrinfo",
            "create_unix_connection", "create_unix_server", "getnameinfo", "sock_connect",
            "sock_recv", "sock_sendall", "sock_accept", "start_tls", "connect_accepted_socket",
            "add_reader", "add_writer",
        ),
        _NETWORK,
    ),
    **dict.fromkeys(("connect_read_pipe", "connect_write_pipe"), "the sandbox has no pipes"),
    **dict.fromkeys(("subprocess_exec", "subprocess_shell"), "the sandbox runs no programs"),
    "add_signal_handler": "the sandbox has no signals",
}  # fmt: skip
for _name, _why in _REFUSED.items():
    setattr(EventLoop, _name, _refusing(_name, _why))


class _Policy:
    """Makes and keeps loops, as asyncio asks its policy to."""

    def __init__(self) -> None:
        self._chosen: Any = None
        self._standing: EventLoop | None = None

    def new_event_loop(self) -> EventLoop:
        return EventLoop()

    def set_event_loop(self, loop: Any) -> None:
        self._chosen = loop

    def get_event_loop(self) -> Any:
        chosen = self._chosen
        return self.standing() if chosen is None or chosen.is_closed() else chosen

    def standing(self) -> EventLoop:
        """The loop that executions share, so that locks and queues work from one to the next."""
        loop = self._standing
        if loop is None or loop.is_closed() or loop.is_running():
            loop = self._standing = EventLoop()
        return loop

    def idle(self) -> bool:
        """Whether there is no shared loop, or nothing in it."""
        loop = self._standing
        return loop is None or not (
            asyncio.all_tasks(loop) or loop._ready or loop._scheduled or not loop.calls.untouched
        )

    def take(self) -> EventLoop | None:
        """The shared loop if there is one, which is no longer shared until `give` is called."""
        loop, self._standing = self._standing, None
        return loop

    def give(self, loop: EventLoop) -> None:
        """Share a loop, after it was seen to be whole."""
        self._standing = loop


policy = _Policy()


def install() -> None:
    """Make asyncio use these loops, also after code that set others or was stopped in one."""
    events: Any = asyncio.events
    if events._event_loop_policy is not policy:
        events._event_loop_policy = policy
    if events._get_running_loop() is not None:
        events._set_running_loop(None)
    for name in ("EventLoop", "SelectorEventLoop"):
        if getattr(asyncio, name, None) is not EventLoop:
            setattr(asyncio, name, EventLoop)
