"""Sort thousands of short items that nobody has time to read: 4,000 messages to a help desk.

    python examples/clustering.py

The method: code removes duplicates, a sub-model proposes topics from a small sample, another round
of calls labels every message, 100 a call and all calls at once, and code counts and checks. The
agent reads a table of eight rows.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

from _client import connect, run

TOPICS = {
    # topic: (words that give it away, ways to say it)
    "delivery": ("parcel courier shipping delivered", (
        "my {x} has not been delivered, the courier says {n}", "where is parcel {n}?",
        "shipping of the {x} takes {n} days?!")),
    "refund": ("refund money returned", (
        "I returned the {x} and want my money, case {n}", "refund for order {n} please")),
    "login": ("password login account", (
        "cannot login since {n} o'clock", "password reset mail for account {n} never came")),
    "damage": ("broken scratched cracked", (
        "the {x} came broken, order {n}", "cracked {x}, photo {n} attached")),
    "invoice": ("invoice vat receipt", (
        "need an invoice with vat for {n}", "the receipt for the {x} shows {n} twice")),
    "cancel": ("cancel cancellation", (
        "please cancel order {n}", "cancellation of the {x} ({n}) does not work")),
}  # fmt: skip
THINGS = ("kettle", "lamp", "desk", "phone", "bicycle", "tent", "radio")

LABEL = """\
import json
import pandas as pd

unique = list(dict.fromkeys(" ".join(message.lower().split()) for message in messages))
print(f"{len(messages):,} messages, {len(unique):,} different ones")

# 1. Topics, from every 40th message.
topics = sub_llm(
    "Propose 4 to 8 topics, one word each, that these messages fall into.",
    context=unique[::40],
    schema={"type": "array", "items": {"type": "string"}, "minItems": 4, "maxItems": 8},
)
print("topics:", topics)

# 2. A topic for each message: 100 a call, all calls at once, answers checked by a schema.
batches = [unique[i : i + 100] for i in range(0, len(unique), 100)]
prompts = [
    f"Give each of the {len(batch)} messages one of these topics, in order: {json.dumps(topics)}"
    "\\n\\n" + "\\n".join(f"{i}. {text}" for i, text in enumerate(batch, 1))
    for batch in batches
]
answers = sub_llm_map(prompts, schema={"type": "array", "items": {"enum": topics + ["other"]}})

# 3. Never trust a count that can be checked.
wrong = [i for i, (batch, given) in enumerate(zip(batches, answers)) if len(batch) != len(given)]
assert not wrong, f"batches {wrong} came back with a different length"
labels = pd.DataFrame({"text": unique, "topic": [label for given in answers for label in given]})
print(labels.groupby("topic").agg(count=("text", "size"), example=("text", "first")).to_string())"""


def answer(prompt: str) -> str:
    """Stand in for a model: go by the words that give a topic away."""

    def topic_of(text: str) -> str:
        words = Counter({name: sum(word in text for word in TOPICS[name][0].split())
                         for name in TOPICS})  # fmt: skip
        name, count = words.most_common(1)[0]
        return name if count else "other"

    if prompt.startswith("Propose"):
        sample = re.findall(r'"([^"]+)"', prompt)
        return json.dumps(sorted({topic_of(text) for text in sample} - {"other"}))
    return json.dumps([topic_of(text) for text in re.findall(r"^\d+\. (.*)$", prompt, re.M)])


def write_messages(path: Path) -> dict[str, str]:
    """Write 4,000 messages as JSON Lines; returns the topic of each, to check with."""
    chance = random.Random(5)
    truth = {}
    with path.open("w") as file:
        for _ in range(4000):
            topic = chance.choice(list(TOPICS))
            text = chance.choice(TOPICS[topic][1])
            text = text.format(x=chance.choice(THINGS), n=chance.randrange(1, 900))
            truth[" ".join(text.lower().split())] = topic
            text = chance.choice((text, text.upper(), text.capitalize()))
            file.write(json.dumps(text) + "\n")
    return truth


async def main(folder: Path) -> None:
    """Write the messages, label them, and compare with what they were made from."""
    truth = write_messages(folder / "messages.jsonl")
    async with connect(folder, answer) as agent:
        await agent.call("load_variable", "4,000 messages into a list.",
                         name="messages", source="messages.jsonl")  # fmt: skip
        await agent.call("exec_code", "Topics from a sample, a label for each, and the counts.",
                         code=LABEL)  # fmt: skip
        await agent.call("save_variable", "The table goes to a file.",
                         name="labels", path="labels.jsonl")  # fmt: skip
        rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
        pairs = Counter((row["topic"], truth[row["text"]]) for row in rows)
        # Topics may have other names than ours, so: does each stand for one of ours?
        best = {label: max(n for (given, _), n in pairs.items() if given == label)
                for label, _ in pairs}  # fmt: skip
        share = sum(best.values()) / len(truth)
        print(f"\nchecked: {share:.1%} of the {len(truth):,} are with their own kind")
        assert len(rows) == len(truth) and share > 0.9
        await agent.conclude("messages", "unique", "prompts", "labels")


if __name__ == "__main__":
    run(main)
