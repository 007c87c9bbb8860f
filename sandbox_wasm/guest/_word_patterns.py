"""Words as patterns of lines, for Python's `re` and for the host's search program.

They leave out no line that has the word as `_words` cuts it: at what is no letter or digit, at `_`,
and inside of `camelCase`. Lines that have something else match as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import combinations
from typing import NamedTuple

from ._stem import beginning_of, stem
from ._translate import Translation, literal

_ANY_CASE, _EDGE, _BETWEEN = "\0", "\1", "\2"  # what the two notations write differently
_PYTHON = {_ANY_CASE: "(?i:", _EDGE: r"\b", _BETWEEN: r"[^\x0a]*"}
_HOST = {_ANY_CASE: "(?i-u:", _EDGE: r"(?-u:\b)", _BETWEEN: r"(?-u:[^\x0a])*"}
_END = rf"(?:{_EDGE}|[_A-Z])"
_LONGEST = 24  # letters of a word whose misspellings are looked for


class Pattern(NamedTuple):
    """A pattern in both notations."""

    text: str
    host: str

    def compiled(self, binary: bool) -> tuple[re.Pattern[str] | re.Pattern[bytes], Translation]:
        """For a view of text or of bytes."""
        told = Translation(self.host, crosses=False)
        return (re.compile(self.text.encode("latin-1") if binary else self.text), told)


def _plain(template: str) -> Pattern:
    """A pattern for ASCII."""
    text = host = template
    for mark in (_ANY_CASE, _EDGE, _BETWEEN):
        text, host = text.replace(mark, _PYTHON[mark]), host.replace(mark, _HOST[mark])
    return Pattern(text, host)


def _begins(word: str) -> str:
    """Where words begin: after what is none, or as a hump, whose first letter is upper case.

    Letters of a word are in one of three cases: a hump inside would make it two words. These are
    written out, because the search program looks for plain text ten times as fast.
    """
    edge = f"(?:{_EDGE}|_)"
    if not word.isalpha():  # after a digit there is no hump
        hump = f"|[A-Za-z]{word[0].upper()}{_ANY_CASE}{word[1:]})" if word[0].isalpha() else ""
        return f"(?:{edge}{_ANY_CASE}{word}){hump})"
    first, upper = word.capitalize(), word.upper()
    return f"(?:{edge}(?:{word}|{first}|{upper})|[A-Za-z](?:{first}|{upper}))"


def exactly(word: str, binary: bool) -> Pattern:
    """Lines with a word."""
    if word.isascii():
        return _plain(_begins(word) + _END)
    if not binary:
        return Pattern(f"(?i:{re.escape(word)})", f"(?i:{literal(word)})")
    forms = [form.encode() for form in dict.fromkeys((word, word.upper(), word.title()))]
    text = "|".join(re.escape(form).decode("latin-1") for form in forms)
    return Pattern(f"(?:{text})", f"(?:{'|'.join(map(literal, forms))})")


def with_stem(word: str, binary: bool) -> Pattern:
    """Lines with a word in any of its forms, which begin alike, or with another of that beginning.

    The beginning is the one by which the vocabulary of an index finds them.
    """
    root = stem(word)
    if len(root) < 3 or not root.isascii() or not root.isalnum():
        return exactly(word, binary)
    beginning = beginning_of(root)
    pattern = _plain(_begins(beginning))
    return pattern if word.startswith(beginning) else either([pattern, exactly(word, binary)])


def nearly(word: str) -> Pattern | None:
    """Lines with a word that is this one but for one slip; None for what is no English word."""
    if not (4 <= len(word) <= _LONGEST and word.isascii() and word.isalpha()):
        return None
    forms = []
    for at in range(len(word)):
        before, after = word[:at], word[at + 1 :]
        forms += [f"{before}[a-z]?{after}", f"{before}[a-z]{word[at:]}"]
        if after:
            forms.append(before + after[0] + word[at] + after[1:])
    # Written as two words, too.
    forms += [f"{word[:at]}[_ -]?{word[at:]}" for at in range(3, len(word) - 2)]
    return _plain(f"(?:{_EDGE}|_){_ANY_CASE}{'|'.join(forms)}){_END}")


def either(patterns: Iterable[Pattern]) -> Pattern:
    """Lines that any of some patterns finds."""
    found = list(dict.fromkeys(patterns))
    return Pattern("|".join(p.text for p in found), "|".join(p.host for p in found))


def several(patterns: Iterable[Pattern]) -> Pattern:
    """Lines that two of some patterns find."""
    between = _plain(_BETWEEN)
    pairs = []
    for one, other in combinations(dict.fromkeys(patterns), 2):
        for first, last in ((one, other), (other, one)):
            text = f"(?:{first.text}){between.text}(?:{last.text})"
            pairs.append(Pattern(text, f"(?:{first.host}){between.host}(?:{last.host})"))
    return either(pairs)
