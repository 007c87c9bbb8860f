"""Which items of a large value are looked at."""

from itertools import islice
from typing import Any

from ._kinds import first_items

SAMPLE = 1_000  # items looked at for their types


def positions(size: int, count: int) -> list[int]:
    """Up to `count` positions from everywhere, unevenly: an even step hides what is periodic."""
    if size <= count:
        return list(range(size))
    step = size // count
    return [i * step + (i * 2_654_435_761 >> 8) % step for i in range(count)]


def spread(value: Any, base: Any, count: int) -> list[Any]:
    """Items from everywhere in a sequence, from both ends of a dict, from the front of a set."""
    size = base.__len__(value)
    if base is list or base is tuple:
        return [base.__getitem__(value, i) for i in positions(size, count)]
    if base is dict and size > count:
        back = islice(dict.__reversed__(value), count // 2)
        return [*first_items(value, count - count // 2), *[(k, dict.get(value, k)) for k in back]]
    return first_items(value, count)
