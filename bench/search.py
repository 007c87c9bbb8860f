"""`search` over 100,000 chunks, previews up to 1 GB, and what it finds that `grep` does not."""

from __future__ import annotations

import json
import re
import sysconfig
import time
from pathlib import Path

from rlm_mcp.space import Limits, Space

from ._common import Host, Report, make_host, median, ms, percentile, run, size

ROOT = Path(__file__).parents[1]
LIBRARY = Path(sysconfig.get_path("stdlib"))
TESTS = frozenset(("test", "tests", "idlelib", "lib2to3", "pydoc_data", "turtledemo", "encodings",
                   "site-packages", "__pycache__", "ensurepip", "distutils"))  # fmt: skip
SOURCES = ("rlm_mcp/**/*.py", "sandbox_wasm/**/*.py", "docs/*.md", "*.md")
STOP_WORDS = """a about an and any are as at be by can could does for from how in into is it its
long many may no not of on or said says so some still that the then there these they this to too
up was what when where which who why with"""
STOP = frozenset(STOP_WORDS.split())

# Words drawn by Zipf's law, of which there are many, in chunks of 170: what a corpus is like.
_BLOCK = 1 << 20  # characters that are handed in at once
CORPUS = """
import numpy as np, time
rng = np.random.default_rng(1)
letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
words = np.array(["".join(rng.choice(letters, n)) for n in rng.integers(3, 12, {words})], object)
weights = 1 / np.arange(1, {words} + 1); weights /= weights.sum()
docs = []
for _ in range({chunks} // 1000):
    drawn = words[rng.choice({words}, (1000, 170), p=weights)].tolist()
    docs += ["\\n".join(" ".join(row[i:i+12]) for i in range(0, 170, 12)) for row in drawn]
total = sum(map(len, docs))
"""
INDEX = """
import time
begin = time.perf_counter(); search(words[40], docs); took = time.perf_counter() - begin
print(took, total)
"""
QUERIES = """
times = []
for i in range({count}):
    asked = " ".join(words[rng.integers(3, 20_000, 1 + i % 5)])
    if i % 4 == 3:
        asked = asked[:-1] + "x"
    begin = time.perf_counter(); search(asked, docs); times.append(time.perf_counter() - begin)
print(*times)
"""
ONE = """
i = {number}
asked = " ".join(words[rng.integers(3, 20_000, 1 + i % 5)])
if i % 4 == 3:
    asked = asked[:-1] + "x"
begin = time.perf_counter(); found = search(asked, docs); print(time.perf_counter() - begin)
"""
# Records as a dump of a cluster has them: nested, with many small fields.
RECORDS = """
import random
r = random.Random(1)
names = ["".join(r.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(3_000)]
def some(n): return " ".join(r.choices(names, k=n))
rows = [
    {{"kind": "Pod", "metadata": {{"name": f"{{some(1)}}-{{i}}", "uid": r.getrandbits(64),
        "labels": {{"app": some(1), "tier": some(1)}}, "annotations": {{"note": some(12)}}}},
     "spec": {{"nodeName": some(1), "containers": [
        {{"name": some(1), "image": f"repo/{{some(1)}}:{{i}}", "ports": [{{"containerPort": 8080}}],
          "env": [{{"name": some(1), "value": some(2)}} for _ in range(4)],
          "resources": {{"limits": {{"cpu": i % 8, "memory": f"{{i}}Mi"}}}}}} for _ in range(2)]}},
     "status": {{"phase": "Running", "ready": True, "restarts": i % 5, "ratio": i / 7}}}}
    for i in range({count})
]
"""
NESTED = """
import time
times = []
for asked in (names[7], names[8], names[9], None):
    if asked is None:
        rows[77]["spec"]["containers"][0]["env"][0]["value"] = "changed"
    begin = time.perf_counter(); search(asked or "changed", rows)
    times.append(time.perf_counter() - begin)
print(*times)
"""
UPDATE = """
docs[77] = "something else"
begin = time.perf_counter(); search("something", docs); print(time.perf_counter() - begin)
"""
PREVIEWS = {
    "text": "'a line of text, %d\\n' * ({size} // 20)",
    "text beyond Latin-1": "'eine Zeile — 日本\\n' * ({size} // 40)",
    "bytes": "bytes({size})",
    "one line of text": "'x' * {size}",
    "list of lines": "['a line of text'] * ({size} // 400)",
    "list of records": "[{{'id': i, 'user': {{'name': 'n'}}}} for i in range({size} // 2_000)]",
    "folder": "{{f'd{{i % 50}}/{{i}}.py': 'x = 1\\n' * 50 for i in range({size} // 10_000)}}",
    "DataFrame": "pandas.DataFrame({{c: numpy.arange({size} // 40) for c in 'abcde'}})",
    "array": "numpy.zeros({size} // 8)",
}


async def printed(space: Space, code: str) -> str:
    execution = await space.execute(code, timeout_s=1200, keep_chars=20_000)
    assert not execution.failed, execution
    return execution.output


async def measure(report: Report) -> None:
    async with make_host(Limits(memory_mb=4096)) as host:
        await searches(report, host)
        await records(report, host)
        await previews(report, host)
        await recall(report, host, "the project's", sources(), "questions.jsonl")
        await recall(report, host, "Python's", library(), "questions_stdlib.jsonl")


async def searches(report: Report, host: Host) -> None:
    chunks = report.pick(20_000, 100_000)
    space = await host.new(CORPUS.format(words=100_000, chunks=chunks))
    took, total = map(float, (await printed(space, INDEX)).split())
    rate = total / took / 1e6
    report.row(
        f"`search`: an index of {chunks:,} chunks ({size(total)}), with its first query",
        f"{took:.1f} s, {rate:.0f} MB/s",
        reach="20 MB/s or more", ok=rate >= 20,
    )  # fmt: skip
    times = [float(t) for t in (await printed(space, QUERIES.format(count=100))).split()]
    report.row(
        f"`search`: a query of 1 to 5 words over {chunks:,} chunks, a quarter of them misspelt",
        f"p50 {ms(median(times))}, p95 {ms(percentile(times, 0.95))}",
        reach="under 30 ms", ok=median(times) < 0.03,
    )  # fmt: skip
    inside, whole = [], []
    for number in range(report.pick(10, 30)):
        await space.settled()
        begin = time.perf_counter()
        inside.append(float(await printed(space, ONE.format(number=number))))
        whole.append(time.perf_counter() - begin)
    report.row(
        "the same, each in an execution of its own, after the commit of the one before",
        f"p50 {ms(median(inside))}; with the execution around it {ms(median(whole))}",
    )
    update = float((await printed(space, UPDATE)).strip())
    report.row(f"`search` after one of {chunks:,} texts has changed", ms(update))
    await host.delete(space)


async def records(report: Report, host: Host) -> None:
    count = report.pick(2_000, 13_661)
    space = await host.new(RECORDS.format(count=count))
    first, *again, changed = map(float, (await printed(space, NESTED)).split())
    what = f"`search` over {count:,} nested records of 50 fields"
    report.row(f"{what}, the first, with its index", ms(first))
    report.row(f"{what}, that have not changed", ms(median(again)))
    report.row(f"{what}, one of which has changed", ms(changed))
    await host.delete(space)


async def previews(report: Report, host: Host) -> None:
    most = report.pick(100_000_000, 1_000_000_000)
    for name, expression in PREVIEWS.items():
        space = await host.new(f"import numpy, pandas\nvalue = {expression.format(size=most)}")
        code = (
            "import sys, time\nshow = sys.modules['rlm_guest._preview'].preview\n"
            "begin = time.perf_counter(); text = show(value)\n"
            "print(time.perf_counter() - begin, len(text))"
        )
        took, length = map(float, (await printed(space, code)).split())
        report.row(
            f"preview of {name}, up to {size(most)}",
            f"{ms(took)}, {length:,.0f} characters",
            reach="under 100 ms, at most 2,500 characters",
            ok=took < 0.1 and length <= 2_500,
        )  # fmt: skip
        await host.delete(space)


def sources() -> dict[str, str]:
    """What the project consists of, tests left out."""
    paths = sorted({path for pattern in SOURCES for path in ROOT.glob(pattern)})
    return {
        str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
        for path in paths
        if ".venv" not in path.parts
    }


def library() -> dict[str, str]:
    """The modules of the interpreter that runs this."""
    return {
        str(path.relative_to(LIBRARY)): path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(LIBRARY.rglob("*.py"))
        if not TESTS & set(path.relative_to(LIBRARY).parts)
    }


def by_grep(question: str, docs: dict[str, str]) -> list[str]:
    """The files in which most of the question's words occur, as an agent with grep ranks them."""
    words = [w for w in re.findall(r"\w+", question.lower()) if w not in STOP and len(w) > 1]
    pattern = re.compile("|".join(rf"\b{re.escape(word)}\b" for word in words), re.IGNORECASE)
    found = {path: [m.lower() for m in pattern.findall(text)] for path, text in docs.items()}
    return sorted(
        (path for path in docs if found[path]),
        key=lambda path: (-len(set(found[path])), -len(found[path])),
    )


async def recall(report: Report, host: Host, whose: str, docs: dict[str, str], name: str) -> None:
    lines = Path(__file__).with_name(name).read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line) for line in lines]
    # Another version of Python has a module elsewhere: then its other places are named too.
    lost = [q["question"] for q in asked if not docs.keys() & set(q["files"])]
    assert not lost, f"{name} names no file that is there: {lost}"
    space = await host.new("docs = {}")
    block: dict[str, str] = {}
    for path, text in docs.items():
        block[path] = text
        if sum(map(len, block.values())) > _BLOCK:
            await host.run(space, f"docs.update({block!r})")
            block = {}
    await host.run(space, f"docs.update({block!r})")
    code = (
        f"import json\nfor question in {[question['question'] for question in asked]!r}:\n"
        "    print(json.dumps(list(dict.fromkeys(h.where for h in search(question, docs, k=30)))))"
    )
    ranked = [json.loads(line) for line in (await printed(space, code)).splitlines()]
    plain = [by_grep(question["question"], docs) for question in asked]
    for depth in (1, 3, 5):
        hits = [
            sum(
                bool(set(files[:depth]) & set(q["files"]))
                for q, files in zip(asked, found, strict=True)
            )
            for found in (ranked, plain)
        ]
        report.row(
            f"{len(asked)} questions over {whose} {len(docs)} sources: one of the files that "
            f"answer it is among the first {depth}",
            f"{hits[0]} by `search`",
            baseline=f"{hits[1]} by `grep` of its words", ratio=hits[0] / max(hits[1], 1),
            reach="stated",
        )  # fmt: skip
    await host.delete(space)


def main() -> None:
    run(measure)


if __name__ == "__main__":
    main()
