from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rlm_mcp.errors import BadRequestError, SourceError
from rlm_mcp.loaders import Roots, _roots


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    root.mkdir()
    (root / "a.txt").write_text("inside")
    (tmp_path / "secret.txt").write_text("outside")
    (tmp_path / "project-two").mkdir()
    (tmp_path / "project-two" / "a.txt").write_text("outside")
    return root


def open_descriptors() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def content(roots: Roots, path: str) -> bytes:
    fd = roots.open_file(path)
    try:
        return os.read(fd, 100)
    finally:
        os.close(fd)


def test_a_relative_path_starts_at_the_first_root(root: Path) -> None:
    assert content(Roots([root, root.parent]), "a.txt") == b"inside"


def test_an_absolute_path_inside_of_any_root_is_opened(root: Path) -> None:
    roots = Roots([root, root.parent / "project-two"])
    assert content(roots, str(root.parent / "project-two" / "a.txt")) == b"outside"


def test_the_home_folder_is_expanded(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(root))
    assert content(Roots(["~"]), "~/a.txt") == b"inside"


@pytest.mark.parametrize(
    "path",
    [
        "../secret.txt",
        "/etc/passwd",
        "sub/../../secret.txt",
        "../project-two/a.txt",
        "~root/.bashrc",
        "/proc/self/root/etc/passwd",
        "//etc/passwd",
    ],
)
def test_a_path_out_of_the_roots_is_refused_and_the_error_says_how_to_add_one(
    root: Path, path: str
) -> None:
    with pytest.raises(SourceError, match=r"outside of the allowed.*--allow PATH.*RLM_MCP_ALLOW"):
        Roots([root]).open_file(path)


def test_whether_a_file_outside_exists_is_not_told(root: Path) -> None:
    errors = []
    for name in ("../secret.txt", "../nothing.txt"):
        with pytest.raises(SourceError) as caught:
            Roots([root]).open_file(name)
        errors.append(str(caught.value).replace(name, "X"))
    assert errors[0] == errors[1]


def test_a_dotted_path_that_stays_inside_is_fine(root: Path) -> None:
    assert content(Roots([root]), "../project/./a.txt") == b"inside"


def test_a_link_that_stays_inside_is_followed(root: Path) -> None:
    (root / "link").symlink_to("a.txt")
    (root / "folder").symlink_to(".")
    assert content(Roots([root]), "folder/link") == b"inside"


def test_a_link_out_is_refused(root: Path) -> None:
    (root / "link").symlink_to("../secret.txt")
    (root / "folder").symlink_to("/etc")
    for path in ("link", "folder/passwd"):
        with pytest.raises(SourceError, match="outside"):
            Roots([root]).open_file(path)


def test_a_root_that_is_a_link_counts_as_where_it_leads(root: Path) -> None:
    (root.parent / "short").symlink_to(root)
    assert content(Roots([root.parent / "short"]), str(root.parent / "short/a.txt")) == b"inside"


def test_a_root_may_be_a_single_file(root: Path) -> None:
    roots = Roots([root.parent / "project-two", root / "a.txt"])
    assert content(roots, str(root / "a.txt")) == b"inside"
    with pytest.raises(SourceError, match="outside"):
        roots.open_file(str(root / "b.txt"))


def test_a_link_that_leads_to_itself_is_an_error(root: Path) -> None:
    (root / "loop").symlink_to("loop")
    with pytest.raises(SourceError, match=r"circle|does not exist|links"):
        Roots([root]).open_file("loop")


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_what_becomes_a_link_out_after_the_check_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    (root / "folder").mkdir()
    (root / "folder" / "a.txt").write_text("inside")
    roots = Roots([root])
    real = os.path.realpath
    swaps = 0

    def swap_after(path: str) -> str:
        nonlocal swaps
        if swaps:  # it is a link now: keep on resolving it as if it were not
            return str(root / "folder" / "a.txt")
        found = real(path)
        swaps += 1
        (root / "folder").rename(root / "old")
        if swapped == "folder":
            (root / "folder").symlink_to(root.parent / "project-two")
        else:
            (root / "folder").mkdir()
            (root / "folder" / "a.txt").symlink_to(root.parent / "secret.txt")
        return found

    monkeypatch.setattr(_roots, "_realpath", swap_after)
    with pytest.raises(SourceError, match="change all the time"):
        roots.open_file("folder/a.txt")


def test_a_change_between_check_and_use_that_stays_inside_is_only_resolved_again(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "b.txt").write_text("b")
    roots = Roots([root])
    real = os.path.realpath

    def swap_after(path: str) -> str:
        found = real(path)
        if not (root / "b.txt").is_symlink():
            (root / "b.txt").unlink()
            (root / "b.txt").symlink_to("a.txt")
        return found

    monkeypatch.setattr(_roots, "_realpath", swap_after)
    assert content(roots, "b.txt") == b"inside"


def test_a_pipe_is_refused_without_waiting_for_a_writer(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(SourceError, match="named pipe"):
        Roots([root]).open_file("pipe")


def test_a_socket_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(SourceError, match="socket"):
            Roots([root]).open_file("socket")


def test_a_device_is_refused() -> None:
    with pytest.raises(SourceError, match="device"):
        Roots(["/dev"]).open_file("null")


@pytest.mark.parametrize("path", ["a\0b", "", "\ud800"])
def test_a_path_that_cannot_be_one_is_a_bad_request(root: Path, path: str) -> None:
    with pytest.raises(BadRequestError):
        Roots([root]).open_file(path)


def test_a_name_that_is_too_long_is_an_error(root: Path) -> None:
    with pytest.raises(BadRequestError, match="5,000 characters"):
        Roots([root]).open_file("x" * 5000)
    with pytest.raises(SourceError):
        Roots([root]).open_file("x" * 300)


def test_a_missing_file_names_what_is_near(root: Path) -> None:
    (root / "README.md").write_text("")
    with pytest.raises(SourceError, match=r"does not exist.*Did you mean: 'README\.md'"):
        Roots([root]).open_file("readme.md")


def test_a_missing_folder_on_the_way_names_what_is_near(root: Path) -> None:
    (root / "source").mkdir()
    with pytest.raises(SourceError, match=r"no folder 'sourse'.*Did you mean: 'source'"):
        Roots([root]).open_file("sourse/main.py")


def test_a_file_on_the_way_is_told_as_missing(root: Path) -> None:
    with pytest.raises(SourceError, match=r"no folder 'a\.txt'"):
        Roots([root]).open_file("a.txt/b")


def test_a_folder_is_no_file_and_a_file_no_folder(root: Path) -> None:
    with pytest.raises(SourceError, match="is a folder"):
        Roots([root]).open_file(".")
    with pytest.raises(SourceError, match="is a file"):
        Roots([root]).open_folder("a.txt")


def test_a_root_that_does_not_exist_is_a_bad_request(root: Path) -> None:
    with pytest.raises(BadRequestError, match="does not exist"):
        Roots([root / "none"])
    with pytest.raises(BadRequestError, match="--allow"):
        Roots([])


def test_the_whole_file_system_can_be_a_root(root: Path) -> None:
    assert content(Roots(["/"]), str(root / "a.txt")) == b"inside"


def test_nothing_stays_open_after_errors(root: Path) -> None:
    (root / "out").symlink_to("/etc")
    os.mkfifo(root / "pipe")
    roots = Roots([root])
    before = open_descriptors()
    for path in ("none/none", "out/passwd", "pipe", "a.txt/b", "."):
        with pytest.raises(SourceError):
            roots.open_file(path)
    assert open_descriptors() == before
