"""Answer a question over files from a shell, without an agent: `rlm-mcp run`.

    python examples/shell_question.py

The method: the same loop as sub_rlm, as a command. Variables are named with --var NAME=@PATH (a
file, a folder, a glob), the root model with --root-model or RLM_MCP_ROOT_MODEL, and what it may use
with --budget. The answer goes to standard output, progress to standard error, so that it fits into
a script; the exit code says whether it was submitted (0) or only the best so far (3).
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from pathlib import Path

from _client import environment, run

QUESTION = "In which hour of the night did the backup fail, on which hosts, and why?"
SCHEMA = {
    "type": "object",
    "properties": {
        "hour": {"type": "integer"},
        "hosts": {"type": "array", "items": {"type": "string"}},
        "why": {"type": "string"},
    },
    "required": ["hour", "hosts", "why"],
}
HOSTS = ("ada", "bell", "curie", "dijkstra")

# What a root model might write; the stand-in for one below says it word for word.
LOOK = """\
failed = {name: grep("backup.*(failed|gave up)", text) for name, text in logs.items()}
failed = {name: hits for name, hits in failed.items() if hits}
for name, hits in failed.items():
    print(name, lines(logs[name], hits[0].line - 2, hits[0].line))"""
SUBMIT = """\
hosts = sorted(name.removesuffix(".log") for name in failed)
first = next(iter(failed.values()))[0]
context = lines(logs[next(iter(failed))], first.line - 2, first.line)
why = sub_llm("Why did the backup fail? One sentence.", context=str(context))
SUBMIT(hour=int(first.text[11:13]), hosts=hosts, why=why)"""


def write_logs(folder: Path) -> int:
    """Write the logs of a night on four hosts; returns their characters."""
    chance = random.Random(5)
    written = 0
    for host in HOSTS:
        lines = []
        for second in range(0, 6 * 3600, 3):
            clock = f"2026-03-02T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
            lines.append(f"{clock} {host} job {chance.getrandbits(24):06x} finished")
            if second == 3 * 3600 + 600 and host in ("bell", "curie"):
                lines.append(f"{clock} {host} disk /mnt/vault went read-only, journal aborted")
                lines.append(f"{clock} {host} backup failed after 3 tries")
        text = "\n".join(lines)
        (folder / f"{host}.log").write_text(text)
        written += len(text)
    return written


def answer(prompt: str) -> str:
    """Stand in for both models: the one that works on the question, and the one that reads."""
    if prompt.startswith("Why did"):
        return "The disk of the vault went read-only." if "read-only" in prompt else "Unknown."
    return f"```python\n{SUBMIT if '[turn 1 ' in prompt else LOOK}\n```"


async def main(folder: Path) -> None:
    """Write the logs, run the command as a shell would, and read its answer."""
    written = write_logs(folder)
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    arguments = [
        "run", QUESTION, "--var", "logs=@*.log", "--schema", "schema.json",
        "--budget", "seconds=900", "--max-llm-calls", "30",
    ]  # fmt: skip
    print("$ rlm-mcp", *(f"'{part}'" if " " in part or "*" in part else part for part in arguments))
    with environment(answer) as environ:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "rlm_mcp.cli", *arguments,
            cwd=folder, env=environ, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, _ = await process.communicate()
    print(output.decode())
    assert process.returncode == 0, f"exit code {process.returncode}"
    found = json.loads(output)
    print(f"checked: hour {found['hour']}, hosts {found['hosts']}")
    assert (found["hour"], found["hosts"]) == (3, ["bell", "curie"])
    print(
        f"\ncharacters in the agent's context: {len(' '.join(arguments)) + len(output):,}; "
        f"characters in variables: {written:,}"
    )


if __name__ == "__main__":
    run(main)
