"""Helpers and other programs are ended, whatever they do with their output."""

from __future__ import annotations

import asyncio
import sys

import pytest

from rlm_mcp.helpers._process import ended

pytestmark = pytest.mark.anyio

MUCH = "import sys, time; sys.stdout.write('x' * 5_000_000); sys.stdout.flush(); time.sleep(60)"
LEFT_BEHIND = """
import subprocess, sys, time
wait = 'import time; time.sleep(20)'
subprocess.Popen([sys.executable, '-c', wait], start_new_session=True)
print('x', flush=True); time.sleep(60)
"""


async def start(code: str) -> tuple[asyncio.subprocess.Process, asyncio.StreamReader]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=pipe, stdout=pipe
    )
    assert process.stdout is not None
    return process, process.stdout


async def test_a_program_is_ended_of_whose_output_nothing_more_is_taken() -> None:
    process, output = await start(MUCH)
    with pytest.raises(asyncio.LimitOverrunError):  # asyncio has enough, and stops reading
        await output.readuntil(b"!")
    process.kill()
    assert await ended(process) == -9


async def test_a_program_is_ended_although_what_it_started_holds_its_output() -> None:
    process, output = await start(LEFT_BEHIND)
    assert await output.readline() == b"x\n"
    process.kill()
    assert await ended(process) == -9
