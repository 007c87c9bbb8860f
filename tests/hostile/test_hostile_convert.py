"""The helper process that reads what the guest cannot: locked down before it looks at a file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.loaders import scratch

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the walls are those of Linux"),
]

PARSE = (
    "import sys; sys.path.insert(0, {root!r})\n"
    "import rlm_mcp.helpers.parse as process\n"
    "process.FORMATS['evil'] = ('tests.hostile._evil', 'attempt_parsing')\n"
    "process.main()"
)
MAIN = (
    "import sys; sys.path.insert(0, {root!r})\n"
    "import rlm_mcp.helpers.convert as process\n"
    "process.OPERATIONS['evil'] = ('tests.hostile._evil', 'attempt')\n"
    "process.main()"
)


def test_a_file_that_takes_over_its_helper_reaches_nothing() -> None:
    root = str(Path(__file__).parents[2])
    source, target = scratch(), scratch()
    found = subprocess.run(
        [sys.executable, "-c", MAIN.format(root=root), "evil", str(source), str(target), "1000"],
        env={},
        pass_fds=(source, target),
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert json.loads(found.stdout) == {"notes": []}, found
    assert os.pread(target, 10, 0) == b"tried"
    os.close(source)
    os.close(target)


def test_a_document_that_takes_over_its_parser_reaches_nothing() -> None:
    root = str(Path(__file__).parents[2])
    source, target = scratch(), scratch()
    found = subprocess.run(
        [sys.executable, "-c", PARSE.format(root=root), "evil", str(source), str(target), "1000"],
        env={},
        pass_fds=(source, target),
        input=b"[[0, 0]]",
        capture_output=True,
        timeout=50,
        check=False,
    )
    assert json.loads(found.stdout) == {"size": 2}, found
    assert os.pread(target, 10, 0) == b"[]"
    os.close(source)
    os.close(target)
