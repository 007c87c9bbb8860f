"""Jupyter notebooks: their cells."""

from __future__ import annotations

import json
import re
from typing import Any

from ._bounds import cause
from ._part import Part

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def notebook_cells(part: Part) -> list[dict[str, str]]:
    """The cells of a notebook, each with `type`, `source` and, of code, `output`.

    Raises:
        LoadError: it is no notebook.
    """
    text = part.text()
    try:
        notebook = json.loads(text)
    except RecursionError:
        raise part.error("the notebook is nested too deeply to load.") from None
    except ValueError as error:
        raise part.error(
            f"invalid JSON in the notebook: {cause(error)}. Load it with format='text'."
        ) from None
    finally:
        part.drop(text)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if cells is None and isinstance(notebook, dict):  # version 3 of the format
        sheets = notebook.get("worksheets")
        first = sheets[0] if isinstance(sheets, list) and sheets else None
        cells = first.get("cells") if isinstance(first, dict) else None
    if not isinstance(cells, list):
        raise part.error("it has no cells, so it is no notebook. Load it with format='json'.")
    found = []
    images = 0
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        kind = str(cell.get("cell_type", ""))
        entry = {"type": kind, "source": _joined(cell.get("source", cell.get("input", "")))}
        if kind == "code":
            outputs = cell.get("outputs")
            texts = []
            for output in outputs if isinstance(outputs, list) else ():
                if isinstance(output, dict):
                    shown, count = _output(output)
                    images += count
                    texts.append(shown)
            entry["output"] = "".join(texts)
        found.append(entry)
    if images:
        part.note(f"Images in the outputs were left out: {images:,}; format='json' keeps all.")
    return found


def _output(output: dict[str, Any]) -> tuple[str, int]:
    """What an output shows as text, and how many images it holds."""
    if "text" in output:
        return _joined(output["text"]), 0
    if "traceback" in output:
        lines = output["traceback"]
        text = "\n".join(map(str, lines)) if isinstance(lines, list) else str(lines)
        return _COLOURS.sub("", text) + "\n", 0
    data = output.get("data")
    if not isinstance(data, dict):
        return "", 0
    images = sum(1 for kind in data if str(kind).startswith("image/"))
    for kind in ("text/markdown", "text/plain", "text/html"):
        if kind in data:
            return _joined(data[kind]) + "\n", images
    return "", images


def _joined(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)
