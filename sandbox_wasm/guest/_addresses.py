"""The items of lists and dicts as addresses, and what texts know of themselves, read by numpy.

To take an item out of a list counts a reference to it, which writes to the page that it lies on. A
look at 100,000 texts would take 60 ms that way, and make all of their pages part of the next
commit's work. What is read here is read as memory, and nothing is written.

The layout is that of CPython 3.15 in WebAssembly, and is checked once, when this is imported. Where
it is another, there are no addresses, and callers go the usual way.
"""

import sys
from importlib import import_module
from typing import Any

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

_HALF = 1 << 31
_BLOCK = 16_384
_FIRST = 1 << 10  # nothing lies before; an array at 0 would be none
_TYPE = 4  # of an object, in bytes
_LENGTH, _HASH = 8, 12  # of a text
_ITEMS = 3  # of a list, as below in words of four bytes: where its items are
_KEYS = 6  # of a dict: where its table is
_INDEX = 5  # of that table: where its index begins, after which come the entries
_GENERAL, _TEXTS = 0, 1  # kinds of tables: entries of hash, key and value, or without the hash


class _Memory:
    """Memory as numpy takes it."""

    def __init__(self, address: int, count: int, kind: str) -> None:
        self.__array_interface__ = {
            "data": (address, True), "shape": (count,), "typestr": kind, "version": 3,
        }  # fmt: skip


def _words(address: int, count: int) -> Array:
    return np.asarray(_Memory(address, count, "<u4"))


def _read(addresses: Array, offset: int, size: int) -> Array:
    """The number of 4 or 8 bytes at an offset of each of these objects."""
    above = addresses >= _HALF
    if not above.any():
        return _read_from(_FIRST, addresses, offset, size)
    found = np.empty(len(addresses), f"<u{size}")  # no array has more than 2 GB here
    found[above] = _read_from(_HALF, addresses[above], offset, size)
    found[~above] = _read_from(_FIRST, addresses[~above], offset, size)
    return found


def _read_from(first: int, addresses: Array, offset: int, size: int) -> Array:
    memory = np.asarray(_Memory(first, (_HALF - _FIRST) // size, f"<u{size}"))
    return memory[((addresses - np.uint32(first - offset)) // np.uint32(size)).view(np.int32)]


def of_list(values: list[Any]) -> Array | None:
    """The addresses of a list's items, where the list has them; None if they are not known.

    They mean nothing once the list has changed.
    """
    if not _WORKS:
        return None
    count = list.__len__(values)
    if not count:
        return np.zeros(0, np.uint32)
    return _words(int(_words(id(values), _ITEMS + 1)[_ITEMS]), count)


def of_dict(values: dict[Any, Any]) -> tuple[Array, Array] | None:
    """The addresses of a dict's keys and values, in its order; None if they are not known."""
    if not _WORKS:
        return None
    table = int(_words(id(values), _KEYS + 1)[_KEYS])
    head = _words(table, _INDEX)
    kinds, used = int(head[1]), int(head[_INDEX - 1])
    kind = kinds >> 16 & 0xFF
    if kind not in (_GENERAL, _TEXTS) or not used:
        return None
    begin = table + 4 * _INDEX + (1 << (kinds >> 8 & 0xFF))
    entries = _words(begin, used * (3 - kind)).reshape(used, 3 - kind)[:, -2:]
    entries = entries[entries[:, 1] != 0]
    if len(entries) != dict.__len__(values):
        return None
    return entries[:, 0].copy(), entries[:, 1]


def kinds_of(addresses: Array) -> set[int]:
    """The identities of the types of these objects."""
    kinds = _read(addresses, _TYPE, 4)
    first = kinds[:1]
    return {*first.tolist(), *kinds[kinds != first].tolist()} if len(kinds) else set()


def prints_of(addresses: Array) -> Array:
    """The fingerprints of texts: the hash, of 32 bits, and the length below.

    The hash is -1 where nobody has asked for it. Of what is no text they mean nothing.
    """
    if not (addresses & 7).any():  # which some single letters are
        return _read(addresses, _LENGTH, 8).view(np.int64)
    hashes = _read(addresses, _HASH, 4).view(np.int32).astype(np.int64)
    return hashes << 32 | _read(addresses, _LENGTH, 4)


def have_prints(addresses: Array, prints: Array, kinds: set[int]) -> bool:
    """Whether these objects are the texts that have these fingerprints.

    Args:
        addresses: of the objects.
        prints: of the texts.
        kinds: the identities of the types of texts. Others may have the same numbers in the same
            places, as bytes do that are the same in ASCII.
    """
    if len(addresses) != len(prints):
        return False
    # Block by block, so that it takes no memory that a commit would find written to.
    blocks = (slice(at, at + _BLOCK) for at in range(0, len(prints), _BLOCK))
    return all(
        np.array_equal(prints_of(addresses[block]), prints[block])
        and kinds_of(addresses[block]) <= kinds
        for block in blocks
    )


def _works() -> bool:
    """Whether what is read here is what Python says."""
    global _WORKS
    if sys.platform != "wasi" or sys.maxsize >= 1 << 32:
        return False
    texts = ["", "a", "some text", "Übergröße", "日本語" * 9]
    named = {text: text * 2 for text in texts}
    del named["a"]
    mixed: dict[Any, Any] = {1: texts[1], "b": texts[2], None: texts[3]}
    del mixed[1]
    expected = [hash(text) << 32 | len(text) for text in texts]
    _WORKS = True
    found = of_list(texts)
    pairs = [of_dict(named), of_dict(mixed)]
    listed = [(list(map(id, d)), list(map(id, d.values()))) for d in (named, mixed)]
    return (
        found is not None
        and found.tolist() == list(map(id, texts))
        and kinds_of(found) == {id(str)}
        and prints_of(found).tolist() == expected
        and prints_of(found[2:3]).tolist() == expected[2:3]
        and [pair and (pair[0].tolist(), pair[1].tolist()) for pair in pairs] == listed
    )


_WORKS = False
_WORKS = _works()
