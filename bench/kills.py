"""`kill -9` at random moments, again and again on the same home: what was acknowledged must be
there, and must fit together. The victim is the server, its worker, or both.

`python -m bench.kills [COUNT]` (default 500, about 1.5 s each)
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rlm_mcp.settings import load_settings

ROOT = Path(__file__).parents[1]
LONGEST_SECONDS = 2.5


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in text.split()]
    return []


def one(home: str, cache: str, chance: random.Random) -> tuple[str, int | None, int, bool]:
    """Run a server until it is killed; says the victim, what it held and acknowledged last."""
    command = [sys.executable, "-m", "tests.survival.driver", home, cache, "100000"]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        time.sleep(chance.uniform(0.2, LONGEST_SECONDS))
        victim = chance.choice(["server", "worker", "both"])
        targets = [process.pid] if victim != "worker" else []
        targets += children(process.pid) if victim != "server" else []
        for target in targets:
            with contextlib.suppress(ProcessLookupError):
                os.kill(target, signal.SIGKILL)
        if victim == "worker":
            time.sleep(chance.uniform(0, 0.3))
            process.kill()
        output, errors = process.communicate()
    held, last = None, 0
    for line in output.decode().splitlines():
        word, _, number = line.partition(" ")
        if word == "held":
            held = int(number)
        if word in ("held", "ack"):
            last = int(number)
    # What fails in the guest is an assertion of the check or of a step.
    torn = b"<execution" in errors
    if torn:
        sys.stdout.write(errors.decode()[-2000:] + "\n")
    return victim, held, last, torn


def main() -> None:
    """Kill, open again, compare."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    chance = random.Random(20261122)
    kills: Counter[str] = Counter()
    lost = torn = 0
    acknowledged = 0
    cache = str(load_settings({}).cache)
    with tempfile.TemporaryDirectory() as home:
        for _ in range(count):
            victim, held, last, was_torn = one(home, cache, chance)
            kills[victim] += 1
            torn += was_torn
            if held is not None:
                lost += held < acknowledged
                acknowledged = max(acknowledged, held)
            acknowledged = max(acknowledged, last)
    victims = ", ".join(f"{number} of the {name}" for name, number in sorted(kills.items()))
    print("| what | measured | reach |\n|---|---|---|")
    print(
        f"| {count} kills at random moments ({victims}), {acknowledged} acknowledged steps "
        f"| {lost} lost, {torn} torn | none, none |"
    )


if __name__ == "__main__":
    main()
