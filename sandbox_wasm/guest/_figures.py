"""Figures: drawn without a screen, and handed to the reply where code asks for that.

matplotlib reads its fonts and styles as files, which the host serves beside the library. It also
wants a folder for its settings and a backend, both named in the environment: the folder is the
one with its data, which cannot be written to and holds the list of fonts ready made, and the
backend is Agg, with `plt.show()` handing the figures to the reply.
"""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module
from importlib.util import spec_from_loader
from typing import Any

from ._kinds import classes_of, type_name

MAX_IMAGES = 4
"""Of one execution; an image costs its reader as much as a thousand words (a guess)."""
MAX_BYTES = 1 << 20
_MAX_PIXELS = 2_000_000
_PNG = b"\x89PNG\r\n\x1a\n"
_DATA = "/usr/local/lib/python315.zip/matplotlib/mpl-data"

_BACKEND = "_rlm_figures"

_shown: list[bytes] = []
_left_out = 0


class ImageError(ValueError):
    """Something is no image, or too large for one."""


class _BackendFinder:
    """Makes the module of the backend when matplotlib asks for it, and not before."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> Any:
        loader: Any = _BackendFinder()
        return spec_from_loader(name, loader) if name == _BACKEND else None

    @staticmethod
    def create_module(_spec: Any) -> None:
        return None

    @staticmethod
    def exec_module(module: Any) -> None:
        module.FigureCanvas = import_module("matplotlib.backends.backend_agg").FigureCanvasAgg
        module.show = _show_opened


def _show_opened(*_arguments: Any, **_options: Any) -> None:
    """What `plt.show()` does; without an open figure that is nothing."""
    if _opened():
        show()


def prepare() -> None:
    """Tell matplotlib where its data and its backend are, without importing it."""
    os.environ["MPLCONFIGDIR"] = _DATA
    os.environ["MPLBACKEND"] = f"module://{_BACKEND}"
    older = [found for found in sys.meta_path if type(found).__name__ == _BackendFinder.__name__]
    for found in older:
        sys.meta_path.remove(found)
    sys.meta_path.append(_BackendFinder())
    sys.modules.pop(_BACKEND, None)


def show(*images: Any) -> None:
    """Add images to the reply: figures, axes, PIL images, or bytes of PNG.

    Without an argument: the figures that pyplot has open, which are closed then.

    Raises:
        ImageError: an argument is no image, or too large for one.
    """
    global _left_out
    opened = [] if images else _opened()
    if not images and not opened:
        raise ImageError("there is no open figure; draw one first, or pass it to show()")
    for image in images or opened:
        if len(_shown) < MAX_IMAGES:
            _shown.append(png_of(image))
        else:
            _left_out += 1
    if opened:
        sys.modules["matplotlib.pyplot"].close("all")


def _opened() -> list[Any]:
    pyplot: Any = sys.modules.get("matplotlib.pyplot")
    return [pyplot.figure(number) for number in pyplot.get_fignums()] if pyplot else []


def begin() -> None:
    """Forget what was shown before."""
    global _left_out
    _shown.clear()
    _left_out = 0


def taken() -> tuple[list[bytes], list[str]]:
    """What was shown since `begin`, and a note where that is not all."""
    notes = [f"{_left_out:,} more images were shown; a reply has at most {MAX_IMAGES}"]
    return list(_shown), notes if _left_out else []


def is_figure(value: object) -> bool:
    """Whether a value is a figure of matplotlib, or axes in one."""
    return _figure_of(value) is not None


def _figure_of(value: Any) -> Any:
    if "matplotlib.figure" not in sys.modules:
        return None
    names = {type_name(kind) for kind in classes_of(type(value))}
    figure = sys.modules["matplotlib.figure"].Figure
    if "Figure" in names and isinstance(value, figure):
        return value
    if "Axes" in names and isinstance(owner := getattr(value, "figure", None), figure):
        return owner
    return None


def png_of(value: Any, most: int | None = MAX_BYTES) -> bytes:
    """A value as a PNG image.

    Args:
        value: a figure, axes, an image of PIL, or bytes of PNG.
        most: bytes that it may have, for which it is made smaller; `None` for any number.

    Raises:
        ImageError: it is no image, or too large for one.
    """
    figure = _figure_of(value)
    if figure is not None:
        return _drawn(figure, most)
    image_module: Any = sys.modules.get("PIL.Image")
    if isinstance(value, (bytes, bytearray)):
        data = bytes(value)
        if not data.startswith(_PNG):
            raise ImageError("the bytes are no PNG; open them with PIL.Image.open(io.BytesIO(x))")
        if most is None or len(data) <= most:
            return data
        return _shrunk(import_module("PIL.Image").open(io.BytesIO(data)), most)
    if image_module is not None and isinstance(value, image_module.Image):
        return _shrunk(value, most)
    raise ImageError(f"a {type_name(type(value))} is no figure and no image")


def _drawn(figure: Any, most: int | None) -> bytes:
    width, height = (float(side) for side in figure.get_size_inches())
    area = max(width * height, 1e-6)
    dpi = float(figure.get_dpi())
    if most is not None:
        dpi = min(dpi, (_MAX_PIXELS / area) ** 0.5)
    for _ in range(4):
        out = io.BytesIO()
        figure.savefig(out, format="png", dpi=dpi)
        if most is None or out.tell() <= most:
            return out.getvalue()
        dpi *= 0.6
    raise ImageError(f"the figure takes over {MAX_BYTES >> 20} MB; draw less, or save_variable it")


def _shrunk(image: Any, most: int | None) -> bytes:
    side = None if most is None else 1600
    for _ in range(4):
        copy = image.copy() if side else image
        if side:
            copy.thumbnail((side, side))
            side = side * 6 // 10
        if copy.mode not in ("1", "L", "LA", "P", "RGB", "RGBA", "I"):
            copy = copy.convert("RGB")
        out = io.BytesIO()
        copy.save(out, format="PNG")
        if most is None or out.tell() <= most:
            return out.getvalue()
    raise ImageError(f"the image takes over {MAX_BYTES >> 20} MB; make it smaller first")


def svg_of(value: Any) -> bytes:
    """A figure as SVG.

    Raises:
        ImageError: it is no figure.
    """
    figure = _figure_of(value)
    if figure is None:
        raise ImageError(f"a {type_name(type(value))} is no figure")
    out = io.BytesIO()
    figure.savefig(out, format="svg")
    return out.getvalue()
