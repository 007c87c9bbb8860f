"""The words of many texts at once, found and numbered by numpy over their UTF-8 bytes.

Python's own loops are too slow for this in WebAssembly, so nothing here goes over characters or
words one by one. A word is a run of letters, digits and all bytes above 0x7F; `camelCase` and
`snake_case` are cut into their parts. Chinese, Japanese and Korean are written without spaces:
their words are the single characters and the pairs.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

np: Any = import_module("numpy")

Array = Any  # numpy.ndarray

PAD = 64
"""Zero bytes that a buffer needs after its end, because words are read eight bytes at a time."""
_LONGEST = 40  # bytes of a word that count; what is longer is no word that anybody types
_OTHER, _LOWER, _UPPER, _REST = range(4)  # the rest of what words are made of
_ODD = 0x9E3779B97F4A7C15  # 2**64 divided by the golden ratio, as in splitmix64


def _kinds() -> bytes:
    kinds = bytearray(256)
    for byte in range(256):
        if byte >= 0x80 or chr(byte).isdigit():
            kinds[byte] = _REST
        elif chr(byte).isalpha():
            kinds[byte] = _UPPER if chr(byte).isupper() else _LOWER
    return bytes(kinds)


def _places() -> tuple[bytes, bytes]:
    """For four kinds in a row, whether a word begins, or ends, at the second of them."""
    begin, end = bytearray(256), bytearray(256)

    def begins(before: int, here: int, after: int) -> bool:
        if here == _OTHER:
            return False
        hump = before == _LOWER or (before == _UPPER and after == _LOWER)
        return before == _OTHER or (here == _UPPER and hump)

    for row in range(256):
        before, here, after, later = row >> 6, row >> 4 & 3, row >> 2 & 3, row & 3
        if here != _OTHER:
            begin[row] = begins(before, here, after)
            end[row] = after == _OTHER or begins(here, after, later)
    return bytes(begin), bytes(end)


def _folding() -> Array:
    """The lower case of the characters that take two bytes, where it takes two bytes as well."""
    folded = np.arange(0x800, dtype=np.uint16)
    for code in range(0xC0, 0x800):
        low = chr(code).lower()
        if len(low) == 1 and 0x80 <= ord(low) < 0x800:
            folded[code] = ord(low)
    return folded


# Tables for `bytes.translate`, which is ten times as fast in the guest as numpy's indexing.
_KINDS, _FOLDED = _kinds(), _folding()
_BEGINS, _ENDS = _places()
_MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a buffer, in the order of their places.

    `keys` are 64-bit numbers, equal for equal words; `starts` and `lengths` are in bytes of `low`,
    the buffer in lower case.
    """

    keys: Array
    starts: Array
    lengths: Array
    low: Array


def words_of(data: bytes) -> Words:
    """The words of a text in UTF-8 that ends in at least `PAD` zero bytes.

    A single ASCII letter or digit is no word.
    """
    lowered = data.lower()
    kind = data.translate(_KINDS)
    if data.isascii():
        pairs = None
        low, kinds = np.frombuffer(lowered, np.uint8), np.frombuffer(kind, np.uint8)
    else:
        low, kinds = np.array(bytearray(lowered)), np.array(bytearray(kind))
        pairs = _prepare(low, kinds)
    context = kinds[:-3] << 2
    context |= kinds[1:-2]
    context <<= 2
    context |= kinds[2:-1]
    context <<= 2
    context |= kinds[3:]
    around = context.tobytes()
    # The first byte has nothing before it: whoever calls puts a separator there.
    starts = np.flatnonzero(np.frombuffer(around.translate(_BEGINS), np.bool_)) + 1
    lengths = np.flatnonzero(np.frombuffer(around.translate(_ENDS), np.bool_)) + 2 - starts
    long = lengths > 1
    starts, lengths = starts[long], lengths[long]
    if pairs is not None and len(pairs[0]):
        starts = np.concatenate((starts, pairs[0]))
        lengths = np.concatenate((lengths, pairs[1]))
        order = np.argsort(starts, kind="stable")
        starts, lengths = starts[order], lengths[order]
    return Words(_keys(low, starts, lengths), starts, lengths, low)


def _prepare(low: Array, kinds: Array) -> tuple[Array, Array]:
    """Fold the case of what is not ASCII, take its punctuation out of words, and find the words of
    scripts without spaces: their starts and lengths."""
    at = np.flatnonzero((low >= 0xC3) & (low <= 0xDF))
    codes = _FOLDED[(low[at].astype(np.uint16) & 0x1F) << 6 | low[at + 1] & 0x3F]
    low[at], low[at + 1] = codes >> 6 | 0xC0, codes & 0x3F | 0x80
    # U+00A0 to U+00BF, but for ª, µ and º
    at = np.flatnonzero(low == 0xC2)
    at = at[~np.isin(low[at + 1], (0xAA, 0xB5, 0xBA))]
    kinds[at] = kinds[at + 1] = _OTHER
    # General punctuation, U+2000 to U+206F; of Chinese and Japanese, U+3000 to U+303F; full-width
    # forms, U+FF00 to U+FF0F.
    for lead, second, third in (
        (0xE2, (0x80, 0x81), 0xFF), (0xE3, (0x80,), 0xFF), (0xEF, (0xBC,), 0x8F),
    ):  # fmt: skip
        at = np.flatnonzero(low == lead)
        at = at[np.isin(low[at + 1], second) & (low[at + 2] <= third)]
        kinds[at] = kinds[at + 1] = kinds[at + 2] = _OTHER
    # Kana and Han are U+3040 to U+9FFF, Hangul syllables U+AC00 to U+D7A3.
    at = np.flatnonzero((low >= 0xE3) & (low <= 0xED))
    at = at[kinds[at] != _OTHER]
    wide = np.zeros(len(low), np.bool_)
    wide[at] = True
    kinds[at] = kinds[at + 1] = kinds[at + 2] = _OTHER
    paired = at[wide[at + 3]]
    starts = np.concatenate((at, paired))
    return starts, np.repeat(np.array([3, 6], starts.dtype), (len(at), len(paired)))


def _keys(low: Array, starts: Array, lengths: Array) -> Array:
    """A 64-bit number for each word: its bytes where they fit, else a hash of them."""
    eights = np.ndarray((len(low) - 7,), "V8", low, strides=(1,))
    keys = eights[starts].view("<u8")
    keys &= _MASKS[np.minimum(lengths, 8)]
    for done in range(8, _LONGEST, 8):
        rest = np.flatnonzero(lengths > done)
        if not len(rest):
            break
        more = eights[starts[rest] + done].view("<u8")
        more &= _MASKS[np.minimum(lengths[rest] - done, 8)]
        mixed = keys[rest] * np.uint64(_ODD)
        mixed ^= mixed >> np.uint64(32)
        keys[rest] = (mixed + more) * np.uint64(_ODD) ^ more
    return keys


def ragged(starts: Array, lengths: Array) -> Array:
    """The positions of many ranges, one after another."""
    total = int(lengths.sum())
    ends = np.cumsum(lengths)
    return np.arange(total, dtype=np.int64) + np.repeat(starts - (ends - lengths), lengths)
