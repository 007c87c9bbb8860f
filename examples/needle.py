"""Find a needle in 50 MB of logs, when nobody can say what the needle looks like.

    python examples/needle.py

A customer was charged twice. No search word is known, and no context holds the logs. The method:
reduce each line to its KIND (who says it, how serious it is, its first word) and count the kinds,
which takes code and no reading. What happens 30,000 times is business as usual; what happens once
is worth a look.
"""

from __future__ import annotations

import random
from pathlib import Path

from _client import connect, run

SERVICES = ("checkout", "payment", "stock", "mail")
KINDS = (
    "INFO request {id} accepted from 10.0.{a}.{b} in {c} ms",
    "INFO order {order} moved to state PACKED by worker {a}",
    "DEBUG cache hit for key user:{order} after {c} us, {b} entries",
    "INFO charged order {order} with {c}.{a} EUR, provider took {b} ms",
    "WARN retry {a} of call {id} after timeout of {c} ms",
)
CULPRIT = "84213377"


def write_logs(folder: Path) -> int:
    """Write logs of four services; one order in them is charged twice. Returns the characters."""
    chance = random.Random(7)
    written = 0
    for service in SERVICES:
        lines = []
        for number in range(140_000):
            line = chance.choice(KINDS).format(
                id=f"{chance.getrandbits(32):08x}",
                order=chance.randrange(10_000_000, 80_000_000),
                a=number % 97, b=number % 251, c=number % 1999,
            )  # fmt: skip
            clock = f"{number // 7200:02}:{number // 120 % 60:02}:{number % 120 / 2:04.1f}"
            lines.append(f"2026-03-01T{clock} {service} {line}")
        if service == "payment":
            lines[91_500:91_500] = [
                f"2026-03-01T12:42:{second} payment {text}"
                for second, text in (
                    ("29.9", f"WARN lock on order {CULPRIT} expired, provider busy for 30000 ms"),
                    ("31.3", f"INFO charged order {CULPRIT} with 17.40 EUR, provider took 912 ms"),
                    (
                        "31.8",
                        f"INFO charged order {CULPRIT} with 17.40 EUR, provider took 31877 ms",
                    ),
                )
            ]
        text = "\n".join(lines)
        (folder / f"{service}.log").write_text(text)
        written += len(text)
    return written


KINDS_CODE = """\
from collections import Counter

kinds = Counter(
    tuple(line.split(None, 4)[1:4])     # service, level, first word
    for text in logs.values()
    for line in text.splitlines()
)
print(f"{kinds.total():,} lines of {len(kinds)} kinds; the rarest:")
for kind, count in kinds.most_common()[:-4:-1]:
    print(f"{count:8,}  {' '.join(kind)} ...")"""

FOLLOW_CODE = """\
import re

(needle,) = grep("payment WARN lock", logs)
order = re.search(r"order (\\d+)", needle.text)[1]
story = grep(order, logs)       # everything that any service says of this order
for hit in story:
    print(hit)
charges = [hit for hit in story if "charged" in hit.text]
answer = f"order {order} was charged {len(charges)} times after its lock had expired"
answer"""


async def main(folder: Path) -> None:
    """Write the logs, and find what is odd in them."""
    size = write_logs(folder)
    print(f"wrote {size / 1e6:.0f} MB of logs of {len(SERVICES)} services")
    async with connect(folder) as agent:
        await agent.call("load_variable", "All logs into one variable; only a preview comes back.",
                         name="logs", source="*.log")  # fmt: skip
        await agent.call("exec_code", "Count the kinds of lines. The rarest ones tell.",
                         code=KINDS_CODE)  # fmt: skip
        reply = await agent.call("exec_code", "One stands out. Follow its order through all logs.",
                                 code=FOLLOW_CODE)  # fmt: skip
        await agent.call("peek", "Look at the needle in its place, to be sure.",
                         target='logs["payment.log"]', find="lock on order", context=1)  # fmt: skip
        assert f"order {CULPRIT} was charged 2 times" in reply
        await agent.conclude("logs", "kinds", "story")


if __name__ == "__main__":
    run(main)
