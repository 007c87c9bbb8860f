"""Access paths such as `docs["src/a.py"]`: what they lead to, and what is nearest when nothing."""

import ast
import difflib
from itertools import islice
from typing import Any

from ._fit import clip, plural
from ._guard import guarded, guarded_repr, pass_interrupt
from ._kinds import base_of, is_own, length_of, type_name
from ._label import label
from ._render import short

_FORMS = 'allowed: names, subscripts and attributes, as in docs["src/a.py"], rows[-5:], df.columns'
_MISSING = object()


class PeekError(Exception):
    """A target or argument that cannot be used; the message says what would be."""


def resolve(target: str, namespace: dict[str, Any]) -> Any:
    """The value at an access path such as `rows[3]["text"]`.

    Raises:
        PeekError: for what is no access path, and for names, keys and indexes that do not exist.
    """
    if type(target) is not str or not target.strip() or len(target) > 2_000:
        raise PeekError(f"the target must be an access path of 1 to 2,000 characters: {_FORMS}")
    try:
        node: ast.expr = ast.parse(target.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise PeekError(f"{clip(target, 80)!r} is no access path: {_FORMS}") from None
    steps: list[ast.Attribute | ast.Subscript] = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        steps.append(node)
        node = node.value
    if not isinstance(node, ast.Name):
        what = "a call" if isinstance(node, ast.Call) else type(node).__name__
        raise PeekError(f"{clip(target, 80)!r} contains {what}: {_FORMS}; exec_code runs any code")
    if node.id.startswith("__"):
        raise PeekError(f"{node.id} is private to the interpreter: {_FORMS}")
    value = namespace.get(node.id, _MISSING)
    if value is _MISSING:
        names = [
            n
            for n, found in namespace.items()
            if type(n) is str and n[:1] != "_" and not is_own(found)
        ]
        raise PeekError(f"no variable {node.id!r}; {_nearest(node.id, names, len(names), 'name')}")
    path = node.id
    for step in reversed(steps):
        if isinstance(step, ast.Attribute):
            value = _attribute(value, step.attr, path)
            path += f".{step.attr}"
        else:
            key = _literal(step.slice)
            value = _item(value, key, path)
            path += f"[{_key_text(key)}]"
    return value


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Slice):
        parts = (node.lower, node.upper, node.step)
        return slice(*(None if part is None else _literal(part) for part in parts))
    if isinstance(node, ast.Tuple):
        return tuple(_literal(part) for part in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _literal(node.operand)
        if type(number) in (int, float):
            return -number
    if isinstance(node, ast.Constant):
        return node.value
    raise PeekError(f"a subscript must be a literal key, index or slice: {_FORMS}")


def _key_text(key: Any) -> str:
    if isinstance(key, slice):
        parts = ["" if part is None else str(part) for part in (key.start, key.stop, key.step)]
        return ":".join(parts[: 2 if key.step is None else 3])
    return short(key, 60)


def _attribute(value: Any, name: str, path: str) -> Any:
    if name.startswith("_"):
        raise PeekError(f"attributes that begin with an underscore are not shown ({name})")
    try:
        return guarded(getattr, value, name)
    except AttributeError:
        hint = (
            f'; it has the key: {path}["{name}"]'
            if (base_of(value) is dict and dict.get(value, name, _MISSING) is not _MISSING)
            else ""
        )
        names = [n for n in _guarded_names(value) if n[:1] != "_"]
        near = _nearest(name, names, len(names), "attribute")
        raise PeekError(f"{path} has no attribute {name!r}{hint}; {near}") from None
    except BaseException as error:
        raise failed(f"{path}.{name}", error) from None


def _guarded_names(value: object) -> list[str]:
    try:
        return [name for name in guarded(dir, value) if type(name) is str][:2_000]
    except BaseException as error:
        pass_interrupt(error)
        return []


def failed(path: str, error: BaseException) -> PeekError:
    """What to raise for an error of the value itself, at `path`."""
    pass_interrupt(error)
    if isinstance(error, PeekError):
        return error
    return PeekError(f"{path} raised {type_name(type(error))}: {guarded_repr(error, 200)}")


def _item(value: Any, key: Any, path: str) -> Any:
    base: Any = base_of(value)
    at = f"{path}[{_key_text(key)}]"
    try:
        if base is dict:
            # Not value[key]: a defaultdict would make the key.
            found = dict.get(value, key, _MISSING)
            if found is not _MISSING:
                return found
            keys = [k for k in islice(dict.keys(value), 20_000) if type(k) is str]
            near = _nearest(str(key), keys, dict.__len__(value), "key")
            raise PeekError(f"{path} has no key {short(key, 100)}; {near}")
        if base in (list, tuple, str, bytes, bytearray):
            if type(key) is not int and type(key) is not slice:
                first = base.__getitem__(value, 0) if base is list and length_of(value) else None
                hint = f", such as {path}[0][{short(key, 40)}]" if base_of(first) is dict else ""
                raise PeekError(
                    f"{path} is a {label(value)}: it takes an index or a slice{hint}, not {key!r}"
                )
            return base.__getitem__(value, key)
        return guarded(lambda: value[key])
    except IndexError:
        size = length_of(value)
        raise PeekError(
            f"{at} is out of range: {label(value)}" + (f", 0 to {size - 1:,}" if size else "")
        ) from None
    except BaseException as error:
        raise failed(at, error) from None


def _nearest(wanted: str, names: list[str], total: int, noun: str) -> str:
    """The existing names most like the wanted one, at bounded cost, and how many there are."""
    low = wanted.lower()
    last = low.rsplit("/", 1)[-1]
    near = [n for n in names[:20_000] if n.lower() == low or (last and last in n.lower())][:3]
    if len(near) < 3:
        rest = sorted(names[:20_000], key=lambda n: abs(len(n) - len(wanted)))[:400]
        rest = [n for n in rest if len(n) <= 200 and n not in near]
        near += difflib.get_close_matches(wanted[:200], rest, 3 - len(near))
    shown = ", ".join(short(n, 100) for n in near or names[:5])
    if not total:
        return f"there are no {noun}s"
    return f"{'nearest' if near else 'there are'}: {shown} ({plural(total, noun)} in all)"
