"""Hand a whole question to another model: whose late deliveries stopped a line most often?

    python examples/delegated_question.py

The method: the sub_rlm tool. Another model (RLM_MCP_ROOT_MODEL, else the sub-model) works on a fork
of the space as you would: it looks at the data, writes code, asks sub-models about what only a
reader can judge, and submits. Your own context gets the question, the answer and a line of cost;
how it was found stays in the fork, where you can look. A budget bounds all of it.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

from _client import connect, run

QUESTION = (
    "Which supplier's late deliveries stopped a production line most often, and how often? The "
    "records of `shipments` say who was late; only the free text of `notes` says what came of it."
)
SCHEMA = {
    "type": "object",
    "properties": {"supplier": {"type": "string"}, "stops": {"type": "integer", "minimum": 0}},
    "required": ["supplier", "stops"],
    "additionalProperties": False,
}
SUPPLIERS = ("Aldo & Sons", "Brisk Freight", "Calder Metals", "Dunmore", "Ekström")
STOPPED = ("line {n} stood still for {h} h", "had to halt line {n}", "no parts, {n} idle till 9")
HARMLESS = (
    "stock lasted, nobody noticed",
    "line {n} ran on from the reserve",
    "arrived in the end",
)

# What a root model might write; the stand-in for one below says it word for word.
LOOK = """\
late = [s for s in shipments if s["days_late"] > 0]
print(len(shipments), "shipments,", len(late), "late;", shipments[0])
print(notes[late[0]["id"]])"""
JUDGE = """\
asked = sub_llm_map(
    ["Did this stop a production line? Answer yes or no.\\n\\n" + notes[s["id"]] for s in late],
    schema={"type": "string", "enum": ["yes", "no"]},
)
from collections import Counter
stops = Counter(s["supplier"] for s, said in zip(late, asked) if said == "yes")
print(stops.most_common())"""
SUBMIT = """\
supplier, count = stops.most_common(1)[0]
SUBMIT({"supplier": supplier, "stops": count})"""


def write_records(folder: Path) -> tuple[str, int]:
    """Write shipments and notes; returns the supplier that is looked for, and its count."""
    chance = random.Random(11)
    shipments, notes, stops = [], {}, Counter[str]()
    for number in range(3_000):
        supplier = chance.choice(SUPPLIERS)
        late = chance.choice((0,) * 19 + (2,)) if number >= 20 else 0
        name = f"S{number:05}"
        stopped = late and chance.random() < 0.3 + 0.4 * (supplier == "Dunmore")
        said = chance.choice(STOPPED if stopped else HARMLESS)
        notes[name] = (
            f"{name}, {supplier}. Received by {chance.choice(('Ana', 'Bo', 'Cem'))}; "
            + said.format(n=chance.randrange(1, 7), h=chance.randrange(1, 9))
            + "."
        )
        shipments.append({"id": name, "supplier": supplier, "days_late": late})
        stops[supplier] += bool(stopped)
    (folder / "shipments.json").write_text(json.dumps(shipments))
    (folder / "notes.json").write_text(json.dumps(notes))
    return stops.most_common(1)[0]


def answer(prompt: str) -> str:
    """Stand in for both models: the one that works on the question, and the one that reads."""
    if prompt.startswith("Did this stop"):
        halted = any(word in prompt for word in ("stood still", "halt", "idle"))
        return json.dumps("yes" if halted else "no")
    done = {"[turn 1 ": JUDGE, "[turn 2 ": SUBMIT}
    code = next((code for turn, code in done.items() if turn in prompt), LOOK)
    return f"```python\n{code}\n```"


async def main(folder: Path) -> None:
    """Write the records, have the question answered, and look at how it was found."""
    truth = write_records(folder)
    async with connect(folder, answer) as agent:
        for name in ("shipments", "notes"):
            await agent.call("load_variable", name=name, source=f"{name}.json")
        reply = await agent.call(
            "sub_rlm", "The question, the form of its answer, and what it may use.",
            question=QUESTION, variables=["shipments", "notes"], into="found", schema=SCHEMA,
            max_llm_calls=300, budget={"seconds": 900},
        )  # fmt: skip
        fork = reply.rpartition("run in space ")[2].partition(",")[0]
        await agent.call("exec_code", "The answer is a value like any other.", code="found")
        await agent.call("exec_code", "Its variables are in the fork, for whoever doubts it.",
                         code="stops.most_common(), len(late)", space=fork)  # fmt: skip
        found = await agent.call("exec_code", code="import json\nprint(json.dumps(found))")
        told = json.loads(found.splitlines()[0])
        print(f"\nchecked: {told}; the records were made with {truth[1]} of {truth[0]}")
        assert told["supplier"] == truth[0]
        await agent.conclude("shipments", "notes")


if __name__ == "__main__":
    run(main)
