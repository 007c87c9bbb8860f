from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from rlm_mcp.loaders import Roots, open_source

GIT = shutil.which("git")


def make(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def loaded(root: Path, source: str = ".") -> list[str]:
    with open_source(source, Roots([root]), max_bytes=1 << 30) as bundle:
        return [name for name, _, _ in bundle.entries]


def test_nested_rules_and_negations_hold(tmp_path: Path) -> None:
    make(
        tmp_path,
        {
            ".gitignore": "*.log\nbuild/\n/top.txt\n",
            "a.log": "",
            "top.txt": "",
            "sub/top.txt": "",
            "sub/.gitignore": "!keep.log\n",
            "sub/keep.log": "",
            "sub/other.log": "",
            "build/x": "",
            "sub/build/x": "",
        },
    )
    assert loaded(tmp_path) == [".gitignore", "sub/.gitignore", "sub/keep.log", "sub/top.txt"]


def test_the_folder_of_git_is_never_loaded_and_its_exclude_file_holds(tmp_path: Path) -> None:
    make(tmp_path, {".git/info/exclude": "secret*\n", ".git/HEAD": "", "secret.txt": "", "a": ""})
    assert loaded(tmp_path) == ["a"]


def test_rules_of_the_repository_hold_in_a_folder_below(tmp_path: Path) -> None:
    make(
        tmp_path, {".git/HEAD": "", ".gitignore": "*.o\n/src/gen/\n", "src/a.c": "", "src/a.o": ""}
    )
    make(tmp_path, {"src/gen/x.c": "", "src/deep/gen/x.c": ""})
    assert loaded(tmp_path, "src") == ["a.c", "deep/gen/x.c"]


def test_an_ignored_folder_that_is_named_itself_is_loaded(tmp_path: Path) -> None:
    make(tmp_path, {".git/HEAD": "", ".gitignore": "build/\n", "build/x": ""})
    assert loaded(tmp_path, "build") == ["x"]


def test_rules_above_the_allowed_root_are_not_read(tmp_path: Path) -> None:
    make(tmp_path, {".git/HEAD": "", ".gitignore": "*.txt\n", "root/a.txt": ""})
    assert loaded(tmp_path / "root") == ["a.txt"]


def test_a_rules_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    make(tmp_path, {"rules": "*.txt\n", "a.txt": ""})
    (tmp_path / ".gitignore").symlink_to("rules")
    assert "a.txt" in loaded(tmp_path)


def test_lines_that_mean_nothing_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".gitignore").write_bytes(b"!\n/\n[z-a]\n\xff\xfe\n\\\n***/\n*.o\n")
    make(tmp_path, {"a.o": "", "b": ""})
    assert loaded(tmp_path) == [".gitignore", "b"]


PATTERNS = [
    "*.a", "*.b", "!*.a", "x", "!x", "x/", "/x", "y/", "!y/", "x/*", "!x/y", "x/**", "**/y",
    "**/x/y", "x/**/z", "*", "!*/", "!*.b", "/y/*", "!/y/z", "z*", "[xy]", "?.a", "y.?", "!y.a",
    "/*/x", "*/z", "!z", "\\!x", "#x", "x y", "z ", "/x/**/y/", "!x/z/", "**/", "a/**", "foo/*/",
]  # fmt: skip


@pytest.mark.skipif(GIT is None, reason="git is not installed")
@pytest.mark.parametrize("seed", range(40))
def test_the_files_are_those_that_git_lists(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    names = ["x", "y", "z", "x.a", "y.a", "z.b", "a", "foo"]
    for _ in range(60):
        folders = [chance.choice(names) for _ in range(chance.randrange(4))]
        path = tmp_path.joinpath(*folders, chance.choice(names))
        if not any(up.is_file() for up in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
    places = [tmp_path, *(path for path in tmp_path.rglob("*") if path.is_dir())]
    for place in [tmp_path, *chance.sample(places, min(3, len(places)))]:
        lines = [chance.choice(PATTERNS) for _ in range(chance.randrange(1, 7))]
        (place / ".gitignore").write_text("\n".join(lines) + "\n")
    git = [str(GIT), "-C", str(tmp_path), "-c", "core.excludesFile=/dev/null"]
    subprocess.run([*git, "init", "-q"], check=True)
    listed = subprocess.run(
        [*git, "ls-files", "-z", "--others", "--exclude-standard"],
        check=True, capture_output=True, text=True,
    ).stdout.split("\0")[:-1]  # fmt: skip
    try:
        found = loaded(tmp_path)
    except Exception as error:
        assert "no files to load" in str(error)
        found = []
    assert found == sorted(listed)
