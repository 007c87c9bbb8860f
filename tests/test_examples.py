"""The examples as a reader runs them: no key, no network, each checks its own answer."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.sandbox import Cache

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("[!_]*.py"))
LAST_LINE = re.compile(
    r"characters in the agent's context: ([\d,]+); characters in variables: ([\d,]+)"
)


def test_there_is_a_client_and_an_example_for_each_of_eight_uses() -> None:
    assert NAMES == [
        "clustering",
        "codebase_question",
        "delegated_question",
        "dependent_calls",
        "multi_hop",
        "needle",
        "scripted_client",
        "shell_question",
        "structure",
    ]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NAMES)
def test_an_example_finds_its_answer_and_ends_with_the_count(
    name: str, sandbox_cache: Cache, tmp_path: Path
) -> None:
    user, temporary = tmp_path / "user", tmp_path / "temporary"
    user.mkdir()
    temporary.mkdir()
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py")],
        # Nothing of the user's: no keys, no settings.
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(user),
            "TMPDIR": str(temporary),
            "RLM_MCP_CONFIG": os.devnull,
            "RLM_MCP_CACHE": str(sandbox_cache.folder),
        },
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counts = LAST_LINE.fullmatch(done.stdout.splitlines()[-1])
    assert counts is not None, done.stdout[-500:]
    context, variables = (int(count.replace(",", "")) for count in counts.groups())
    assert 0 < context < min(variables, 20_000)
    assert not list(user.rglob("*.sqlite"))
    assert not list(temporary.iterdir())
