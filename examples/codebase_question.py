"""Answer a question over a whole codebase: which environment variables does Python's own standard
library read, where, and what for?

    python examples/codebase_question.py

The library has tens of megabytes of source, which no context holds. The method, from wide to
narrow: a text search over everything finds the files that matter, a real parser finds the exact
places in them, a sub-model reads only the functions around those places, and code puts the answer
together.
"""

from __future__ import annotations

import ast
import re
import sysconfig
from pathlib import Path

from _client import connect, run

LIBRARY = Path(sysconfig.get_paths()["stdlib"])

# Not below site-packages, which holds what was installed besides.
PATTERN = "{./*.py,[!s]*/**/*.py,s[!i]*/**/*.py}"

SEARCH = """\
hits = grep(r"environ\\b|getenv", stdlib, max_hits=100_000)
files = {hit.where for hit in hits if "test" not in hit.where and "idlelib" not in hit.where}
print(f"{len(hits)} lines speak of it; {len(files)} of {len(stdlib)} files are worth a look")"""

PARSE = """\
import ast

def variable(node):
    '''NAME of os.environ["NAME"], os.environ.get("NAME"), os.getenv("NAME") and of "in".'''
    match node:
        case ast.Subscript(value=of, slice=ast.Constant(str(name)), ctx=ast.Load()):
            return name if ast.unparse(of).endswith("os.environ") else None
        case ast.Call(func=of, args=[ast.Constant(str(name)), *_]):
            return name if ast.unparse(of).endswith(("os.environ.get", "os.getenv")) else None
        case ast.Compare(left=ast.Constant(str(name)), ops=[ast.In()], comparators=[of]):
            return name if ast.unparse(of).endswith("os.environ") else None

places = {}
for path in sorted(files):
    try:
        tree = ast.parse(stdlib[path])
    except SyntaxError:
        continue
    for node in ast.walk(tree):
        name = variable(node)
        if name:
            places.setdefault(name, []).append((path, node.lineno))
print(len(places), "variables, such as", sorted(places)[:6])

def around(path, line):
    return "\\n".join(lines(stdlib[path], max(1, line - 8), line + 8))

parts = [
    f"{name} in {path} line {line}:\\n{around(path, line)}"
    for name, [(path, line), *_] in sorted(places.items())
]"""

REPORT = """\
report = "\\n".join(
    f"{name:24} {places[name][0][0]}:{places[name][0][1]}  {' '.join(purpose.split())}"
    for name, purpose in zip(sorted(places), purposes, strict=True)
)
print(f"{len(purposes)} purposes; the report's first lines:")
print("\\n".join(line[:105] for line in report.splitlines()[:6]))"""


def answer(prompt: str) -> str:
    """Stand in for a model: say what the line that reads the variable does with it."""
    found = re.search(r"^(.+) in (\S+) line \d+:$", prompt, re.MULTILINE)
    assert found is not None
    code = prompt[found.end() :].splitlines()
    reads = [
        line.strip() for line in code if found[1] in line and re.search("environ|getenv", line)
    ]
    comments = [line.strip(" #") for line in code if line.strip().startswith("# ")]
    about = f" ({comments[0]})" if comments else ""
    return f"used by `{(reads or code)[0]}`{about}"


def check(library: Path) -> set[str]:
    """The names of the most usual form, found by reading every file here: to check the answer."""
    found = set()
    for path in library.rglob("*.py"):
        where = path.relative_to(library).as_posix()
        if where.startswith("site-packages") or "test" in where or "idlelib" in where:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        if "environ.get(" in text:
            for node in ast.walk(ast.parse(text)):
                match node:
                    case ast.Call(func=of, args=[ast.Constant(str(name)), *_]):
                        if ast.unparse(of) == "os.environ.get":
                            found.add(name)
    return found


async def main(folder: Path) -> None:
    """Ask the question and save the report."""
    async with connect(folder, answer, allow=LIBRARY) as agent:
        await agent.call("load_variable", "The whole standard library, as a dict of path to text.",
                         name="stdlib", source=str(LIBRARY), pattern=PATTERN)  # fmt: skip
        await agent.call("exec_code", "Wide: which files can matter at all?", code=SEARCH)
        await agent.call("exec_code", "Narrow: a parser finds the exact places.", code=PARSE)
        await agent.call("sub_llm", "A sub-model reads the lines around each place.",
                         prompt="In a few words: what is this variable read for?\n\n{{item}}",
                         over="parts", into="purposes")  # fmt: skip
        await agent.call("exec_code", "Put the answer together.", code=REPORT)
        await agent.call("save_variable", "It goes to a file, not through the agent.",
                         name="report", path="variables.txt")  # fmt: skip
        report = (folder / "variables.txt").read_text()
        named = {line.split()[0] for line in report.splitlines()}
        expected = check(LIBRARY)
        assert expected <= named, expected - named
        print(f"\nchecked: all {len(expected)} that a search here finds are among the {len(named)}")
        await agent.conclude("stdlib", "parts", "purposes", "report")


if __name__ == "__main__":
    run(main)
