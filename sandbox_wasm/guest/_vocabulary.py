"""All words of an index: numbered, and found by spelling, by stem, and by likeness."""

from importlib import import_module
from typing import Any

from ._stem import beginning_of, stem
from ._words import Words, ragged

np: Any = import_module("numpy")
hashtable: Any = import_module("pandas._libs.hashtable")

Array = Any  # numpy.ndarray

_STEMMED = 256  # words looked at for one stem: about 10 ms in the guest
_LIKE = 24  # words compared letter by letter with a misspelt one
_SHARED = 0.3  # of the trigrams: one wrong letter in six leaves a third (Dice)
_TRIGRAM_BUCKETS = 1 << 16


class Vocabulary:
    """Words by number. `add` and then `finish` come before any search."""

    def __init__(self) -> None:
        # Numbers words in the order in which they come; it is what pandas merges with.
        self._numbers = hashtable.UInt64Factorizer(1)
        self._count = 0
        self._bytes = np.zeros(1, np.uint8)  # \0 word \0 word \0 ...
        self._starts = np.zeros(0, np.int32)
        self._lengths = np.zeros(0, np.int32)
        self._new: list[tuple[Array, Array]] = []
        self._finished = 0
        self._heads = np.zeros(0, np.uint64)
        self._by_head = self._alike = np.zeros(0, np.int32)
        self._buckets = np.zeros(_TRIGRAM_BUCKETS + 1, np.int32)

    def __len__(self) -> int:
        """How many words there are."""
        return self._count

    def add(self, keys: Array, words: Words, first: Array) -> Array:
        """The numbers of distinct words, of which those not seen yet become part of it.

        Args:
            keys: of the words.
            words: what they were found in.
            first: the place of each in `words`.
        """
        numbers = self._numbers.factorize(keys).astype(np.int32)
        new = first[numbers >= self._count]  # in the order of their numbers
        if len(new):
            self._count += len(new)
            starts, lengths = words.starts[new], words.lengths[new]
            # The byte before a word need not be zero: it may be another word's end.
            letters = words.low[ragged(starts - 1, lengths + 1)]
            letters[np.cumsum(lengths + 1) - (lengths + 1)] = 0
            self._new.append((lengths, letters))
        return numbers

    def finish(self) -> None:
        """Make ready for searches."""
        if self._finished == len(self):
            return
        lengths = np.concatenate([self._lengths, *(part[0] for part in self._new)])
        end = np.zeros(1, np.uint8)
        self._bytes = np.concatenate([self._bytes[:-1], *(part[1] for part in self._new), end])
        self._lengths = lengths.astype(np.int32)
        self._starts = (np.cumsum(lengths + 1) - lengths).astype(np.int32)
        self._new = []
        self._finished = len(self)
        padded = np.concatenate([self._bytes, np.zeros(8, np.uint8)])
        heads = np.ndarray((len(padded) - 7,), "V8", padded, strides=(1,))[self._starts]
        shifts = np.uint64(8) * (8 - np.minimum(self._lengths, 8)).astype(np.uint64)
        heads = heads.view(">u8").astype(np.uint64) >> shifts << shifts
        self._by_head = np.argsort(heads, kind="stable").astype(np.int32)
        self._heads = heads[self._by_head]
        self._find_trigrams()

    def _find_trigrams(self) -> None:
        letters = self._bytes
        digits = (letters >= ord("0")) & (letters <= ord("9"))
        mixed = np.add.reduceat(digits, self._starts) > 0
        counted = ~mixed & (self._lengths > 2) & (self._lengths <= 24)
        chosen = np.flatnonzero(counted)
        middles = ragged(self._starts[chosen], self._lengths[chosen])
        buckets = _buckets(letters, middles)
        order = np.argsort(buckets, kind="stable")  # by radix: they have 16 bits
        self._alike = np.repeat(chosen, self._lengths[chosen]).astype(np.int32)[order]
        self._buckets = np.concatenate(
            [[0], np.cumsum(np.bincount(buckets, minlength=_TRIGRAM_BUCKETS))]
        ).astype(np.int32)

    def number(self, key: int) -> int | None:
        """The number of the word with this key."""
        found = int(self._numbers.table.lookup(np.array([key], np.uint64))[0])
        return found if found >= 0 else None

    def text(self, number: int) -> str:
        """The word with this number."""
        start = int(self._starts[number])
        word = self._bytes[start : start + int(self._lengths[number])]
        return bytes(word).decode("utf-8", "replace")

    def with_stem(self, word: str) -> list[int]:
        """The words that have the same stem as this one, itself included."""
        root = stem(word)
        if len(root) < 3 or not root.isascii():
            return []
        near = self.beginning_with(beginning_of(root))
        apart = np.abs(self._lengths[near] - len(word))
        near = near[apart <= 7]
        if len(near) > _STEMMED:
            near = near[np.argsort(apart[apart <= 7], kind="stable")[:_STEMMED]]
        return [number for number in near.tolist() if stem(self.text(number)) == root]

    def beginning_with(self, prefix: str) -> Array:
        """The numbers of the words that begin with up to eight ASCII letters."""
        low = int.from_bytes(prefix.encode().ljust(8, b"\0"), "big")
        high = int.from_bytes(prefix.encode().ljust(8, b"\xff"), "big")
        begin = int(np.searchsorted(self._heads, np.uint64(low)))
        end = int(np.searchsorted(self._heads, np.uint64(high), "right"))
        return self._by_head[begin:end]

    def like(self, word: str) -> list[tuple[int, float]]:
        """Words spelt much like this one, each with how much, from 0 to 1."""
        spelt = np.frombuffer(b"\0" + word.encode() + b"\0", np.uint8)
        size = len(spelt) - 2
        buckets = np.unique(_buckets(spelt, np.arange(1, size + 1)))
        parts = [self._alike[self._buckets[b] : self._buckets[b + 1]] for b in buckets.tolist()]
        near, counts = np.unique(np.concatenate(parts), return_counts=True)
        shared = 2 * counts / (size + self._lengths[near])
        order = np.argsort(-shared, kind="stable")[:_LIKE]
        near = near[order[shared[order] >= _SHARED]]
        found = ((number, _likeness(word, self.text(number))) for number in near.tolist())
        return [(number, much) for number, much in found if much]


def _buckets(letters: Array, middles: Array) -> Array:
    """The trigrams around these places, as numbers of 16 bits; few of them fall together."""
    trigrams = letters[middles - 1].astype(np.uint32) << 16
    trigrams |= letters[middles].astype(np.uint32) << 8
    trigrams |= letters[middles + 1]
    return (trigrams * np.uint32(2_654_435_761) >> np.uint32(16)).astype(np.uint16)


def _likeness(one: str, other: str) -> float:
    """1 for the same word, less for each slip, 0 where it is another word."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) >= 5 and shorter in longer:
        return max(0.3, len(shorter) / len(longer) - 0.2)
    allowed = 1 if len(one) < 8 else 2
    slips = _slips(one, other, allowed)
    return 0.0 if slips > allowed else 1 - (slips + 0.5) / len(one)


def _slips(one: str, other: str, most: int) -> int:
    """Letters to insert, drop, change or swap with their neighbour; no more than `most` + 1."""
    if abs(len(one) - len(other)) > most:
        return most + 1
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        previous, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            cost = min(row[-1] + 1, before[j] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, previous[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return row[-1]
