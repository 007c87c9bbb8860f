"""Tracebacks of guest code: its own frames only, and never longer than is useful."""

from __future__ import annotations

import asyncio
import linecache
import re
import traceback

OWN_PREFIX = "<rlm_guest"
_ASYNCIO = asyncio.__file__.rpartition("/")[0] + "/"
_OWN_NAME = re.compile(r"^rlm_guest\.\w+\.(?=[A-Z]\w*:)", re.MULTILINE)
_AT_ONCE = "\n[sub_llm(...) gives its answer at once; what is awaited is asub_llm(...)]"
_HINTS = (
    ("'str' object can't be awaited", _AT_ONCE),
    ("An asyncio.Future, a coroutine or an awaitable is required", _AT_ONCE),
    (
        "can't start new thread",
        "\n[the sandbox has no threads: sub_llm_map or asyncio.gather for calls, pmap for code]",
    ),
    (
        "asyncio.run() cannot be called",
        "\n[this code awaits, so its loop runs already: `await` the coroutine instead]",
    ),
)
# Advice of the interpreter that cannot be followed here.
_NO_SITE = (
    ". Site initialization is disabled, did you forget to add the site-packages directory to "
    "sys.path or to enable your virtual environment?"
)
MAX_CHARS = 4000
MAX_LINE = 500
_MAX_CHAIN = 20
"""Exceptions that led to each other of which a traceback is shown."""
MAX_NOTES = 10
"""Of one exception."""
MAX_SOURCES = 200
"""Executions whose source is kept for tracebacks."""


def remember_source(filename: str, code: str) -> None:
    """Let tracebacks show the lines of code that has no file."""
    old = [name for name in linecache.cache if name.startswith("<execution ")]
    for name in old[: max(0, len(old) - MAX_SOURCES)]:
        del linecache.cache[name]
    lines = [line + "\n" for line in code.splitlines()]
    linecache.cache[filename] = (len(code), None, lines, filename)


def describe(error: BaseException, limit: int = MAX_CHARS) -> str:
    """The traceback of an exception, without the frames of this package and of asyncio.

    Args:
        error: as it was caught.
        limit: the most characters that are returned; the end is what is kept.

    Returns:
        Text that ends with the type and the message of the exception.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(OWN_PREFIX):
        trace = trace.tb_next
    try:
        _remember_missing(error)
        report = traceback.TracebackException(
            type(error), error, trace, limit=-12, compact=True, max_group_depth=3, max_group_width=5
        )
        for part in _chain(report):
            _cut_notes(part)
            part.stack[:] = [
                frame
                for frame in part.stack
                if not frame.filename.startswith((OWN_PREFIX, _ASYNCIO))
            ]
        text = "".join(_bounded(report))
    except Exception as failure:  # a hostile __str__, __cause__ or __notes__
        text = f"{type(error).__name__} (its traceback cannot be shown: {type(failure).__name__})"
    text = text.rstrip("\n").removesuffix("rlm_guest._execute.Stop").rstrip("\n")
    text = _OWN_NAME.sub("", text)
    if isinstance(error, FileNotFoundError | PermissionError):
        text += "\n[the sandbox has no files: use the load_variable and save_variable tools]"
    if isinstance(error, ModuleNotFoundError):
        text = text.replace(_NO_SITE, "")
        text += "\n[nothing can be installed in the sandbox: use what is there]"
    if type(error) in (RuntimeError, TypeError) and error.args and type(error.args[0]) is str:
        text += next((hint for start, hint in _HINTS if error.args[0].startswith(start)), "")
    if len(text) > limit:
        text = f"[... {len(text) - limit:,} characters cut ...]\n{text[-limit:]}"
    return text


def _remember_missing(error: BaseException) -> None:
    """Let each file of a traceback that has no source be looked for once.

    It is looked for again for every line of a statement, and a class may have a thousand.
    """
    rest, seen = [error], 0
    while rest and seen < _MAX_CHAIN:
        part = rest.pop()
        seen += 1
        trace = part.__traceback__
        while trace is not None:
            name = trace.tb_frame.f_code.co_filename
            known = name in linecache.cache
            if not known and not linecache.getlines(name, trace.tb_frame.f_globals):
                linecache.cache[name] = (0, None, [], name)
            trace = trace.tb_next
        rest += [other for other in (part.__cause__, part.__context__) if other is not None]


def _cut_notes(part: traceback.TracebackException) -> None:
    """Leave the first and the last notes: pickling something deep adds one for each level."""
    notes: object = getattr(part, "__notes__", None)
    if type(notes) is list and len(notes) > MAX_NOTES:
        left = f"[... {len(notes) - MAX_NOTES:,} more notes ...]"
        half = MAX_NOTES // 2
        part.__notes__ = [*notes[:half], left, *notes[-half:]]


def _chain(report: traceback.TracebackException) -> list[traceback.TracebackException]:
    found, seen = [report], 0
    while seen < len(found) < _MAX_CHAIN:
        part = found[seen]
        seen += 1
        found += [other for other in (part.__cause__, part.__context__) if other is not None]
    return found


def _bounded(report: traceback.TracebackException) -> list[str]:
    lines = []
    for line in report.format():
        if len(line) > MAX_LINE * 4:
            cut = len(line) - MAX_LINE * 4
            line = f"{line[: MAX_LINE * 2]}[... {cut:,} characters cut ...]{line[-MAX_LINE * 2 :]}"
        lines.append(line)
        if len(lines) > 400:
            break
    return lines
