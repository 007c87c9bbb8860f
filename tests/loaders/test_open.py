from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rlm_mcp.errors import BadRequestError, SourceError
from rlm_mcp.loaders import Bundle, Roots, _folder, inline, open_source
from rlm_mcp.loaders._folder import Walk, pack_folder

LIMIT = 1 << 30


def opened(root: Path, source: str = ".", **options: Any) -> Bundle:
    return open_source(source, Roots([root]), **{"max_bytes": LIMIT, **options})


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def files(bundle: Bundle) -> dict[str, bytes]:
    with bundle:
        return {name: os.pread(bundle.fd, length, at) for name, at, length in bundle.entries}


def make(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"<{name}>")


def test_a_file_is_its_own_descriptor(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    bundle = opened(tmp_path, "a.txt")
    assert (bundle.kind, bundle.origin.path, bundle.size) == ("file", "a.txt", 7)
    assert bundle.entries == [("a.txt", 0, 7)]
    assert os.fstat(bundle.fd).st_ino == (tmp_path / "a.txt").stat().st_ino
    assert files(bundle) == {"a.txt": b"<a.txt>"}


def test_an_empty_file_is_fine(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    assert files(opened(tmp_path, "a")) == {"a": b""}
    assert files(opened(tmp_path)) == {"a": b""}


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    make(tmp_path, "a")
    bundle = opened(tmp_path, "a")
    bundle.close()
    bundle.close()
    with bundle:
        pass


def test_a_folder_comes_in_the_order_of_its_paths(tmp_path: Path) -> None:
    make(tmp_path, "b/x", "b.txt", "a/z/y", "a/b", "c", ".hidden")
    assert list(files(opened(tmp_path)).items()) == [
        (name, f"<{name}>".encode()) for name in (".hidden", "a/b", "a/z/y", "b.txt", "b/x", "c")
    ]


def test_files_around_the_size_of_the_buffer_arrive_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_folder, "_BUFFER", 100)
    expected = {}
    for i, size in enumerate((99, 1, 100, 98, 101, 0, 1000, 50, 49, 51, 300, 2)):
        data = os.urandom(size).replace(b"\0", b"x")
        (tmp_path / f"{i:02}").write_bytes(data)
        expected[f"{i:02}"] = data
    assert files(opened(tmp_path)) == expected


def test_binaries_are_left_out_and_counted(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    (tmp_path / "b.png").write_bytes(b"x" * 8000 + b"\0")
    (tmp_path / "late").write_bytes(b"x" * 8192 + b"\0")
    bundle = opened(tmp_path)
    assert bundle.skipped == {"binary": 1}
    assert list(files(bundle)) == ["a.txt", "late"]


def test_binaries_are_kept_when_bytes_are_wanted(tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"\0")
    assert files(opened(tmp_path, format="bytes")) == {"b.png": b"\0"}


def test_a_pattern_without_a_slash_holds_in_every_folder(tmp_path: Path) -> None:
    make(tmp_path, "a.py", "b.txt", "x/c.py", "x/y/d.py")
    assert list(files(opened(tmp_path, pattern="*.py"))) == ["a.py", "x/c.py", "x/y/d.py"]


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "x/c.py", "x/y/d.py"]),
        ("x/**/*.py", ["c.py", "y/d.py"]),
        ("x/**", ["c.py", "y/d.py", "y/e.txt"]),
        ("**/y/*", ["x/y/d.py", "x/y/e.txt"]),
        ("x/*/[de].*", ["y/d.py", "y/e.txt"]),
        ("*/?.py", ["x/c.py"]),
        ("{a,b}.{py,txt}", ["a.py", "b.txt"]),
        ("x/{y/d,c}.py", ["c.py", "y/d.py"]),
        ("./**/d.py", ["x/y/d.py"]),
    ],
)
def test_globs(tmp_path: Path, source: str, names: list[str]) -> None:
    make(tmp_path, "a.py", "b.txt", "x/c.py", "x/y/d.py", "x/y/e.txt", "z/y")
    assert list(files(opened(tmp_path, source))) == names


def test_a_name_with_brackets_is_a_name_where_it_exists(tmp_path: Path) -> None:
    make(tmp_path, "app/[id]/page.tsx", "app/i/page.tsx")
    assert files(opened(tmp_path, "app/[id]/page.tsx")) == {"page.tsx": b"<app/[id]/page.tsx>"}
    assert "[id]/page.tsx" in files(opened(tmp_path, "app/[id]/*.tsx"))


def test_folders_that_cannot_match_are_not_entered(tmp_path: Path) -> None:
    make(tmp_path, "x/a.py", "deep/b.py")
    (tmp_path / "deep").chmod(0)
    try:
        assert opened(tmp_path, "x/*.py").skipped == {}
    finally:
        (tmp_path / "deep").chmod(0o755)


def test_ignored_files_that_alone_match_are_loaded_with_a_note(tmp_path: Path) -> None:
    make(tmp_path, ".git/HEAD", "logs/a.log", "logs/b.log", "x")
    (tmp_path / ".gitignore").write_text("*.log\n")
    bundle = opened(tmp_path, "logs/*.log")
    assert "ignored" in bundle.notes[0] and bundle.skipped == {}
    assert files(bundle) == {"a.log": b"<logs/a.log>", "b.log": b"<logs/b.log>"}


@pytest.mark.parametrize("pattern", ["../*", "/etc/*", "", "a/../*", "a\0"])
def test_a_pattern_that_leads_elsewhere_is_a_bad_request(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(BadRequestError):
        opened(tmp_path, pattern=pattern)


@pytest.mark.parametrize("source", ["/etc/*", "../*", "x/../../*", "*/../../secret*"])
def test_a_glob_out_of_the_roots_is_refused(tmp_path: Path, source: str) -> None:
    (tmp_path / "root" / "x").mkdir(parents=True)
    make(tmp_path, "secret.txt")
    with pytest.raises((SourceError, BadRequestError)):
        opened(tmp_path / "root", source)


def test_many_alternatives_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="alternatives"):
        opened(tmp_path, "{a,b}" * 40)


def test_a_folder_without_files_and_a_glob_without_match_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no files"):
        opened(tmp_path)
    (tmp_path / "a.bin").write_bytes(b"\0")
    with pytest.raises(SourceError, match=r"1 binary.*format='bytes'"):
        opened(tmp_path)
    with pytest.raises(SourceError, match=r"No file matches '\*\.py'"):
        opened(tmp_path, "*.py")


def test_a_pattern_goes_with_a_file_which_may_be_an_archive(tmp_path: Path) -> None:
    make(tmp_path, "a.txt")
    with opened(tmp_path, "a.txt", pattern="*") as bundle:
        assert bundle.pattern == "*"
    with pytest.raises(BadRequestError, match="wildcards already"):
        opened(tmp_path, "*.txt", pattern="*")


@pytest.mark.parametrize(
    "source", ["http://localhost/x", "HTTPS://x", "ftp://x", "space:other/name", "file:///etc/x"]
)
def test_what_is_not_supported_yet_says_what_is(tmp_path: Path, source: str) -> None:
    with pytest.raises((SourceError, BadRequestError), match="Files, folders and globs"):
        opened(tmp_path, source)


def test_an_unknown_format_names_those_that_exist(tmp_path: Path) -> None:
    with pytest.raises(BadRequestError, match="jsonl"):
        opened(tmp_path, format="no-such")


def test_a_sparse_terabyte_is_refused_at_once(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(SourceError, match=r"1,099,511,627,776 bytes"):
        opened(tmp_path, "huge")
    make(tmp_path, "a")
    bundle = opened(tmp_path)
    assert bundle.skipped == {"over 64 MB": 1} and bundle.notes == ["over 64 MB: huge"]


def test_a_folder_with_more_bytes_than_fit_is_refused(tmp_path: Path) -> None:
    make(tmp_path, "a", "b", "c")
    with pytest.raises(SourceError, match=r"more than 7 bytes.*pattern="):
        opened(tmp_path, max_bytes=7)


@pytest.mark.parametrize("limit", [{"max_files": 2}, {"max_seen": 2}])
def test_too_many_entries_are_refused_with_the_way_to_narrow_them(
    tmp_path: Path, limit: dict[str, int]
) -> None:
    make(tmp_path, "a", "b/c", "b/d")
    fd = Roots([tmp_path]).open_folder(".")
    walk = Walk(str(tmp_path), ".", LIMIT, **limit)  # type: ignore[arg-type]
    before = open_descriptors()
    with pytest.raises(SourceError, match="pattern="):
        pack_folder(fd, walk)
    assert open_descriptors() == before
    os.close(fd)


def test_links_are_followed_to_files_inside_and_counted_otherwise(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, "a", "x/y")
    make(tmp_path, "secret")
    (root / "in").symlink_to("x/y")
    (root / "x" / "up").symlink_to("../a")
    (root / "out").symlink_to("../secret")
    (root / "etc").symlink_to("/etc")
    (root / "loop").symlink_to(".")
    (root / "folder").symlink_to("x")
    (root / "broken").symlink_to("none")
    (root / "self").symlink_to("self")
    bundle = opened(root)
    assert bundle.skipped == {
        "broken link": 2, "link out of the folder": 2, "link to a folder": 2,
    }  # fmt: skip
    assert files(bundle) == {"a": b"<a>", "in": b"<x/y>", "x/up": b"<a>", "x/y": b"<x/y>"}


def test_special_files_are_counted_and_not_waited_for(tmp_path: Path) -> None:
    make(tmp_path, "a")
    os.mkfifo(tmp_path / "pipe")
    assert opened(tmp_path).skipped == {"special file": 1}


def test_a_file_that_cannot_be_read_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a", "b")
    swap_when_opened(monkeypatch, "a", lambda: (_ for _ in ()).throw(PermissionError()))
    bundle = opened(tmp_path)
    assert bundle.skipped == {"unreadable": 1} and list(files(bundle)) == ["b"]


def test_a_file_swapped_for_a_link_out_after_the_listing_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    make(root, "a", "b")
    make(tmp_path, "secret")

    def swap() -> None:
        (root / "a").unlink()
        (root / "a").symlink_to("../secret")

    swap_when_opened(monkeypatch, "a", swap)
    bundle = opened(root)
    assert bundle.skipped == {"unreadable": 1} and files(bundle) == {"b": b"<b>"}


def test_a_folder_swapped_for_a_link_out_after_the_listing_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    make(root, "x/a", "y")
    make(tmp_path, "other/a")

    def swap() -> None:
        (root / "x").rename(root / "moved")
        (root / "x").symlink_to("../other")

    swap_when_opened(monkeypatch, "x", swap)
    bundle = opened(root)
    assert bundle.skipped == {"unreadable": 1} and files(bundle) == {"y": b"<y>"}


@pytest.mark.parametrize("size", [3, 10])
def test_a_file_of_a_folder_that_changes_while_it_is_read_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    real = os.fstat

    def change_after(fd: int) -> os.stat_result:
        found = real(fd)
        if found.st_size == 5:
            os.truncate(tmp_path / "a", size)
        return found

    monkeypatch.setattr(os, "fstat", change_after)
    bundle = opened(tmp_path, format="bytes")
    monkeypatch.undo()
    assert bundle.notes == ["1 files changed while they were read."]
    assert files(bundle) == {"a": b"12345"[: min(size, 5)]}


def test_a_single_file_that_was_cut_or_written_over_is_refused_afterwards(tmp_path: Path) -> None:
    make(tmp_path, "a")
    with opened(tmp_path, "a") as bundle:
        bundle.verify()
        os.truncate(tmp_path / "a", 1)
        with pytest.raises(SourceError, match="was changed"):
            bundle.verify()
    with opened(tmp_path, "a") as bundle:
        os.utime(tmp_path / "a", ns=(1, 1))
        with pytest.raises(SourceError, match="was changed"):
            bundle.verify()


def test_a_single_file_that_grew_is_noted(tmp_path: Path) -> None:
    make(tmp_path, "a")
    with opened(tmp_path, "a") as bundle:
        with open(tmp_path / "a", "a") as file:
            file.write("more")
        bundle.verify()
        assert "grew by 4 bytes" in bundle.notes[0]


def test_names_that_are_no_utf8_are_shown_escaped(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_text("x")
    (tmp_path / "日本\n.txt").write_text("y")
    assert files(opened(tmp_path)) == {r"caf\xe9": b"x", "日本\n.txt": b"y"}


def test_folders_inside_each_other_without_end_are_cut_off(tmp_path: Path) -> None:
    make(tmp_path, "a")
    deep = os.open(tmp_path, os.O_RDONLY)
    for _ in range(150):
        os.mkdir("d", dir_fd=deep)
        deeper = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = deeper
    os.close(deep)
    assert opened(tmp_path).skipped == {"too deep": 1}


def test_inline_text_and_json_come_as_bundles() -> None:
    bundle = inline("héllo")
    assert (bundle.format, bundle.kind) == ("text", "file")
    assert list(files(bundle).values()) == ["héllo".encode()]
    value = {"a": [1, None, "\ud800"]}
    bundle = inline(value)
    assert bundle.format == "json"
    assert json.loads(next(iter(files(bundle).values()))) == value


@pytest.mark.parametrize("value", ["\ud800", {1, 2}, b"x"])
def test_inline_values_that_are_neither_are_bad_requests(value: Any) -> None:
    with pytest.raises(BadRequestError):
        inline(value)


def test_inline_values_nested_too_deeply_are_bad_requests() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadRequestError, match="deeply"):
        inline(value)


def swap_when_opened(
    monkeypatch: pytest.MonkeyPatch, name: str, swap: Callable[[], object]
) -> None:
    """Do something just before the walk opens an entry that it has listed."""
    real = os.open

    def open_after(path: Any, *args: Any, **options: Any) -> int:
        if path == name:
            swap()
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", open_after)
