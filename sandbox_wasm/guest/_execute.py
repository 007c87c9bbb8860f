"""One execution of the agent's code: captured, echoed, stoppable, and tidied up after."""

from __future__ import annotations

import ast
import base64
import builtins
import contextlib
import sys
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, NoReturn

from . import (
    _door,
    _figures,
    _fit,
    _parallel,
    _preview,
    _rlm,
    _top_level,
    _trace,
    _variables,
)
from ._output import Output

OUT_QUOTA = 16 << 20
"""Characters that all of `Out` may hold; the oldest entries go first."""
VALUE_CHARS = 2500
FULL = "what changed cannot be shown: the memory is full; delete variables"
STILL_RUNNING = (
    " still running at the end, now cancelled: await what you start, as with asyncio.gather"
)

_BUILTINS = dict(vars(builtins))
_OWN_NAMES: set[str] = set()
_modules: dict[str, Any] = {}
_NEEDED = frozenset({
    __name__.partition(".")[0], "_host", "ast", "base64", "builtins", "codecs", "csv",
    "dataclasses", "difflib", "encodings", "io", "itertools", "json", "linecache", "marshal",
    "operator", "pickle", "re", "struct", "sys", "traceback", "types",
})  # fmt: skip
_parse, _walk, _eval = ast.parse, ast.walk, eval
_recursion_limit, _set_recursion_limit = sys.getrecursionlimit, sys.setrecursionlimit
MIN_RECURSION = 500
"""What this package needs at most, several times over."""
_stdio = (sys.stdout, sys.stderr, sys.stdin)


_SPARE_BYTES = 1 << 20
SPARE: list[bytearray] = []
"""Memory to give up after a `MemoryError`, so that an execution can still be reported.

It is cleared where the error is caught, before any function is called: the frame of a call may
need memory itself.
"""


def keep_spare() -> None:
    """Set memory aside, unless it is the last that there is."""
    with contextlib.suppress(MemoryError):
        bytearray(8 * _SPARE_BYTES)
        SPARE.append(bytearray(_SPARE_BYTES))


class Stop(KeyboardInterrupt):
    """Raised by the host inside running code: its time is over, or the caller cancelled.

    Guards of this package let it through because its module is in this package. asyncio lets a
    KeyboardInterrupt, and nothing else of the kind, out of tasks and callbacks.
    """


def check(*, full: bool) -> None:
    """Raise what would keep another execution from being carried out.

    Args:
        full: whether the memory cannot grow any more, so that there may be no room in it.
    """
    if full:
        try:
            bytearray(512 << 10)
        except MemoryError:
            SPARE.clear()
            bytearray(256 << 10)
    name = "<execution 0>"
    _trace.remember_source(name, "x = [1]")
    _, _, failure = _compile("x = [1]\nx", name)
    if failure is not None:
        raise ValueError(failure)


def restore_builtins() -> None:
    """Undo what an execution did to the builtins, for what runs after it."""
    current = builtins.__dict__
    for name in [name for name in current if name not in _BUILTINS]:
        if name != "_":
            del current[name]
    for name, value in _BUILTINS.items():
        if current.get(name) is not value:
            current[name] = value


def keep_builtin(name: str, value: object) -> None:
    """Make a name part of what `restore_builtins` restores."""
    _BUILTINS[name] = value
    setattr(builtins, name, value)


def keep_entry(name: str, turn: Callable[[], None]) -> None:
    """Make a function what a turn calls; a variable of its name does not hide it for long."""
    keep_builtin(name, turn)
    _OWN_NAMES.add(name)


def leave(code: object = None) -> NoReturn:
    """End the running code, as `sys.exit` does; the space and its variables stay."""
    raise SystemExit(code)


def keep_modules() -> None:
    """Make the modules that this package runs on part of what `tidy` restores.

    Not all there are: to look at each of some hundred modules after each turn would bring a
    page of memory for nearly every one of them into the process.
    """
    _modules.clear()
    _modules.update(
        (name, module) for name, module in sys.modules.items() if name.partition(".")[0] in _NEEDED
    )


def execute(
    namespace: dict[str, Any], helpers: dict[str, Any], code: str, number: int, keep_chars: int
) -> dict[str, Any]:
    """Run code in a namespace.

    Args:
        namespace: the variables of the space.
        helpers: names that an execution cannot change for good.
        code: Python source.
        number: of the execution; its output is kept as `Out[number]`.
        keep_chars: the most characters of output to return of the beginning, and of the end.

    Returns:
        `output` (beginning), `tail`, `total` (characters printed), `value` (the last
        expression's, or None), `error` (a traceback, or None), `stopped`, `changes`,
        `notes`, and `images` (PNG in base64).
    """
    filename = f"<execution {number}>"
    _trace.remember_source(filename, code)
    if not SPARE:
        keep_spare()
    output = Output()
    value: str | None = None
    error: str | None = None
    stopped = False
    compiled, mentioned, failure = _compile(code, filename)
    if compiled is None:
        return _report(output, None, failure, False, [], [])
    _figures.begin()
    before = _variables.snapshot(namespace, mentioned, hidden(helpers))
    _parallel.begin(before.values)
    _top_level.begin()
    sys.stdout = sys.stderr = output
    changes: list[dict[str, Any]] = []
    notes: list[str] = []
    raised: list[BaseException] = []
    caught: BaseException | None
    try:
        # Showing values runs code of their classes, so it can be stopped as well.
        _door.raw(_door.ARM)
        result = _run(compiled, namespace, raised)
        caught = raised.pop() if raised else None
        running = _top_level.finish()
        tidy(namespace)
        if caught is None and result is not None:
            namespace["_"] = result
            value = _preview.echo(result, VALUE_CHARS)
            if _figures.is_figure(result):
                notes = _show_last(result)
        notes += put_back(namespace, helpers)
        if running and not isinstance(caught, Stop):
            notes.append(_fit.plural(running, "task") + STILL_RUNNING)
        try:
            changes = _variables.changes(before, namespace)
        except MemoryError:
            SPARE.clear()
            notes.append(FULL)
        if value is not None:
            _tell_once(changes, namespace, result)
        _door.raw(_door.DISARM)
    except Stop as late:
        _door.raw(_door.DISARM)
        caught = late
        _top_level.abandon()
        tidy(namespace)
        put_back(namespace, helpers)
    finally:
        sys.stdout, sys.stderr, sys.stdin = _stdio
        _parallel.end()
    if caught is not None:
        stopped = isinstance(caught, Stop)
        error = _trace.describe(caught)
        if isinstance(caught, SystemExit):
            error += "\n[exit() ends the code, not the space: its variables are kept]"
        caught = None
    _keep(namespace, number, output)
    images, more = _figures.taken()
    _figures.begin()
    return _report(output, value, error, stopped, changes, notes + more, keep_chars, images)


def _tell_once(changes: list[dict[str, Any]], namespace: dict[str, Any], result: Any) -> None:
    """Describe the value that is shown already by a reference to that."""
    for change in changes:
        if change["kind"] != "removed" and namespace.get(change["name"]) is result:
            change["brief"] = "as shown"


def _show_last(result: Any) -> list[str]:
    """Show the figure that an execution ended in; a note where that fails."""
    try:
        _figures.show(result)
    except Exception as error:  # drawing runs much code
        return [f"the figure could not be drawn: {_trace.describe(error, 500)}"]
    return []


def _compile(code: str, filename: str) -> tuple[list[CodeType] | None, set[str], str | None]:
    """The parts to run, the names that the code mentions, or why it cannot be compiled."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        tree = _parse(code, filename)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        parts = [compile(tree, filename, "exec", flags, dont_inherit=True)]
        mentioned = {node.id for node in _walk(tree) if isinstance(node, ast.Name)}
        if isinstance(last, ast.Expr):
            expression = ast.Expression(last.value)
            parts.append(compile(expression, filename, "eval", flags, dont_inherit=True))
            mentioned |= {n.id for n in _walk(expression) if isinstance(n, ast.Name)}
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        # The frames are those of the compiler; where the mistake is, the error itself says.
        return None, set(), _trace.describe(error.with_traceback(None))
    return parts, mentioned, None


def _run(parts: list[CodeType], namespace: dict[str, Any], caught: list[BaseException]) -> Any:
    """The value of the last part; what is raised is put into `caught`.

    It is not kept in this frame, which the frames of the code refer to: all that they hold would
    stay in memory until the collector runs, and a `MemoryError` does not make it run.
    """
    result = None
    try:
        if _top_level.awaits(parts):
            result, failure = _top_level.run(parts, namespace)
            if isinstance(failure, MemoryError):
                SPARE.clear()
            if failure is not None:
                caught.append(failure)
            del failure
        else:
            for code in parts:
                result = _eval(code, namespace)
    except BaseException as error:
        result = None
        if isinstance(error, MemoryError):
            SPARE.clear()
        caught[:] = [error]
    if caught and _rlm.ended_by_submit(caught[0]):
        caught.clear()
    return result


def tidy(namespace: dict[str, Any]) -> None:
    """Undo what guest code did to what runs after it."""
    sys.settrace(None)
    sys.setprofile(None)
    restore_builtins()
    sys.modules.update(_modules)
    if _recursion_limit() < MIN_RECURSION:
        _set_recursion_limit(1000)
    for name in _OWN_NAMES:
        namespace.pop(name, None)
    namespace["__builtins__"] = builtins
    namespace["__name__"] = "__main__"
    main = sys.modules.get("__main__")
    if main is None or main.__dict__ is not namespace:
        sys.modules["__main__"] = _main_module


_main_module = sys.modules["__main__"]


def hidden(helpers: dict[str, Any]) -> frozenset[str]:
    """The names that are no variables of the agent."""
    return frozenset(helpers) | {"Out"}


def put_back(namespace: dict[str, Any], helpers: dict[str, Any]) -> list[str]:
    """Give the helpers their names again; what had taken one is kept under that name and `_`.

    Returns:
        One note for each name that had been taken by something else.
    """
    notes = []
    for name, helper in helpers.items():
        if namespace.get(name) is helper:
            continue
        if name in namespace:
            namespace[f"{name}_"] = namespace[name]
            notes.append(f"`{name}` is the name of a helper and was put back; yours is `{name}_`")
        namespace[name] = helper
    return notes


def _keep(namespace: dict[str, Any], number: int, output: Output) -> None:
    kept = namespace.get("Out")
    if type(kept) is not dict:
        kept = namespace["Out"] = {}
    if not output.total:
        return
    kept[number] = output.text()
    sizes = {key: len(text) for key, text in kept.items() if type(text) is str}
    total = sum(sizes.values())
    for key in list(sizes):
        if total <= OUT_QUOTA or key == number:
            break
        total -= sizes[key]
        del kept[key]


def _report(
    output: Output,
    value: str | None,
    error: str | None,
    stopped: bool,
    changes: list[dict[str, Any]],
    notes: list[str],
    keep_chars: int = 0,
    images: Sequence[bytes] = (),
) -> dict[str, Any]:
    text = output.text()
    return {
        "output": text[:keep_chars],
        "tail": text[max(keep_chars, len(text) - keep_chars) :] if keep_chars else "",
        "total": output.total,
        "value": value,
        "error": error,
        "stopped": stopped,
        "changes": changes,
        "notes": notes,
        "images": [base64.b64encode(image).decode() for image in images],
    }
