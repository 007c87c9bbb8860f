"""The JSON form of values, so that every reader takes it.

What is not a number becomes null, as in pandas and JavaScript, and text stays readable.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import math
import pathlib
import sys
import uuid
from collections.abc import Iterable, Mapping, Set
from typing import Any


class SaveError(Exception):
    """A value cannot be written in a format; the text says what would work."""


def json_line(value: Any) -> bytes:
    """A value as one line of JSON."""
    return json_text(value).encode()


def json_text(value: Any, indent: int | None = None) -> str:
    """A value as JSON.

    Raises:
        SaveError: it has no such form.
    """
    try:
        try:
            text = json.dumps(
                value, ensure_ascii=False, allow_nan=False, default=_default, indent=indent
            )
        except ValueError as error:
            if "Circular" in str(error):
                raise SaveError(
                    "The value contains itself, so it has no JSON form. Save a part of it."
                ) from None
            finite = _finite(value)
            text = json.dumps(
                finite, ensure_ascii=False, allow_nan=False, default=_default, indent=indent
            )
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:  # half of a surrogate pair, which JSON can say in ASCII
                text = json.dumps(json.loads(text), indent=indent)
    except RecursionError:
        raise SaveError("The value is nested too deeply for JSON. Save a part of it.") from None
    except TypeError as error:
        if "keys must be" in str(error):
            raise SaveError(
                "A dict in it has keys that JSON cannot say (only text and numbers): convert "
                "them, such as {str(k): v for k, v in x.items()}."
            ) from None
        raise SaveError(f"The value has no JSON form: {error}. Convert it first.") from None
    return text


def _default(value: Any) -> Any:
    """The JSON form of what json does not know."""
    if is_frame(value):
        return records(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _finite(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if isinstance(value, (set, frozenset, Set)):
        try:
            return _finite(sorted(value))
        except TypeError:
            return _finite(list(value))
    if isinstance(value, Mapping):
        return _finite(dict(value))
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise SaveError(
            f"The value holds {type(value).__name__}, which JSON cannot say. Decode it to text "
            "first, or base64.b64encode(x).decode(); or save it alone with format='bytes'."
        )
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and hasattr(value, "tolist"):
        return _finite(value.tolist())
    if module == "pandas":
        if hasattr(value, "tolist"):
            return _finite(value.tolist())
        if type(value).__name__ in ("NAType", "NaTType"):
            return None
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (decimal.Decimal, pathlib.PurePath, uuid.UUID, datetime.timedelta)):
        return str(value)
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    if isinstance(value, Iterable):
        return _finite(list(value))
    raise SaveError(
        f"The value holds {kind_of(value)}, which has no JSON form. Convert it first, such as with "
        "str(x) or vars(x)."
    )


def _finite(value: Any) -> Any:
    """The value with None for every float that is no number; itself where there is none."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {
            key if not isinstance(key, float) or math.isfinite(key) else str(key): _finite(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def is_frame(value: Any) -> bool:
    """Whether a value is a table or a column of pandas, which only then is imported."""
    pandas: Any = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series))


def framed(value: Any) -> Any:
    """A DataFrame whose index, unless it only counts the rows, is among the columns."""
    pandas: Any = sys.modules["pandas"]
    frame = value.to_frame() if isinstance(value, pandas.Series) else value
    return frame if isinstance(frame.index, pandas.RangeIndex) else frame.reset_index()


def records(value: Any) -> list[Any]:
    """The rows of a table, or the values of a column."""
    pandas: Any = sys.modules["pandas"]
    if isinstance(value, pandas.Series):
        items: list[Any] = value.tolist()
        return _finite(items)  # type: ignore[no-any-return]
    rows: list[Any] = framed(value).to_dict("records")
    return [{str(key): _finite(item) for key, item in row.items()} for row in rows]


def kind_of(value: Any) -> str:
    """What a value is, for an error."""
    return f"a value of type {type(value).__name__}"
