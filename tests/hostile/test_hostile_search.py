"""The search program reads what a user loaded, so it may be taken over: what it reaches then."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="these walls are those of Linux"),
]
WALLS = """
import json
from rlm_mcp.worker._lockdown import lock_down
print(json.dumps(lock_down()))
"""


@pytest.fixture(scope="module", autouse=True)
def walls() -> None:
    """Skip where the kernel has none of these."""
    found = subprocess.run([sys.executable, "-c", WALLS], stdout=subprocess.PIPE, check=True).stdout
    if not {"landlock", "seccomp"} <= set(json.loads(found)):
        pytest.skip("this kernel lacks Landlock or seccomp")


def become(program: str, *arguments: str, source: Path) -> tuple[int, bytes]:
    """Run another program in the place of the search program."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"there is no {program} here")
    command = [sys.executable, "-P", "-m", "rlm_mcp.helpers.search", str(Path(path).resolve())]
    with source.open("rb") as file:
        done = subprocess.run(
            [*command, *arguments],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"SECRET": "sk-secret"},
        )
    return done.returncode, done.stdout


def test_it_reads_the_file_that_it_was_given_and_no_other(tmp_path: Path) -> None:
    source, other = tmp_path / "source.txt", tmp_path / "other.txt"
    source.write_text("what was loaded")
    other.write_text("another file")
    assert become("cat", "-", source=source) == (0, b"what was loaded")
    assert become("cat", "/proc/self/fd/0", source=source) == (0, b"what was loaded")
    for path in (str(other), "/etc/passwd", "/proc/self/environ", f"/proc/{1}/environ", "/etc"):
        status, output = become("cat", path, source=source)
        assert (status != 0, output) == (True, b""), path


def test_it_writes_no_file_starts_no_program_and_has_no_secrets(tmp_path: Path) -> None:
    source = tmp_path / "source.txt"
    source.write_text("what was loaded")
    script = f"echo $SECRET; echo written > {tmp_path}/new; echo written > {source}; exec cat -"
    _, output = become("sh", "-c", script, source=source)
    assert output == b"\n", "the environment is empty, and nothing else runs"
    assert not (tmp_path / "new").exists()
    assert source.read_text() == "what was loaded"
