"""The stem of an English word, by the Snowball English stemmer (Porter 2).

Only words of a query and the few that might match them are stemmed, never a whole text.
"""

import re
import unicodedata
from functools import lru_cache

_FIXED = {
    "skis": "ski", "skies": "sky", "dying": "die", "lying": "lie", "tying": "tie", "idly": "idl",
    "gently": "gentl", "ugly": "ugli", "early": "earli", "only": "onli", "singly": "singl",
    **{word: word for word in ("sky", "news", "howe", "atlas", "cosmos", "bias", "andes")},
}  # fmt: skip
_AFTER_1A = frozenset(
    {"inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed"}
)
_R1_PREFIX = re.compile("gener|commun|arsen")
_REGION = re.compile("[^aeiouy]*[aeiouy]+[^aeiouy]")
_VOWEL = re.compile("[aeiouy]")
_SHORT_END = re.compile("(?:[^aeiouy][aeiouy][^aeiouywxY]|^[aeiouy][^aeiouy])$")
_Y = re.compile("(^|[aeiouy])y")
_STEP_2 = {
    "tional": "tion", "enci": "ence", "anci": "ance", "abli": "able", "entli": "ent",
    "izer": "ize", "ization": "ize", "ational": "ate", "ation": "ate", "ator": "ate",
    "alism": "al", "aliti": "al", "alli": "al", "fulness": "ful", "ousli": "ous",
    "ousness": "ous", "iveness": "ive", "iviti": "ive", "biliti": "ble", "bli": "ble",
    "ogi": "og", "fulli": "ful", "lessli": "less", "li": "",
}  # fmt: skip
_STEP_3 = {
    "tional": "tion", "ational": "ate", "alize": "al", "icate": "ic", "iciti": "ic", "ical": "ic",
    "ful": "", "ness": "", "ative": "",
}  # fmt: skip
_STEP_4 = dict.fromkeys(
    ("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ism", "ate",
     "iti", "ous", "ive", "ize", "ion"), "",
)  # fmt: skip


@lru_cache(4_096)
def stem(word: str) -> str:
    """The stem of a lower-case word; of one that is not English letters, the word without accents.

    Source: the description of the English stemmer at the Snowball project.
    """
    if not word.isascii():
        apart = unicodedata.normalize("NFKD", word.casefold())
        word = "".join(c for c in apart if not unicodedata.combining(c))
    if len(word) <= 2 or not (word.isascii() and word.isalpha()):
        return word
    if word in _FIXED:
        return _FIXED[word]
    word = _Y.sub(r"\1Y", word)
    prefix = _R1_PREFIX.match(word) or _REGION.match(word)
    r1 = prefix.end() if prefix else len(word)
    second = _REGION.match(word, r1)
    r2 = second.end() if second else len(word)
    word = _plural(word)
    if word in _AFTER_1A:
        return word
    word = _past(word, r1)
    if len(word) > 2 and word[-1] in "yY" and word[-2] not in "aeiouy":
        word = word[:-1] + "i"
    word = _replaced(word, _STEP_2, r1, r1)
    word = _replaced(word, _STEP_3, r1, r2)
    word = _replaced(word, _STEP_4, r2, r2)
    at = len(word) - 1
    silent = at >= r2 or (at >= r1 and not _SHORT_END.search(word[:-1]))
    if (word.endswith("e") and silent) or (word.endswith("ll") and at >= r2):
        word = word[:-1]
    return word.lower()


def beginning_of(root: str) -> str:
    """What nearly all words of a stem begin with."""
    return root[: max(3, len(root) - 1)][:8]


def _plural(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and _VOWEL.search(word[:-2]):
        return word[:-1]
    return word


def _past(word: str, r1: int) -> str:
    for ending in ("eedly", "eed"):
        if word.endswith(ending):
            return word[: -len(ending)] + "ee" if len(word) - len(ending) >= r1 else word
    for ending in ("ingly", "edly", "ing", "ed"):
        if word.endswith(ending):
            rest = word[: -len(ending)]
            if not _VOWEL.search(rest):
                return word
            if rest.endswith(("at", "bl", "iz")):
                return rest + "e"
            if rest.endswith(("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")):
                return rest[:-1]
            return rest + "e" if r1 >= len(rest) and _SHORT_END.search(rest) else rest
    return word


def _replaced(word: str, endings: dict[str, str], region: int, inner: int) -> str:
    """The word with the longest of the endings replaced, if it lies in its region."""
    ending = max((e for e in endings if word.endswith(e)), key=len, default=None)
    if ending is None:
        return word
    rest = word[: -len(ending)]
    if len(rest) < (inner if ending == "ative" else region):
        return word
    wanted = {"ogi": "l", "li": "cdeghkmnrt", "ion": "st"}.get(ending)
    if wanted is not None and (not rest or rest[-1] not in wanted):
        return word
    return rest + endings[ending]
