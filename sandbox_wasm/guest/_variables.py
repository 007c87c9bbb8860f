"""Which variables an execution added, changed or removed, and the list of all of them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ._kinds import length_of, type_name
from ._label import label
from ._render import brief

_TOLD = 1000  # changes that the host is told of
_NAME = 200  # characters of a name that it is told
_DESCRIBED = 100  # changes with a full brief; beyond that an agent reads the names at most


_LARGE = 100_000  # items or characters above which a snapshot does not hold a value itself


@dataclass(frozen=True, slots=True)
class _Trace:
    """What is remembered of a large value, which must be free to go while the code runs."""

    number: int
    kind: type
    size: int
    brief: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The variables before an execution.

    It holds small values themselves, because an id is used again once its object is gone; of
    large ones it holds traces. It must not outlive the execution.
    """

    values: dict[str, Any]
    lengths: dict[str, int | None]
    briefs: dict[str, str] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()


def remembered(value: object) -> object:
    """A value as a snapshot holds it, for `is_same`."""
    size = length_of(value)
    if size is None or size <= _LARGE:
        return value
    return _Trace(id(value), type(value), size, brief(value))


def is_same(before: object, value: object) -> bool:
    """Whether a value is the one that was remembered."""
    if type(before) is _Trace:
        return before.number == id(value) and before == remembered(value)
    return before is value


def visible(namespace: dict[str, Any], hidden: frozenset[str]) -> Iterator[tuple[str, Any]]:
    """The variables of the user: no private names, helpers, or what was imported."""
    for name, value in list(namespace.items()):
        # A key may be any object that guest code put into globals().
        if type(name) is not str or name[:1] == "_" or name in hidden:
            continue
        if not _is_imported(value):
            yield name, value


def _is_imported(value: object) -> bool:
    kind = type(value)
    if issubclass(kind, ModuleType):
        return True
    if kind is not FunctionType and kind is not BuiltinFunctionType and kind is not type:
        return False
    module = getattr(value, "__module__", None)
    return type(module) is str and module != "__main__"


def snapshot(
    namespace: dict[str, Any], mentioned: set[str], hidden: frozenset[str] = frozenset()
) -> Snapshot:
    """Remember the variables. Those `mentioned` in the code are also compared by their brief."""
    values, lengths, briefs = {}, {}, {}
    for name, value in visible(namespace, hidden):
        values[name] = remembered(value)
        lengths[name] = length_of(value)
        if name in mentioned:
            briefs[name] = brief(value)
    return Snapshot(values, lengths, briefs, hidden)


def changes(before: Snapshot, namespace: dict[str, Any]) -> list[dict[str, Any]]:
    """What is different now: entries with `name`, `kind` (added, changed, removed) and `brief`.

    The values of more than 100 changes are described by type and size only.
    """
    found: list[tuple[str, str, Any]] = []
    seen = set()
    values, lengths, briefs = before.values, before.lengths, before.briefs
    for name, value in visible(namespace, before.hidden):
        seen.add(name)
        if name not in values:
            found.append((name, "added", value))
        elif (
            not is_same(values[name], value)
            or lengths[name] != length_of(value)
            or (name in briefs and briefs[name] != brief(value))
        ):
            found.append((name, "changed", value))
    entries = [
        {"name": name[:_NAME], "kind": kind, "brief": (brief if i < _DESCRIBED else label)(value)}
        for i, (name, kind, value) in enumerate(found[:_TOLD])
    ]
    gone = [name[:_NAME] for name in values if name not in seen]
    entries += [{"name": name, "kind": "removed", "brief": ""} for name in gone[:_TOLD]]
    return entries[:_TOLD]


def summary(
    namespace: dict[str, Any], limit: int, hidden: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """The first `limit` variables: entries with `name`, `type`, `size` and `brief`."""
    entries: list[dict[str, Any]] = []
    for name, value in visible(namespace, hidden):
        if len(entries) >= limit:
            break
        kind = type_name(type(value))
        size = label(value).removeprefix(kind).strip()
        entries.append({"name": name[:_NAME], "type": kind, "size": size, "brief": brief(value)})
    return entries
