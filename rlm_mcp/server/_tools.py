"""The tools as clients see them: names, descriptions, arguments, hints."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from mcp_types import Tool, ToolAnnotations
from pydantic import BaseModel

from . import _arguments as args
from . import _handlers as handlers
from ._reply import Replied
from ._space_actions import spaces

INSTRUCTIONS = """\
A persistent Python variable space for data larger than your context. Reach for it when a file, \
log, folder or result would be long to read: load_variable puts it into a variable WITHOUT \
reading it, exec_code explores it with Python (state persists; pandas, numpy, re, ast ...), peek \
shows a part, sub_llm asks a model about parts, save_variable writes results to a file. Only \
what you print or peek at enters your context. Keep intermediate results in variables.

How to work: 1. load_variable, read the preview. 2. Explore with exec_code: \
grep(pattern, var), len, slices; print little. 3. For judgement over many pieces use \
sub_llm_map([...]) inside exec_code, or the sub_llm tool with over=; batch about 100,000 \
characters a call. 4. Verify before you answer.
In the code: grep(pattern, target), search("words or a question", target), \
lines(text, start, stop), chunks(text, size, by=), outline(code), \
symbols(folder).callers(name), sub_llm(prompt, context=..., schema=a dataclass or list[...]), \
sub_llm_map(prompts), await asub_llm(prompt), sub_rlm(question, **variables) (a model works on a \
fork), pmap(function, items) (all cores), show_vars(); Out[n] has the full output of execution n. \
cite(hit) put into a report's text becomes a note with path, lines and digest when it is saved. \
There are no files and no network in the sandbox.
Every execution is a commit: spaces(action="undo") takes it back, fork tries something else, \
and a space survives restarts."""

INSTRUCTIONS_FOR_AGENT = """
No sub-model is set, so YOU answer sub_llm: the call returns a list of questions with ids while \
the code waits; hand the answers in with answer_sub_llm(answers={"q1": "..."}), and the code goes \
on where it stood. For many or long questions use subagents, in parallel."""
"""What is added to them where the calling agent answers."""
ANSWER = "answer_sub_llm"
"""The tool that is listed only there."""


@dataclass(frozen=True)
class ToolEntry:
    """A tool and what carries it out.

    Args:
        tool: as it is listed.
        arguments: checks the arguments.
        handler: carries the call out and returns the reply.
        asks: whether what it runs may ask the calling agent.
    """

    tool: Tool
    arguments: type[BaseModel]
    handler: Callable[..., Awaitable[Replied]]
    asks: bool


def _entry(
    arguments: type[BaseModel],
    handler: Callable[..., Awaitable[Replied]],
    description: str,
    *,
    asks: bool = False,
    reads: bool = False,
    destroys: bool = False,
    open_world: bool = False,
) -> ToolEntry:
    name = handler.__name__
    return ToolEntry(
        Tool(
            name=name,
            description=description,
            input_schema=_schema(arguments),
            annotations=ToolAnnotations(
                read_only_hint=reads,
                destructive_hint=destroys,
                idempotent_hint=reads,
                open_world_hint=open_world,
            ),
        ),
        arguments,
        handler,
        asks,
    )


def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    """A JSON Schema without the titles that pydantic adds and nobody reads."""
    schema = arguments.model_json_schema(by_alias=True)
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
        options = part.get("anyOf")
        if options and {"type": "null"} in options:
            rest = [option for option in options if option != {"type": "null"}]
            if len(rest) == 1:
                del part["anyOf"]
                part.update(rest[0])
                if part.get("default", 0) is None:
                    del part["default"]
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


TOOLS: dict[str, ToolEntry] = {
    entry.tool.name: entry
    for entry in (
        _entry(
            args.LoadVariable,
            handlers.load_variable,
            "Put something big into a variable without reading it into your context. source: a "
            "file, a folder (becomes a dict of path -> text by the rules of .gitignore), a glob "
            'such as "logs/*.log", an http(s) URL, or space:OTHER/NAME; or value: inline text or '
            "JSON. PDF, Office, HTML, e-mail, SQLite, Parquet, archives and more are parsed. Only "
            "files under an allowed folder. Text too large for memory becomes a view, which stays "
            "outside. The reply is a preview: type, size, shape, head and tail, what was left out.",
            open_world=True,
        ),
        _entry(
            args.ExecCode,
            handlers.exec_code,
            "Run Python in the space; variables persist between calls. The value of the last "
            "expression is shown, and which variables changed. numpy, pandas, lxml, bs4, "
            "sqlite3, regex, networkx and the standard library are there; no files, no network. "
            "Helpers: grep(pattern, target), search(query, target), lines, chunks, outline, "
            "symbols, cite, sub_llm, sub_llm_map, show_vars; "
            "await works at the top level: asyncio.gather(*(asub_llm(p) for p in prompts)). "
            "show(figure) puts an image into the reply. "
            "Print little: long output is cut, all of it stays in Out[n]. After a timeout, "
            "variables and partial output are kept.",
            asks=True,
        ),
        _entry(
            args.Peek,
            handlers.peek,
            "Look at part of a variable: a range by chars, lines or items, or the matches of a "
            "regular expression with line numbers (find). Without a range: a preview. Never "
            "changes the space; the last line names the next call when there is more.",
            reads=True,
        ),
        _entry(
            args.SubLLM,
            handlers.sub_llm,
            "Ask a sub-model about variables, without their text passing through your context. "
            "{{name}} in the prompt stands for a variable or access path; with over, one call "
            "for each item of a list variable, concurrently, {{item}} standing for it. The "
            "answers are stored in the variable `into` (a list with over); the reply is a "
            "preview, and what the calls cost.",
            asks=True,
            open_world=True,
        ),
        _entry(
            args.AnswerSubLLM,
            handlers.answer_sub_llm,
            "Answer the questions that suspended code asks of you: all at once or some at a time, "
            "also from several subagents. When none is left the code goes on, and its result is "
            "the reply. answers={} shows what is open, or the result again.",
        ),
        _entry(
            args.SubRLM,
            handlers.sub_rlm,
            "Hand a whole question to another model: it works on a fork of the space as you do, "
            "with code and sub-LLM calls, until it submits an answer, which is stored in `into` "
            "or shown. The space itself stays untouched; the fork is kept and named in the "
            "reply. It may take minutes and many calls.",
            asks=True,
            open_world=True,
        ),
        _entry(
            args.SaveVariable,
            handlers.save_variable,
            "Write a variable to a file under an allowed folder: text, bytes, JSON, JSON Lines, "
            "CSV, Markdown, HTML, XLSX, Parquet, or a figure as PNG or SVG, by the file's ending. "
            "An existing file only with overwrite=true; the write is atomic.",
            destroys=True,
        ),
        _entry(
            args.SpacesCall,
            spaces,
            "Spaces are separate interpreters, each with variables and a history of commits. "
            "list; info: variables, memory, history; open: a new or an existing one; fork: a "
            "copy in milliseconds, to try something or to give to a subagent; undo: take back "
            "the last execution or load; checkpoint: name the present state; restore: go back "
            "to a name or a commit; close: end it, its data is kept; delete: for good.",
            destroys=True,
        ),
    )
}
