"""Where a static embedding model lies on this machine. Nothing of it is read here but its bytes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

LIBRARIES = ("numpy", "safetensors", "tokenizers")
"""Of the helper that runs the model."""
EXTRA = "pip install 'rlm-mcp[embed]'"
_LAYOUTS = ("", "0_StaticEmbedding")
"""Of the folder of a model: model2vec's, and the one of sentence-transformers."""
_MODEL, _TOKENIZER = "model.safetensors", "tokenizer.json"


class ModelFolderError(Exception):
    """There is no model of that name. The text names paths, so it is for the user's eyes.

    Args:
        text: the cause and the next step.
        cause: the same without paths, for the agent.
    """

    def __init__(self, text: str, cause: str) -> None:
        super().__init__(text)
        self.cause = cause


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model.

    Args:
        model: the vectors of its vocabulary.
        tokenizer: in JSON.
        seen: inode, size and time of change of both.
    """

    model: Path
    tokenizer: Path
    seen: tuple[int, ...]

    def digest(self) -> str:
        """Return the SHA-256 of both files, in hex."""
        found = hashlib.sha256()
        for path in (self.model, self.tokenizer):
            with path.open("rb") as file:
                found.update(hashlib.file_digest(file, "sha256").digest())
        return found.hexdigest()


def find_model(place: str) -> ModelFiles:
    """Return the files of a model.

    Args:
        place: a folder, from the root or from `~`, or the name of a model in the cache of
            Hugging Face's hub, such as `minishlab/potion-base-8M`. Nothing is downloaded.

    Raises:
        ModelFolderError: there is none, or what runs it is not installed.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        cause = f"{' and '.join(missing)} must be installed to run it: {EXTRA}"
        raise ModelFolderError(cause, cause)
    folder = Path(place).expanduser() if place.startswith(("/", "~")) else _in_hub(place)
    if not folder.is_dir():
        raise ModelFolderError(f"there is no folder {folder}", "its folder is missing")
    for layout in _LAYOUTS:
        model, tokenizer = folder / layout / _MODEL, folder / layout / _TOKENIZER
        if model.is_file() and tokenizer.is_file():
            return ModelFiles(model, tokenizer, (*_seen(model), *_seen(tokenizer)))
    text = f"{_MODEL} and {_TOKENIZER} of a static model (model2vec) are not both there"
    raise ModelFolderError(f"{folder}: {text}", text)


def _seen(path: Path) -> tuple[int, int, int]:
    info = path.stat()
    return info.st_ino, info.st_size, info.st_mtime_ns


def _in_hub(name: str) -> Path:
    how = f"`hf download {name}` fetches it; or name a folder, model2vec//PATH or model2vec/~/PATH"
    if name.count("/") > 1 or not name.strip("/"):
        raise ModelFolderError(f"{name!r} is no model of the hub: {how}", "it is no model's name")
    hub = import_module("huggingface_hub")
    try:
        return Path(hub.snapshot_download(name, local_files_only=True))
    except (OSError, ValueError) as error:  # its own errors are of these kinds
        raise ModelFolderError(
            f"{name} is not in the cache of the hub on this machine: {how}",
            "it has not been downloaded",
        ) from error


def open_files(files: ModelFiles) -> tuple[int, int]:
    """Open both files for reading; the caller closes them."""
    model = os.open(files.model, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return model, os.open(files.tokenizer, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        os.close(model)
        raise
