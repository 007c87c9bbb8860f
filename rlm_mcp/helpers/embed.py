"""A helper, `python -m rlm_mcp.helpers.embed MODEL TOKENIZER`: vectors of texts by a static model.

The arguments are descriptors: of the vectors of a vocabulary as model2vec keeps them (safetensors),
and of its tokenizer (JSON). Each request is its length (u32) and a JSON list of texts. Each answer
is its length (u64) and a line with a JSON object that has `dimensions`, or `error`, why there is
nothing; then for each text the direction of its vector, a signed byte for each number. A model that
cannot be used is said so without being asked. It ends with its input.

The vector of a text is the mean of the vectors of its tokens, so this is an addition and no run of
a network. Neither file is looked at before the walls are up.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from importlib import import_module
from typing import Any

from ._inside import ThreadsError, give_up_rights, write_all

MAX_MEMORY = 6 << 30
"""Bytes of address space: the largest model that is known, of 512 MB, several times over."""
CPU_SECONDS = 600
"""Over all requests: some GB of text. Then the next one goes to another process."""
MAX_DIMENSIONS = 16_384
_TEXTS = 512
"""That are tokenised at a time: their tokens take some MB."""
_MOST = 127


class _OddModelError(Exception):
    """The files are not those of a static model; the text says why."""


class _Model:
    """A vocabulary, each of whose tokens has a vector."""

    def __init__(self, vectors: bytes, tokenizer: bytes) -> None:
        tensors = import_module("safetensors.numpy").load(vectors)
        # The second name is that of sentence-transformers.
        table = tensors.get("embeddings", tensors.get("embedding.weight"))
        if table is None or table.ndim != 2 or not 0 < table.shape[1] <= MAX_DIMENSIONS:
            raise _OddModelError("model.safetensors has no table `embeddings` of vectors")
        self.table = table
        self.dimensions = int(table.shape[1])
        self.weights = tensors.get("weights")
        self.rows = tensors.get("mapping")
        self.tokenizer = import_module("tokenizers").Tokenizer.from_buffer(tokenizer)
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self.unknown = _unknown_token(self.tokenizer)
        size = self.tokenizer.get_vocab_size()
        rows = len(table) if self.rows is None else len(self.rows)
        if rows < size or (self.weights is not None and len(self.weights) < size):
            raise _OddModelError(f"the tokenizer has {size:,} tokens and the model {rows:,}")

    def directions(self, texts: list[str]) -> bytes:
        """The directions of the vectors of texts; of one without a known token it is zero."""
        np: Any = import_module("numpy")
        found = np.zeros((len(texts), self.dimensions), np.float32)
        encodings = self.tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        for at, encoding in enumerate(encodings):
            tokens = np.array(encoding.ids, np.int64)
            tokens = tokens[tokens != self.unknown]
            if not len(tokens):
                continue
            rows = tokens if self.rows is None else self.rows[tokens]
            vectors = self.table[rows].astype(np.float32)
            if self.weights is not None:
                vectors *= self.weights[tokens].astype(np.float32)[:, None]
            found[at] = vectors.mean(axis=0)
        if not np.isfinite(found).all():
            raise _OddModelError("it gives vectors that hold no finite numbers")
        largest = np.abs(found).max(axis=1, keepdims=True)
        found *= _MOST / np.maximum(largest, 1e-30)
        data: bytes = np.rint(found).astype(np.int8).tobytes()
        return data


def _unknown_token(tokenizer: Any) -> int:
    """The number of the token that stands for what is unknown, or -1; it says nothing of a text."""
    model = tokenizer.model
    if hasattr(model, "unk_token"):
        number = tokenizer.token_to_id(model.unk_token) if model.unk_token is not None else None
    else:
        number = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return -1 if number is None else int(number)


def work(model: _Model, data: bytes) -> bytes:
    """Answer one request."""
    texts = [text.encode("utf-8", "replace").decode() for text in json.loads(data)]
    parts = [model.directions(texts[at : at + _TEXTS]) for at in range(0, len(texts), _TEXTS)]
    return json.dumps({"dimensions": model.dimensions}).encode() + b"\n" + b"".join(parts)


def main() -> None:
    """Give up all rights, read the model, and answer."""
    try:
        # Numpy first: the others import it.
        for name in ("numpy", "safetensors.numpy", "tokenizers"):
            import_module(name)
        "".encode("utf-8", "replace").decode()
        give_up_rights(max_memory=MAX_MEMORY, cpu_seconds=CPU_SECONDS)
        model = _Model(_read(int(sys.argv[1])), _read(int(sys.argv[2])))
    except Exception as error:
        _say(_failure(error))
        return
    while head := _take(4):
        data = _take(struct.unpack("<I", head)[0])
        try:
            answer = work(model, data)
        except Exception as error:
            answer = _failure(error)
        _say(answer)


def _failure(error: Exception) -> bytes:
    if isinstance(error, ImportError):
        cause = f"{(error.name or 'a library').partition('.')[0]} is not installed"
    elif isinstance(error, ThreadsError | _OddModelError):
        cause = str(error)
    elif isinstance(error, MemoryError):
        cause = "it takes more memory than there is for it"
    else:  # libraries raise what they like for damaged files
        cause = f"it cannot be read: {' '.join(str(error).split())[:300] or type(error).__name__}"
    return json.dumps({"error": cause}).encode() + b"\n"


def _say(answer: bytes) -> None:
    write_all(1, struct.pack("<Q", len(answer)))
    write_all(1, answer)


def _take(size: int) -> bytes:
    """So many bytes of the input; none at its end."""
    data = bytearray()
    while len(data) < size and (part := os.read(0, size - len(data))):
        data += part
    return bytes(data) if len(data) == size else b""


def _read(descriptor: int) -> bytes:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    parts = []
    at = 0
    while at < size and (part := os.pread(descriptor, min(size - at, 1 << 30), at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


if __name__ == "__main__":
    main()
    os._exit(0)
