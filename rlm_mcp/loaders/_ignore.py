"""The rules of `.gitignore`, asked about one entry of a folder at a time while walking.

Ignored folders are not entered, as git does, so a rule never has to look at the parents of an
entry. The regular expressions are those of `pathspec`; since matching each name against every
pattern would cost more than reading the file, names are first sifted by a set, a tuple of
suffixes and one combined expression, and most never come to a single pattern.
"""

# Names are used relative to descriptors, which Path cannot do.
# ruff: noqa: PTH118, PTH119, PTH120

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass

from ._roots import READ_FLAGS

_MAX_RULES = 1 << 20
"""Bytes of a `.gitignore` that are read: a thousand times a long one."""
_PLAIN = re.compile(r"[\w.+@~-]+", re.ASCII)
_BELOW = "(?P<ps_d>/)"
"""What pathspec writes where a pattern's match ends and the inside of a folder begins."""


@dataclass(frozen=True)
class _Pattern:
    include: bool
    anchored: bool
    regex: re.Pattern[str]


class Rules:
    """The rules of one file.

    Args:
        text: its content.
        cut: how many characters of a path, as the walk knows it, lie above the rules' folder.
        prefix: what to put before such a path when the rules come from above the walk.
    """

    def __init__(self, text: str, *, cut: int = 0, prefix: str = "") -> None:
        self._cut = cut
        self._prefix = prefix
        self._patterns: list[_Pattern] = []
        names: set[str] = set()
        suffixes: set[str] = set()
        by_name: list[str] = []
        by_path: list[str] = []
        for line, include, regex in _compiled(text):
            body = line.rstrip().removeprefix("!").removesuffix("/")
            anchored = "/" in body
            self._patterns.append(_Pattern(include, anchored, regex))
            if anchored:
                by_path.append(regex.pattern.replace(_BELOW, "/"))
            elif _PLAIN.fullmatch(body):
                names.add(body)
            elif body[:1] == "*" and _PLAIN.fullmatch(body, 1):
                suffixes.add(body[1:])
            else:
                by_name.append(regex.pattern.replace(_BELOW, "/"))
        self._patterns.reverse()
        self._names = frozenset(names)
        self._suffixes = tuple(suffixes)
        self._by_name = _any_of(by_name)
        self._by_path = _any_of(by_path)

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def verdict(self, name: str, path: str, is_folder: bool) -> bool | None:
        """Whether an entry is ignored (`True`), kept (`False`), or not mentioned (`None`).

        Args:
            name: its name.
            path: its path from where the walk began.
            is_folder: whether it is a folder.
        """
        if not (
            name in self._names
            or name.endswith(self._suffixes)
            or (self._by_name is not None and self._by_name.search(name + "/"))
            or (
                self._by_path is not None
                and self._by_path.search(self._prefix + path[self._cut :] + "/")
            )
        ):
            return None
        tail = "/" if is_folder else ""
        own_path = self._prefix + path[self._cut :] + tail
        for pattern in self._patterns:
            subject = own_path if pattern.anchored else name + tail
            found = pattern.regex.search(subject)
            if found is not None and _is_own(found, subject, is_folder):
                return pattern.include
        return None


def _is_own(found: re.Match[str], subject: str, is_folder: bool) -> bool:
    """Whether a pattern names the entry itself, not a folder above it or what is inside it."""
    if "ps_d" in found.re.groupindex and found.group("ps_d") is not None:
        return found.end("ps_d") == len(subject)
    # `folder/**` matches what is inside, and must not take the folder's own slash for that.
    return not (is_folder and found.end() == len(subject) and found.re.pattern.endswith("/"))


def _compiled(text: str) -> list[tuple[str, bool, re.Pattern[str]]]:
    from pathspec import GitIgnoreSpec  # thirty modules that a server's start does without

    lines = text.removeprefix("\ufeff").splitlines()
    try:
        patterns = list(GitIgnoreSpec.from_lines(lines).patterns)
    except (ValueError, re.error):
        patterns = []
        for line in lines:
            try:
                patterns += GitIgnoreSpec.from_lines([line]).patterns
            except (ValueError, re.error):
                continue  # git passes over a pattern that means nothing
    found = []
    for pattern in patterns:
        regex = getattr(pattern, "regex", None)
        source = getattr(pattern, "pattern", None)
        if pattern.include is not None and regex is not None and isinstance(source, str):
            found.append((source, pattern.include, regex))
    return found


def _any_of(sources: list[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{source})" for source in sources)) if sources else None


def ignored(rules: tuple[Rules, ...], name: str, path: str, is_folder: bool) -> bool:
    """Whether an entry is ignored by rules that are ordered from the nearest to the farthest."""
    for one in rules:
        verdict = one.verdict(name, path, is_folder)
        if verdict is not None:
            return verdict
    return False


def read_rules(folder: int, name: str, *, cut: int = 0, prefix: str = "") -> Rules | None:
    """The rules in a file of an open folder; `None` when there is none that can be read.

    As with git, a `.gitignore` that is a link is not followed.
    """
    try:
        fd = os.open(name, READ_FLAGS, dir_fd=folder)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return None
        data = os.read(fd, _MAX_RULES)
    except OSError:
        return None
    finally:
        os.close(fd)
    rules = Rules(data.decode("utf-8", "surrogateescape"), cut=cut, prefix=prefix)
    return rules or None


def rules_above(folder: str, stop: str) -> tuple[Rules, ...]:
    """The rules that folders above apply to a folder inside a repository, nearest first.

    Args:
        folder: where the walk begins, resolved.
        stop: the allowed root that holds it: nothing above that is read.
    """
    found: list[Rules] = []
    here, inside = folder, ""
    while True:
        is_top = os.path.lexists(os.path.join(here, ".git"))
        try:
            fd = os.open(here, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return ()
        try:
            # The walk reads the rules of the folder it begins in.
            one = read_rules(fd, ".gitignore", prefix=inside) if inside else None
            exclude = read_rules(fd, ".git/info/exclude", prefix=inside) if is_top else None
        finally:
            os.close(fd)
        found += [rules for rules in (one, exclude) if rules is not None]
        if is_top:
            return tuple(found)
        if here == stop or here == os.path.dirname(here):
            return ()  # in no repository: only what the walk itself finds
        inside = f"{os.path.basename(here)}/{inside}"
        here = os.path.dirname(here)
