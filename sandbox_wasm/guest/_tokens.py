"""How many tokens a text is for a model, by estimate."""

import re

_WIDE = re.compile("[\u2e80-\U0010ffff]")
CHARS = 4
"""Characters of a token in English and in code; of Chinese, Japanese or Korean one is about one."""


def tokens(text: str) -> int:
    """About how many tokens a text is."""
    return tokens_of(text, len(text))


def tokens_of(sample: str, size: int) -> int:
    """About how many tokens a text of `size` characters is, by a sample of it."""
    wide = 0.0
    if sample and not sample.isascii():
        wide = len(_WIDE.findall(sample)) / len(sample)
    return round(size * (wide + (1 - wide) / CHARS))
