"""Glob patterns, matched one folder at a time so that a walk enters only what can match."""

from __future__ import annotations

import fnmatch
import re
from functools import lru_cache

from ..errors import BadRequestError

_MAGIC = re.compile(r"[*?\[{]")
_MAX_ALTERNATIVES = 1000

States = frozenset[tuple[int, int]]


def has_magic(text: str) -> bool:
    """Whether a path has wildcards in it."""
    return _MAGIC.search(text) is not None


def split_glob(path: str) -> tuple[str, str]:
    """Split a glob into the folder before its first wildcard and the pattern below it."""
    parts = path.split("/")
    at = next(i for i, part in enumerate(parts) if has_magic(part))
    base = "/".join(parts[:at])
    if at and not base:
        base = "/"
    return base or ".", "/".join(parts[at:])


class Pattern:
    """A pattern over paths: `*`, `?`, `[...]`, `{a,b}`, and `**` for any number of folders.

    Args:
        text: the pattern. Without a slash it matches names in every folder.

    Raises:
        BadRequestError: it is empty, absolute, or leads upwards.
    """

    def __init__(self, text: str) -> None:
        if not text or "\0" in text:
            raise BadRequestError(f"The pattern {text!r} is empty or has a NUL in it.")
        self.text = text.removeprefix("./")
        self._ways: list[list[str]] = []
        for way in _alternatives(text):
            if way.startswith("/"):
                raise BadRequestError(f"The pattern {text!r} must be relative to the folder.")
            parts = [part for part in way.split("/") if part not in ("", ".")]
            if ".." in parts:
                raise BadRequestError(f"The pattern {text!r} must not contain '..'.")
            if not parts:
                raise BadRequestError(f"The pattern {text!r} matches nothing.")
            if way.endswith("/"):
                parts.append("**")
            if "/" not in way:
                parts.insert(0, "**")
            self._ways.append(parts)

    @property
    def start(self) -> States:
        """Where matching stands in the folder that the walk begins in."""
        return self._closed({(way, 0) for way in range(len(self._ways))})

    def advance(self, states: States, name: str) -> States:
        """Where matching stands inside an entry; empty when nothing in it can match."""
        found = set()
        for way, at in states:
            parts = self._ways[way]
            if at == len(parts):
                continue
            if parts[at] == "**":
                found.add((way, at))
            elif _fits(parts[at], name):
                found.add((way, at + 1))
        return self._closed(found)

    def accepts(self, states: States) -> bool:
        """Whether an entry at which matching stands like this is a match."""
        return any(at == len(self._ways[way]) for way, at in states)

    def _closed(self, states: set[tuple[int, int]]) -> States:
        """Add what `**` reaches by standing for no folder at all."""
        waiting = list(states)
        while waiting:
            way, at = waiting.pop()
            parts = self._ways[way]
            # A `**` at the very end stands for files, so it has taken one name at least: it is
            # complete only in the states that `advance` gives, which hold no start.
            if at < len(parts) and parts[at] == "**" and (way, at + 1) not in states:
                states.add((way, at + 1))
                waiting.append((way, at + 1))
        return frozenset(states)


@lru_cache(maxsize=1024)
def _regex(part: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(part))


def _fits(part: str, name: str) -> bool:
    # The text itself counts as a match too: folders are named `[id]` in some frameworks.
    return part == name or _regex(part).match(name) is not None


def _alternatives(text: str) -> list[str]:
    """Write out `{a,b}`; a brace without a comma or without its other half stands for itself."""
    done: list[str] = []
    waiting = [text]
    while waiting:
        one = waiting.pop()
        found = re.search(r"\{([^{}]*,[^{}]*)\}", one)
        if found is None:
            done.append(one)
        else:
            head, tail = one[: found.start()], one[found.end() :]
            waiting += [head + choice + tail for choice in found.group(1).split(",")]
        if len(done) + len(waiting) > _MAX_ALTERNATIVES:
            raise BadRequestError(f"The pattern has over {_MAX_ALTERNATIVES:,} alternatives.")
    return done
