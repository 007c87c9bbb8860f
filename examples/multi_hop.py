"""Chain facts across documents: the answer is in none of them, only in five of them together.

    python examples/multi_hop.py

Question: the designer of the Meridian Bridge was born in a town; on which river does the capital of
its province stand? The method: a loop in code. Each hop searches 600 documents for the name found
last, gives the few passages to a sub-model with a schema, and accepts an answer only with a quote
that stands, letter for letter, in a document. Nothing but the chain is printed.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from _client import connect, run

FACTS = (
    "The Meridian Bridge was designed by Ilse Brandt and opened to great applause.",
    "The engineer Ilse Brandt was born in Tarvik as the daughter of a ferryman.",
    "The fishing town of Tarvik lies in the province of Ostmere, far from the railway.",
    "The capital of Ostmere is Velden, which is older than the province itself.",
    "Velden stands on the river Nessa where it leaves the hills.",
)
DISTRACTORS = (
    "The Meridian Bridge was repainted in green by order of the council.",
    "Ilse Brandt was fond of opera and sent letters from every journey.",
    "A ferry to Tarvik sails twice a week in summer.",
    "Ostmere is known for its apples.",
    "The painter Anton Velden was not born on any river.",
)
FILLER = (
    "The weather that year was mild, and the harvest came early.",
    "Records of the time are incomplete, as the archive burned down twice.",
    "Travellers praised the inns and complained of the roads.",
    "A second edition of the almanac corrected most of the dates.",
    "The council met on Tuesdays and seldom agreed.",
)

LOOP = """\
import re

hops = [
    ("Who designed the {}?", "Meridian Bridge"),
    ("In which town was {} born?", None),
    ("In which province does {} lie?", None),
    ("What is the capital of {}?", None),
    ("On which river does {} stand?", None),
]
schema = {
    "type": "object",
    "properties": {"answer": {"type": ["string", "null"]}, "quote": {"type": "string"}},
    "required": ["answer", "quote"],
}
chain, known = [], None
for question, start in hops:
    question = question.format(start or known)
    subject = start or known
    passages = [f"[{hit.where}] {hit.text}" for hit in grep(re.escape(subject), documents)]
    prompts = [
        f"{question} Use only the passages. Answer with the bare name and the sentence that says "
        "so, or null.\\n\\n" + piece
        for piece in chunks(passages, 20_000)
    ]
    replies = [r for r in sub_llm_map(prompts, schema=schema) if r["answer"]]
    # An answer counts only if its quote is really there.
    proven = [
        (reply["answer"], hit.where)
        for reply in replies
        for hit in grep(re.escape(reply["quote"].strip()), documents)
    ]
    assert proven, f"no proof for: {question}"
    known, where = proven[0]
    chain.append({"question": question, "answer": known, "where": where})
for step in chain:
    print(f"{step['question']:45} {step['answer']:14} {step['where']}")
known"""

SAYS = {
    "Who designed the": r"{} was designed by (\w+ \w+)",
    "In which town was": r"{} was born in (\w+)",
    "In which province does": r"{} lies in the province of (\w+)",
    "What is the capital of": r"capital of {} is (\w+)",
    "On which river does": r"{} stands on the river (\w+)",
}


def answer(prompt: str) -> str:
    """Stand in for a model: read the question, find the sentence that answers it."""
    for begin, says in SAYS.items():
        asked = re.search(begin + r" (.+?)(?: born| lie| stand)?\?", prompt)
        if asked is None:
            continue
        for sentence in re.findall(r"[A-Z][^.\n]*\.", prompt[asked.end() :]):
            found = re.search(says.format(re.escape(asked[1])), sentence)
            if found:
                return json.dumps({"answer": found[1], "quote": sentence})
    return json.dumps({"answer": None, "quote": ""})


def write_documents(folder: Path) -> None:
    """Write 600 documents; one fact or distractor is in each of ten of them."""
    chance = random.Random(11)
    planted = dict(zip(chance.sample(range(600), 10), FACTS + DISTRACTORS, strict=True))
    for number in range(600):
        sentences = chance.choices(FILLER, k=90)
        if number in planted:
            sentences.insert(chance.randrange(90), planted[number])
        text = "\n".join(" ".join(sentences[i : i + 6]) for i in range(0, len(sentences), 6))
        (folder / f"chronicle-{number:03}.txt").write_text(text)


async def main(folder: Path) -> None:
    """Write the documents and follow the chain through them."""
    write_documents(folder)
    async with connect(folder, answer) as agent:
        await agent.call("load_variable", "600 documents into one variable.",
                         name="documents", source="chronicle-*.txt")  # fmt: skip
        reply = await agent.call("exec_code", "Five hops in one loop; each answer needs a proof.",
                                 code=LOOP)  # fmt: skip
        assert "=> 'Nessa'" in reply
        last = re.findall(r"Nessa +(\S+)", reply)[0]
        await agent.call("peek", "Look at the last proof in its place.",
                         target=f'documents["{last}"]', find="Nessa", context=0)  # fmt: skip
        await agent.conclude("documents", "chain")


if __name__ == "__main__":
    run(main)
