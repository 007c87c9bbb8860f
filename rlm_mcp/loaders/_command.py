"""Declared commands: programs that the settings name, whose output can be loaded.

Nothing else can be run. What a caller gives takes the place of a placeholder inside one argument,
as it is: there is no shell that could read it otherwise. A value that would stand at the
beginning of an argument must not begin with `-`, unless the settings say that it may.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

from ..errors import BadRequestError, SourceError
from ..helpers._process import ended
from ._bundle import Bundle, Origin, scratch, write_all

PREFIX = "command:"
_PLACE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "USER", "LOGNAME")
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH", re.IGNORECASE)
_SHORTEST_SECRET = 6
_ERROR_BYTES = 8192
_ERROR_SHOWN = 500
_MAX_VALUE = 10_000
_KEYS = {"run", "timeout", "folder", "env", "options", "format"}


@dataclass(frozen=True)
class Command:
    """A program that may be run to be loaded from.

    Args:
        name: in `command:NAME`.
        run: the program and its arguments, with `{parameter}` for what the caller gives.
        timeout: in seconds.
        folder: where it is run; `None` for the first allowed folder.
        env: variables of the server's environment that it is given besides the usual ones.
        options: parameters whose values may begin with `-`.
        format: of its output.
    """

    name: str
    run: tuple[str, ...]
    timeout: float = 60.0
    folder: Path | None = None
    env: tuple[str, ...] = ()
    options: frozenset[str] = field(default_factory=frozenset)
    format: str = "auto"

    @property
    def parameters(self) -> tuple[str, ...]:
        """What the caller has to give."""
        return tuple(dict.fromkeys(name for text in self.run for name in _PLACE.findall(text)))

    def __str__(self) -> str:
        query = "&".join(f"{name}=..." for name in self.parameters)
        return f"{PREFIX}{self.name}" + (f"?{query}" if query else "")


def read_commands(table: object, where: str) -> dict[str, Command]:
    """The commands of a settings file.

    Args:
        table: what stands under `commands`.
        where: the file, for errors.

    Raises:
        BadRequestError: an entry cannot be used.
    """
    if not isinstance(table, Mapping):
        raise BadRequestError(f"{where}: commands are written as tables, [commands.NAME]")
    return {
        name: _read_one(name, entry, f"[commands.{name}] in {where}")
        for name, entry in table.items()
    }


def _read_one(name: str, entry: object, where: str) -> Command:
    def fail(text: str) -> BadRequestError:
        return BadRequestError(f"{where}: {text}")

    if not _NAME.fullmatch(name):
        raise fail("the name may have letters, digits, _ and -")
    if not isinstance(entry, Mapping):
        raise fail("it must be a table")
    if unknown := sorted(entry.keys() - _KEYS):
        raise fail(f"unknown: {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}")
    run = _texts(entry.get("run"))
    if not run or not run[0] or _PLACE.search(run[0]):
        raise fail('`run` must be a list such as ["git", "log", "{path}"], its program fixed')
    timeout = entry.get("timeout", 60)
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 3600:
        raise fail("`timeout` must be seconds, at most 3600")
    folder, format = entry.get("folder"), entry.get("format", "auto")
    if not isinstance(folder, str | None) or not isinstance(format, str):
        raise fail("`folder` and `format` must be text")
    env, options = _texts(entry.get("env", [])), _texts(entry.get("options", []))
    if env is None or options is None:
        raise fail("`env` and `options` must be lists of names")
    command = Command(
        name, run, float(timeout), Path(folder).expanduser().absolute() if folder else None,
        env, frozenset(options), format,
    )  # fmt: skip
    if strange := command.options - set(command.parameters):
        raise fail(f"`options` names no parameter of `run`: {', '.join(sorted(strange))}")
    return command


def _texts(value: object) -> tuple[str, ...] | None:
    if not isinstance(value, list) or not all(
        isinstance(text, str) and "\0" not in text for text in value
    ):
        return None
    return tuple(value)


def arguments_of(source: str, commands: Mapping[str, Command]) -> tuple[Command, list[str]]:
    """The command that a source names, and its arguments.

    Args:
        source: `command:NAME?parameter=value&...`, written as in an address.
        commands: those that there are.

    Raises:
        BadRequestError: there is no such command, or the parameters are not its own.
    """
    name, _, query = source.removeprefix(PREFIX).partition("?")
    command = commands.get(name)
    if command is None:
        known = "; ".join(map(str, commands.values()))
        there = f"There are: {known}." if known else "In the settings none are declared."
        raise BadRequestError(f"There is no command {name[:80]!r}. {there}")
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
    except ValueError:
        raise BadRequestError(f"The parameters cannot be read. Write {command}.") from None
    given = dict(pairs)
    wanted = set(command.parameters)
    if given.keys() != wanted or len(pairs) != len(given):
        wrong = ", ".join(sorted(given.keys() ^ wanted)) or "one is given twice"
        raise BadRequestError(f"Wrong parameters ({wrong[:200]}). Write {command}.")
    for key, value in given.items():
        if len(value) > _MAX_VALUE or "\0" in value:
            raise BadRequestError(f"`{key}` is too long, or has a NUL in it.")
    arguments = []
    for text in command.run:
        found = _PLACE.match(text)
        if found and given[found[1]].startswith("-") and found[1] not in command.options:
            raise BadRequestError(
                f"`{found[1]}` begins with '-', so the program would take it for an option."
            )
        arguments.append(_PLACE.sub(lambda place: given[place[1]], text))
    return command, arguments


async def run_command(
    source: str,
    commands: Mapping[str, Command],
    folder: str,
    *,
    max_bytes: int,
    environ: Mapping[str, str] | None = None,
) -> Bundle:
    """Run a declared command and take its output.

    Args:
        source: see `arguments_of`.
        commands: those that there are.
        folder: where it is run if it does not say.
        max_bytes: the longest output that is taken.
        environ: the server's environment; `os.environ` if left out.

    Raises:
        BadRequestError: there is no such command, or the parameters are not its own.
        SourceError: it failed; the text has its exit status and what it said.
    """
    command, arguments = arguments_of(source, commands)
    environ = os.environ if environ is None else environ
    names = (*_PASSED, *command.env)
    shown = f"The command {command.name!r}"
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            env={name: environ[name] for name in names if name in environ},
            cwd=command.folder or folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or "an argument cannot be passed"
        raise SourceError(f"{shown} cannot be run: {cause}.") from None
    assert process.stdout is not None
    assert process.stderr is not None
    fd = scratch()
    said = asyncio.create_task(_head(process.stderr))
    try:
        try:
            async with asyncio.timeout(command.timeout):
                size = await _take(process.stdout, fd, max_bytes, shown)
                status = await process.wait()
        finally:
            _end(process)
            await ended(process)
            text = _without_secrets(await said, environ)
        if status != 0:
            raise SourceError(f"{shown} ended with status {status}: {text or 'it said nothing'}")
    except TimeoutError:
        os.close(fd)
        raise SourceError(f"{shown} did not end within {command.timeout:g} s: {text}") from None
    except BaseException:
        os.close(fd)
        raise
    notes = [f"The command also said: {text}"] if text else []
    return Bundle(
        fd,
        [(command.name, 0, size)],
        "file",
        Origin(source, size, time.time()),
        notes=notes,
        format=command.format,
        hint=command.name,
    )


async def _take(stream: asyncio.StreamReader, fd: int, max_bytes: int, shown: str) -> int:
    size = 0
    while data := await stream.read(1 << 18):
        size += len(data)
        if size > max_bytes:
            raise SourceError(
                f"{shown} gave over {max_bytes:,} bytes, which is what fits. Ask it for less."
            )
        write_all(fd, memoryview(data))
    return size


async def _head(stream: asyncio.StreamReader) -> bytes:
    """What was said first; the rest is read too, so that the program does not wait."""
    kept = b""
    while data := await stream.read(1 << 16):
        kept += data[: max(0, _ERROR_BYTES - len(kept))]
    return kept


def _end(process: asyncio.subprocess.Process) -> None:
    """End the program and what it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _without_secrets(said: bytes, environ: Mapping[str, str]) -> str:
    text = said.decode("utf-8", "replace").strip()
    for name, value in environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    return text if len(text) <= _ERROR_SHOWN else text[:_ERROR_SHOWN] + "..."
