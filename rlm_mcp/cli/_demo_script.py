"""The script of the demo: what an agent would call, one step after another, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

SPACE = "demo"
ASKED = 12
"""Functions that the sub-model is asked about; with a real model that costs about a cent."""

# Without a slash a pattern would match in every folder. The other two ways leave out
# site-packages, which holds whatever was installed.
LIBRARY_PATTERN = "{./*.py,[!s]*/**/*.py,s[!i]*/**/*.py}"

_GREP = """\
from collections import Counter
bare = grep(r"^\\s*except\\s*:", stdlib, max_hits=100_000)
outside = [hit for hit in bare if "test" not in hit.where]
print(f"{len(bare)} bare `except:`, {len(outside)} of them outside of tests, most in:")
for path, count in Counter(hit.where for hit in outside).most_common(5):
    print(f"{count:4}  {path}")"""

_PARSE = """\
import ast, gc, warnings
import pandas as pd

SCOPES = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef

def functions_in(node, prefix=""):
    for part in ("body", "handlers", "orelse", "finalbody", "cases"):
        for child in getattr(node, part, ()):
            if isinstance(child, SCOPES):
                if not isinstance(child, ast.ClassDef):
                    yield prefix + child.name, child.lineno, child.end_lineno
                yield from functions_in(child, prefix + child.name + ".")
            elif not isinstance(child, ast.Expr):
                yield from functions_in(child, prefix)

def measure(paths):
    gc.disable()  # a syntax tree holds no cycles, so looking for them is lost time
    warnings.simplefilter("ignore")
    rows, failed = [], []
    for path in paths:
        try:
            tree = ast.parse(stdlib[path])
        except (SyntaxError, ValueError):
            failed.append(path)
        else:
            rows += [(path, *found) for found in functions_in(tree)]
    return rows, failed

paths = sorted(stdlib, key=lambda path: len(stdlib[path]))
measured = pmap(measure, [paths[n::48] for n in range(48)])
functions = pd.DataFrame(
    [row for rows, _ in measured for row in rows], columns=["path", "function", "first", "last"]
).sort_values(["path", "first"], ignore_index=True)
functions["lines"] = functions["last"] - functions["first"] + 1
failed = [path for _, paths in measured for path in paths]
print(f"{len(functions):,} functions; {len(failed)} files are no valid Python 3")
code = functions[~functions.path.str.contains("test")]
print(f"outside of tests: {len(code):,}, median {code.lines.median():.0f} lines, the longest:")
print(code.nlargest(5, "lines")[["path", "function", "lines"]].to_string(index=False))"""

_CHOOSE = f"""\
import re
silent = re.compile(r"^[ \\t]*except\\s*:[^\\n]*\\n\\s*(pass|continue|return None|return)\\b", re.M)

def text_of(row, most=60):
    return "\\n".join(stdlib[row.path].splitlines()[row.first - 1 : row.last][:most])

def innermost(hit):
    here = code[code.path == hit.where]
    around = here[(here["first"] <= hit.line) & (hit.line <= here["last"])]
    return around.nsmallest(1, "lines").itertuples()

found = {{(row.path, row.function): row for hit in outside for row in innermost(hit)}}
chosen = [row for row in found.values() if row.lines <= 60 and silent.search(text_of(row))]
chosen = sorted(chosen, key=lambda row: -row.lines)[:{ASKED}]
parts = [f"# {{row.path}}:{{row.first}} {{row.function}}\\n{{text_of(row)}}" for row in chosen]
print(f"{{len(found)}} functions hold one; asking about {{len(parts)}} that stay silent")"""

_QUESTION = (
    "In one line: which errors does this function hide with its bare `except:`, and does anyone "
    "notice?\n\n{{item}}"
)

_MAP = """\
long = [row for row in code.nlargest(6, "lines").itertuples()]
purposes = sub_llm_map([
    f"In one line: what is this function for?\\n\\n# {row.path}:{row.first} {row.function}\\n"
    + text_of(row) for row in long
])
long_functions = pd.DataFrame({
    "function": [f"{row.path}:{row.function}" for row in long],
    "lines": [row.lines for row in long],
    "purpose": purposes,
})
print(purposes[0])"""

_REPORT = '''\
def table(rows, *names):
    rule = "|".join("---" for _ in names)
    cells = ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows]
    return "\\n".join(["| " + " | ".join(names) + " |", f"|{rule}|", *cells])

report = f"""# Silent errors and long functions in Python's standard library

{len(stdlib):,} files, {sum(map(len, stdlib.values())):,} characters, {len(functions):,} functions.

## Functions that hide errors
{len(bare)} bare `except:` clauses, {len(outside)} of them outside of tests. Those asked about:

{table(zip([part.splitlines()[0][2:] for part in parts], verdicts), "function", "verdict")}

## The longest functions
{table(long_functions.itertuples(index=False), "function", "lines", "purpose")}
"""
print(f"{len(report):,} characters, {len(report.splitlines())} lines")'''

_TOTAL = """\
held = {
    "stdlib": sum(len(path) + len(text) for path, text in stdlib.items()),
    "functions": len(functions.to_csv()),
    "parts, verdicts, purposes": sum(map(len, parts + verdicts + purposes)),
    "report": len(report),
}
print(held)
print(f"characters in variables: {sum(held.values()):,}")"""


@dataclass(frozen=True)
class Call:
    """One call of a tool.

    Args:
        tool: its name.
        arguments: of it.
        why: one sentence on it.
        lines: of the reply to show.
    """

    tool: str
    arguments: dict[str, Any]
    why: str
    lines: int = 8


@dataclass(frozen=True)
class Step:
    """Calls that belong together.

    Args:
        title: in a few words.
        calls: in order.
    """

    title: str
    calls: tuple[Call, ...]


def make_script(library: Path, report: str) -> list[Step]:
    """The steps of the demo.

    Args:
        library: the folder with the standard library's source.
        report: the file to write, relative to the work folder.
    """
    return [
        Step("Load everything, read nothing", (
            Call(
                "load_variable",
                {"name": "stdlib", "source": str(library), "pattern": LIBRARY_PATTERN},
                "The source of Python's whole standard library goes into one variable. The agent "
                "sees only this preview of it.",
                9,
            ),
        )),
        Step("Search with code", (
            Call(
                "exec_code", {"code": _GREP},
                "Instead of reading files, the agent runs Python over all of them and prints a "
                "summary. The hits stay in the variable `bare`.",
            ),
        )),
        Step("Parse every file into a table", (
            Call(
                "exec_code", {"code": _PARSE, "timeout_s": 600},
                "A question that no text search answers: every file is parsed, and every "
                "function becomes a row of a pandas table. This is real work, half a minute for "
                "one core, so `pmap` spreads it over forks of the space, one for each core; the "
                "result is kept, so it is done once.",
                10,
            ),
        )),
        Step("Choose the interesting parts", (
            Call(
                "exec_code", {"code": _CHOOSE},
                "The hits and the table together give the functions that catch every error and "
                "then say nothing. Their sources go into the list `parts`.",
            ),
            Call(
                "peek", {"target": "parts[0]", "unit": "lines", "length": 8},
                "The agent may look at any part of any variable; it looks at eight lines.",
                10,
            ),
        )),
        Step("Let another model read them", (
            Call(
                "sub_llm", {"prompt": _QUESTION, "over": "parts", "into": "verdicts"},
                "Judgement needs a language model, but not the agent's context: each function "
                "goes to the sub-model, all at once, and the answers into a variable.",
            ),
            Call(
                "exec_code", {"code": _MAP},
                "The same from inside the code: loops, tables and model calls in one piece.",
            ),
        )),
        Step("Try something, make a mistake, take it back", (
            Call(
                "spaces", {"action": "fork", "name": "what-if"},
                "A fork is a copy of the whole interpreter, made in milliseconds whatever its "
                "size.",
            ),
            Call(
                "exec_code", {"code": "stdlib.clear()\nlen(stdlib)", "space": "what-if"},
                "In the fork, everything may be thrown away...",
            ),
            Call("exec_code", {"code": "len(stdlib)"}, "...and the original does not notice."),
            Call(
                "exec_code", {"code": "del stdlib, functions, verdicts"},
                "Now a real mistake: the work of all the steps above is gone.",
            ),
            Call(
                "spaces", {"action": "undo"},
                "Every execution is a commit, as in git, so it can be taken back.",
            ),
            Call(
                "exec_code", {"code": "len(stdlib), len(functions), len(verdicts)"},
                "Everything is there again. It would be, too, after a crash or a restart.",
            ),
        )),
        Step("Write the report", (
            Call(
                "exec_code", {"code": _REPORT},
                "The report is put together from variables; the agent does not have to repeat a "
                "word of it.",
            ),
            Call(
                "save_variable", {"name": "report", "path": report},
                "It goes to a file, again without passing through the agent.",
            ),
        )),
        Step("Count", (
            Call(
                "exec_code", {"code": _TOTAL},
                "How much text was worked with, in all?",
            ),
        )),
    ]  # fmt: skip
