from __future__ import annotations

import os
from pathlib import Path

import pytest

from rlm_mcp.errors import BadRequestError, SourceError
from rlm_mcp.loaders import Roots, open_target


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    root.mkdir()
    return root


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def save(root: Path, path: str, data: bytes = b"new", overwrite: bool = False) -> None:
    with open_target(path, Roots([root]), overwrite) as target:
        os.write(target.fd, data)
        target.commit()


def test_a_file_appears_only_when_it_is_complete(root: Path) -> None:
    with open_target("a.txt", Roots([root])) as target:
        os.write(target.fd, b"new")
        assert not (root / "a.txt").exists()
        (temporary,) = root.iterdir()
        assert temporary.stat().st_mode & 0o777 == 0o600
        target.commit()
    assert [path.name for path in root.iterdir()] == ["a.txt"]
    assert (root / "a.txt").read_bytes() == b"new"


def test_permissions_follow_the_umask(root: Path) -> None:
    before = os.umask(0o027)
    try:
        save(root, "a.txt")
    finally:
        os.umask(before)
    assert (root / "a.txt").stat().st_mode & 0o777 == 0o640


def test_permissions_of_a_file_that_is_replaced_are_kept(root: Path) -> None:
    (root / "a.txt").write_text("old")
    (root / "a.txt").chmod(0o604)
    save(root, "a.txt", overwrite=True)
    assert (root / "a.txt").stat().st_mode & 0o777 == 0o604


def test_leaving_without_commit_leaves_nothing(root: Path) -> None:
    before = open_descriptors()
    with pytest.raises(ZeroDivisionError), open_target("a.txt", Roots([root])):
        raise ZeroDivisionError
    target = open_target("a.txt", Roots([root]))
    target.abort()
    target.abort()
    assert list(root.iterdir()) == []
    assert open_descriptors() == before


def test_committing_twice_is_an_error(root: Path) -> None:
    target = open_target("a.txt", Roots([root]))
    target.commit()
    with pytest.raises(SourceError, match="already"):
        target.commit()
    assert (root / "a.txt").exists()


def test_an_existing_file_is_replaced_only_when_asked(root: Path) -> None:
    (root / "a.txt").write_text("old")
    with pytest.raises(SourceError, match="overwrite=True"):
        save(root, "a.txt")
    assert (root / "a.txt").read_text() == "old"
    save(root, "a.txt", overwrite=True)
    assert (root / "a.txt").read_text() == "new"


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool
) -> None:
    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    with open_target("a.txt", Roots([root])) as target:
        (root / "a.txt").write_text("theirs")
        with pytest.raises(SourceError, match="exists already"):
            target.commit()
    assert [path.read_text() for path in root.iterdir()] == ["theirs"]


def refuse(*_: object, **__: object) -> None:
    raise PermissionError(1, "no hard links here")


def test_a_file_system_without_hard_links_will_do(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse)
    save(root, "a.txt")
    assert [path.read_text() for path in root.iterdir()] == ["new"]


@pytest.mark.parametrize("path", ["../a", "/etc/rlm-mcp-test", "x/../../a", "~root/a", "out/a"])
def test_a_target_out_of_the_roots_is_refused(root: Path, path: str) -> None:
    (root / "x").mkdir()
    (root / "out").symlink_to(root.parent)
    with pytest.raises(SourceError, match="outside"):
        save(root, path)
    assert [path.name for path in root.parent.iterdir()] == ["root"]


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_out_is_never_written_through(root: Path, exists: bool) -> None:
    if exists:
        (root.parent / "secret").write_text("theirs")
    (root / "a").symlink_to("../secret")
    with pytest.raises(SourceError, match="outside"):
        save(root, "a", overwrite=True)
    assert (root.parent / "secret").exists() is exists


def test_a_link_inside_is_written_through(root: Path) -> None:
    (root / "b").write_text("old")
    (root / "a").symlink_to("b")
    save(root, "a", overwrite=True)
    assert (root / "a").is_symlink() and (root / "b").read_text() == "new"


def test_a_link_out_that_appears_meanwhile_is_replaced_and_not_followed(root: Path) -> None:
    (root.parent / "secret").write_text("theirs")
    with open_target("a", Roots([root]), overwrite=True) as target:
        os.write(target.fd, b"new")
        (root / "a").symlink_to("../secret")
        target.commit()
    assert (root.parent / "secret").read_text() == "theirs"
    assert not (root / "a").is_symlink() and (root / "a").read_text() == "new"


def test_a_folder_that_is_moved_away_meanwhile_takes_the_file_along(root: Path) -> None:
    (root / "x").mkdir()
    with open_target("x/a", Roots([root])) as target:
        (root / "x").rename(root / "y")
        (root / "x").symlink_to("/tmp")
        target.commit()
    assert (root / "y" / "a").exists()


def test_a_missing_folder_is_not_made(root: Path) -> None:
    with pytest.raises(SourceError, match="makes none"):
        save(root, "x/a")
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("path", ["x", "x/", ".", "..", "", "x/.", "a\0b"])
def test_what_is_no_file_name_is_a_bad_request(root: Path, path: str) -> None:
    (root / "x").mkdir()
    with pytest.raises((BadRequestError, SourceError)):
        save(root, path, overwrite=True)
    assert [path.name for path in root.iterdir()] == ["x"]


def test_a_pipe_is_not_replaced(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(SourceError, match="regular"):
        save(root, "pipe", overwrite=True)


@pytest.mark.parametrize("path", [".git/config", "sub/.git/hooks/post-commit", ".GIT/config"])
def test_the_folder_of_git_is_not_written_to(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True)
    with pytest.raises(SourceError, match="git run commands"):
        save(root, path)


def test_a_name_as_long_as_the_system_allows_can_be_saved(root: Path) -> None:
    save(root, "x" * 255)
    with pytest.raises(SourceError):
        save(root, "x" * 256)
    assert len(list(root.iterdir())) == 1
