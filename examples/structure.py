"""Get structure from fuzzy text: 400 advertisements for flats, no two written alike, to one table.

    python examples/structure.py

The method: the sub_llm tool with over= and schema=. One call for each advertisement, all at once;
each answer is checked against a JSON Schema before it is stored, so what lies in the variable is
data and not prose. Then code looks for answers that the text does not bear out.
"""

from __future__ import annotations

import csv
import json
import random
import re
from pathlib import Path

from _client import connect, run

SCHEMA = {
    "type": "object",
    "properties": {
        "rooms": {"type": "integer", "minimum": 1},
        "square_metres": {"type": "integer", "minimum": 10},
        "rent_eur": {"type": "integer", "minimum": 100},
        "pets": {"type": ["boolean", "null"], "description": "null if the text does not say"},
    },
    "required": ["rooms", "square_metres", "rent_eur", "pets"],
    "additionalProperties": False,
}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5}

CHECK = """\
import re
import pandas as pd

table = pd.DataFrame(found)
# Does the text bear it out? Every size and rent must stand in it, dots and commas aside.
bare = [re.sub(r"(?<=\\d)[.,](?=\\d{3})", "", ad) for ad in ads]
doubtful = [
    i for i, row in table.iterrows()
    if str(row.square_metres) not in bare[i] or str(row.rent_eur) not in bare[i]
]
print(f"{len(table)} rows, {len(doubtful)} doubtful")
table["eur_per_m2"] = (table.rent_eur / table.square_metres).round(2)
print(table.groupby("rooms").agg(flats=("rent_eur", "size"), rent=("rent_eur", "median"),
                                 per_m2=("eur_per_m2", "median")).to_string())"""


def write_ads(path: Path) -> list[tuple[int, int, int, bool | None]]:
    """Write the advertisements; returns what is in them."""
    chance = random.Random(3)
    truth, ads = [], []
    for _ in range(400):
        rooms = chance.randrange(1, 6)
        metres = rooms * 22 + chance.randrange(4, 18)
        rent = metres * chance.randrange(9, 19)
        pets = chance.choice((True, False, None))
        word = {number: name for name, number in NUMBERS.items()}[rooms]
        parts = [
            chance.choice((f"{rooms}-room flat", f"cosy place, {word} rooms", f"{word}-room beauty",
                           f"{rooms} rms")),
            chance.choice((f"approx. {metres} sqm", f"{metres}m2", f"{metres} square metres")),
            chance.choice((f"rent {rent:,},-", f"EUR {rent} warm", f"{rent} euro a month",
                           f"asking {rent:,} €".replace(",", "."))),
            {True: chance.choice(("cats welcome", "dog ok")),
             False: chance.choice(("no pets", "sorry, no animals")),
             None: chance.choice(("near the park", "4th floor, lift", "bus 17 at the door"))}[pets],
        ]  # fmt: skip
        chance.shuffle(parts)
        ads.append(chance.choice((", ", " - ", "! ")).join(parts))
        truth.append((rooms, metres, rent, pets))
    path.write_text(json.dumps(ads))
    return truth


def answer(prompt: str) -> str:
    """Stand in for a model: pick out the numbers by what stands beside them."""
    ad = prompt.partition("\n\n")[2]
    text = re.sub(r"(?<=\d)[.,](?=\d{3})", "", ad)
    rooms = re.search(r"(\w+)[- ]r(?:oo)?ms?\b", text)
    metres = re.search(r"(\d+) ?(?:sqm|m2|square)", text)
    rent = re.search(r"(?:rent|EUR|asking) (\d+)|(\d+) euro", text)
    assert rooms and metres and rent, ad
    says_no, says_yes = re.search(r"no (pets|animals)", text), re.search(r"(cats|dog) ", text)
    return json.dumps({
        "rooms": NUMBERS.get(rooms[1]) or int(rooms[1]),
        "square_metres": int(metres[1]),
        "rent_eur": int(rent[1] or rent[2]),
        "pets": False if says_no else True if says_yes else None,
    })  # fmt: skip


async def main(folder: Path) -> None:
    """Write the advertisements, turn them into a table, and compare."""
    truth = write_ads(folder / "ads.json")
    async with connect(folder, answer) as agent:
        await agent.call("load_variable", "400 advertisements into a list.",
                         name="ads", source="ads.json")  # fmt: skip
        await agent.call("sub_llm", "One question for each; the answers are data.",
                         prompt="What does this advertisement offer?\n\n{{item}}",
                         over="ads", into="found", schema=SCHEMA)  # fmt: skip
        await agent.call("exec_code", "Check the answers against the text, and use them.",
                         code=CHECK)  # fmt: skip
        await agent.call("save_variable", "The table goes to a file.",
                         name="table", path="flats.csv")  # fmt: skip
        with (folder / "flats.csv").open() as file:
            rows = list(csv.DictReader(file))
        right = sum(
            (int(row["rooms"]), int(row["square_metres"]), int(row["rent_eur"])) == flat[:3]
            for row, flat in zip(rows, truth, strict=True)
        )
        print(f"\nchecked: {right} of {len(truth)} rows are what the advertisements were made from")
        assert right >= 0.95 * len(truth)
        await agent.conclude("ads", "found", "table")


if __name__ == "__main__":
    run(main)
