"""Questions that depend on the answer before them: 200 tickets, two or three questions each.

    python examples/dependent_calls.py

The method: `await` in the sandbox. One coroutine is the way of one ticket: what is it about, then,
by the answer, what else has to be known. `asyncio.TaskGroup` walks all of them at the same time,
so that no ticket waits for the slowest of a stage, as it would with one sub_llm_map after another.
A ticket whose call fails is kept with its error and does not end the others.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from _client import connect, run

WAY = """\
import asyncio
from dataclasses import dataclass
from typing import Literal

@dataclass
class Kind:
    kind: Literal["bug", "billing", "praise"]

@dataclass
class Bug:
    part: Literal["login", "export", "search"]
    version: str

async def way(ticket):
    kind = (await asub_llm("What is this ticket about?", context=ticket, schema=Kind)).kind
    if kind == "praise":
        return {"kind": kind}
    if kind == "billing":
        euro = await asub_llm("How many euro are in dispute?", context=ticket, schema=int)
        return {"kind": kind, "euro": euro}
    bug = await asub_llm("Which part, which version?", context=ticket, schema=Bug)
    if bug.version in KNOWN_BAD:
        return {"kind": kind, "part": bug.part, "known": True}
    urgent = await asub_llm("Can the customer still work?", context=ticket, schema=bool)
    return {"kind": kind, "part": bug.part, "known": False, "blocked": not urgent}

async def kept(ticket):
    try:
        return await way(ticket)
    except SubLLMError as error:  # one that fails must not end the others
        return {"kind": "unread", "why": error.kind}

KNOWN_BAD = {"4.1"}
async with asyncio.TaskGroup() as group:
    tasks = [group.create_task(kept(ticket)) for ticket in tickets]
found = [task.result() for task in tasks]

from collections import Counter
print(Counter(row["kind"] for row in found))
print("to be looked at first:", Counter(row["part"] for row in found if row.get("blocked")))"""


def write_tickets(path: Path) -> tuple[int, int]:
    """Write the tickets; returns how many are bugs, and how many of those block somebody."""
    chance = random.Random(23)
    tickets, bugs, blocked = [], 0, 0
    for _ in range(200):
        kind = chance.choice(("bug", "bug", "billing", "praise"))
        part, version = chance.choice(("login", "export", "search")), chance.choice(("4.1", "4.2"))
        stuck = chance.random() < 0.4
        if kind == "bug":
            end = "We cannot work at all." if stuck else "Not urgent, we found a way around it."
            text = f"Since {version} the {part} page shows an empty box. {end}"
            bugs += 1
            blocked += stuck and version != "4.1"
        elif kind == "billing":
            text = f"You charged us {chance.randrange(20, 900)} EUR twice, please correct that."
        else:
            text = "Just to say that the new colours are lovely. Keep going!"
        tickets.append(f"Hello. {text} Regards, {chance.choice(('Mia', 'Jon', 'Lu'))}")
    path.write_text(json.dumps(tickets))
    return bugs, blocked


def answer(prompt: str) -> str:
    """Stand in for a model, with what stands in the ticket."""
    question, _, ticket = prompt.partition("\n\n")
    if question.startswith("What is this"):
        kind = "bug" if "Since" in ticket else "billing" if "EUR" in ticket else "praise"
        return json.dumps({"kind": kind})
    if question.startswith("How many euro"):
        euro = re.search(r"(\d+) EUR", ticket)
        return euro[1] if euro else "0"
    if question.startswith("Which part"):
        found = re.search(r"Since (\S+) the (\w+) page", ticket)
        assert found, ticket
        return json.dumps({"part": found[2], "version": found[1]})
    return json.dumps("cannot work" not in ticket)


async def main(folder: Path) -> None:
    """Write the tickets, send each on its way, and compare."""
    bugs, blocked = write_tickets(folder / "tickets.json")
    async with connect(folder, answer) as agent:
        await agent.call("load_variable", "200 tickets into a list.",
                         name="tickets", source="tickets.json")  # fmt: skip
        await agent.call("exec_code", "Each ticket goes its own way, all at the same time.",
                         code=WAY, budget={"calls": 700, "seconds": 900})  # fmt: skip
        reply = await agent.call(
            "exec_code",
            code='sum(row["kind"] == "bug" for row in found), sum(bool(row.get("blocked")) for '
            "row in found)",
        )
        told = re.search(r"=> \((\d+), (\d+)\)", reply)
        assert told, reply
        print(f"\nchecked: {told[1]} of {bugs} bugs found, {told[2]} of {blocked} that block")
        assert abs(int(told[1]) - bugs) <= bugs * 0.05
        await agent.conclude("tickets", "found")


if __name__ == "__main__":
    run(main)
