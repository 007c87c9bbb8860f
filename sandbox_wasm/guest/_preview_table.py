"""The preview of tables and arrays of pandas and numpy: columns with types and ranges, rows."""

from typing import Any

from ._fit import clip, fit, plural
from ._kinds import first_items, type_name
from ._label import label
from ._render import brief, short
from ._sample import SAMPLE, positions

_WHOLE, _FRAMES = 3, 60
"""Tables of a dict that are shown as themselves, and that are shown at all."""


def describe_frame(frame: Any, room: int) -> list[str]:
    """Size, each column with its type and range, the first and last rows."""
    rows, width = frame.shape
    out = [f"{label(frame)}, index {type_name(type(frame.index))}"]
    sample = frame.iloc[positions(rows, SAMPLE)]
    part = f" ({len(sample):,} rows sampled)" if len(sample) < rows else ""
    out.append(f"columns{part}:")
    columns = (_column(sample.columns[i], sample.iloc[:, i]) for i in range(min(width, 40)))
    out += fit(columns, room * 6 // 10)
    if width > 40:
        out.append(f"  ... {plural(width - 40, 'more column')}")
    if rows:
        left = (room - sum(len(row) + 1 for row in out)) // 2
        for name, piece in (("head", frame.iloc[:3]), ("tail", frame.iloc[-2:])):
            shown = piece.iloc[:, :12].to_string(max_colwidth=30)
            out.append(f"{name}:\n{clip(shown, max(80, left))}")
            if rows <= 3:
                break
    return out


def describe_frames(frames: dict[Any, Any], room: int) -> list[str]:
    """A dict of tables, such as the sheets of a workbook: each as itself, or on a line."""
    out = [f"{label(frames)}, each a DataFrame"]
    items = first_items(frames, _FRAMES)
    if len(frames) <= _WHOLE:
        for name, frame in items:
            first, *rest = describe_frame(frame, room // len(frames) - 60)
            out += [f"[{short(name, 60)}] {first}", *rest]
        return out
    left = room - len(out[0]) - 30
    out += fit((f"[{short(name, 60)}] {brief(frame, 200)}" for name, frame in items), left)
    return out if len(frames) <= _FRAMES else [*out, f"... {len(frames) - _FRAMES:,} more"]


def _column(name: Any, column: Any) -> str:
    text = f"  {short(name, 40)} {clip(str(column.dtype), 30)}"
    count = len(column)
    if not count:
        return text
    missing = int(column.isna().sum())
    if column.dtype.kind in "iufmM":
        if missing < count:
            text += f" {_number(column.min())}..{_number(column.max())}"
    else:
        values = [v for v in column.to_numpy()[:300].tolist() if v is not None and v == v]
        text += _values_note(values)
    return text + (f", {missing * 100 / count:.0f} % missing" if missing else "")


def _number(value: Any) -> str:
    """A number or time of a table, floats to six digits."""
    return f"{float(value):.6g}" if "float" in type_name(type(value)) else str(value)


def _values_note(values: list[Any]) -> str:
    kinds = sorted({type_name(type(v)) for v in values})
    text = f" mixed types {', '.join(kinds[:4])}" if len(kinds) > 1 else ""
    distinct: dict[str, None] = dict.fromkeys(short(v, 30) for v in values)
    return f"{text} {len(distinct)} unique of {len(values)}: {', '.join(list(distinct)[:3])}"


def describe_array(array: Any, room: int) -> list[str]:
    """Size, range, what is missing and the first items, of a series or an array."""
    out = [label(array)]
    rows = len(array) if array.ndim else 1
    step = max(1, rows // 20_000, array.size // 200_000)
    sample = (array.iloc if hasattr(array, "iloc") else array)[::step] if step > 1 else array
    part = " (sampled)" if step > 1 else ""
    if array.size and array.dtype.kind in "iufb":
        out[0] += f", min {_number(sample.min())}, max {_number(sample.max())}{part}"
        if (bad := int((sample != sample).sum())) > 0:
            out.append(f"odd: {bad:,} NaN{part}")
    elif hasattr(array, "isna"):
        out.append(_column(array.name, sample) + part)
    piece = array[:6] if array.ndim else array
    piece = piece[(slice(0, 3),) * piece.ndim] if piece.ndim > 2 else piece
    return [*out, f"head: {clip(str(piece), room // 2)}"]
