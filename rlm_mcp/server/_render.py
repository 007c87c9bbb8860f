"""Replies as text: exact, short, and naming the next call where something was cut."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ..lm import Budget, Usage
from ..quantities import ago_text, counted, price_text, seconds_text, size_text
from ..recursion import RunResult
from ..space import Execution, Loaded, SpaceInfo, Variable
from ..store import Commit, Spending

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
MAX_CHANGES = 20


def clean(text: str) -> str:
    """Text without what a terminal or a reader could be misled by.

    Control characters (but newlines and tabs), invisible and direction-changing ones become
    escapes; lone surrogates, which no transport takes, become question marks.
    """
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = text.replace("\r\n", "\n")
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def cut(text: str, limit: int, hint: str) -> str:
    """Text of at most `limit` characters; its end gives way to a hint if it is longer."""
    if len(text) <= limit:
        return text
    note = f"\n[{len(text) - limit:,} more characters cut; {hint}]"
    return text[: max(0, limit - len(note))] + note


def execution_text(
    execution: Execution,
    space: str,
    usage: Usage,
    max_chars: int,
    left: str = "",
    *,
    named: bool = False,
    in_run: bool = False,
) -> str:
    """The reply to `exec_code`.

    Args:
        execution: to show.
        space: its handle.
        usage: of its sub-LLM calls.
        max_chars: of the reply.
        left: of budgets, for the last line.
        named: whether the next call has to name the space.
        in_run: whether it is for a root model, whose conversation must be the same when the run is
            repeated: without the times and what is different for each run.
    """
    footer = _run_footer(usage) if in_run else _footer(execution, space, usage, left)
    body = [_value(execution), clean(execution.error or ""), _stopped(execution)]
    body += [changes_text(execution), *(f"note: {clean(note)}" for note in execution.notes)]
    rest = "\n".join(part for part in body if part)
    rest = cut(rest, max(max_chars - len(footer) - 400, 200), "print less of it")
    room = max_chars - len(rest) - len(footer) - 2
    output = _output(execution, max(room, 200), f', space="{space}"' if named else "")
    if not output and not rest:
        output = "(no output)"
    return "\n".join(part for part in (output, rest, footer) if part)


def _output(execution: Execution, room: int, space: str) -> str:
    kept = execution.output + execution.tail
    if len(kept) >= execution.total and len(clean(kept)) <= room:
        return clean(kept).rstrip("\n")
    number = execution.number
    lost = execution.lost is not None
    where = "" if lost else f'; all of it: peek("Out[{number}]", start=...{space}) or find=...'
    note = f"\n[... {execution.total:,} characters printed, the middle is cut{where} ...]\n"
    part = max((room - len(note)) // 2, 50)
    head = clean(kept[:part])[:part]
    tail = clean(kept[-part:])[-part:]
    return head.rstrip("\n") + note + tail.strip("\n")


def _value(execution: Execution) -> str:
    return "" if execution.value is None else f"=> {clean(execution.value)}"


def _stopped(execution: Execution) -> str:
    if execution.lost is not None:
        return (
            f"LOST: {execution.lost}. Nothing of this execution remains; the space is as it was "
            "before it."
        )
    if execution.stopped == "timeout":
        return (
            f"STOPPED after {execution.seconds:.1f} s (timeout_s). Variables and output are kept; "
            "go on from them, or raise timeout_s."
        )
    if execution.stopped:
        return "STOPPED: the call was cancelled. Variables and output are kept."
    return ""


_SIGNS = {"added": "+", "changed": "~", "removed": "-"}


def changes_text(execution: Execution) -> str:
    """The variables that an execution added, changed and removed, one in a line."""
    lines = []
    for change in execution.changes[:MAX_CHANGES]:
        brief = f": {clean(change.brief)}" if change.brief else ""
        lines.append(f"{_SIGNS.get(change.kind, '~')} {clean(change.name)}{brief}")
    left = len(execution.changes) - MAX_CHANGES
    if left > 0:
        lines.append(f"({left} more variables changed: show_vars() lists all)")
    return "\n".join(lines)


def _footer(execution: Execution, space: str, usage: Usage, left: str) -> str:
    parts = [f"space {space}", f"execution {execution.number}", seconds_text(execution.seconds)]
    if usage.asked:
        parts.append(usage_text(usage) + left)
    return f"[{', '.join(parts)}]"


def _run_footer(usage: Usage) -> str:
    parts = [f"{counted(usage.failed, 'sub-LLM call')} failed"] if usage.failed else []
    return f"[{', '.join([*parts, *_cut_text(usage)])}]" if parts or usage.cut else ""


def _cut_text(usage: Usage) -> list[str]:
    return [f"{counted(usage.cut, 'answer')} CUT OFF (raise max_tokens)"] if usage.cut else []


def usage_text(usage: Usage) -> str:
    """What sub-LLM calls cost."""
    calls = counted(usage.calls, "sub-LLM call")
    if usage.failed:
        calls += f" ({usage.failed} failed)"
    if usage.cached:
        calls += f", {usage.cached} cached"
    tokens = f"{usage.input_tokens:,} tokens in, {usage.output_tokens:,} out"
    return ", ".join([calls, *_cut_text(usage), tokens, price_text(usage.usd)])


def left_text(left: Budget | None, trouble: str) -> str:
    """What is left of budgets, if there are any, and why answers wait, to be appended."""
    parts = left.words if left is not None else []
    text = f", left of the budget: {', '.join(parts)}" if parts else ""
    return f"{text}; answers are not on the disk yet: {clean(trouble)}" if trouble else text


def spending_text(spent: Spending, budget: Budget) -> str:
    """What a space has spent, and may."""
    usage = Usage(
        spent.calls, spent.failed, spent.input_tokens, spent.output_tokens, spent.usd, spent.cached
    )
    text = usage_text(usage)
    if spent.unpriced:
        text += f" and {counted(spent.unpriced, 'call')} of unknown price"
    if spent.seconds:
        text += f", {seconds_text(spent.seconds)} of calls"
    limits = left_text(budget, "").removeprefix(", left of the budget: ")
    return f"{text}; budget: {limits}" if limits else text


def loaded_text(
    name: str,
    loaded: Loaded,
    space: str,
    skipped: dict[str, int],
    notes: Sequence[str],
    usage: Usage | None = None,
    left: str = "",
) -> str:
    """The reply to `load_variable`, and to `sub_llm` with what it used."""
    lines = [f"{name}: {clean(loaded.preview)}"]
    if skipped:
        total = sum(skipped.values())
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        lines.append(f"left out {total:,}: {reasons}")
    lines += [f"note: {clean(note)}" for note in (*notes, *loaded.notes)]
    spent = f", {usage_text(usage)}{left}" if usage is not None else ""
    lines.append(f"[space {space}, {seconds_text(loaded.seconds)}{spent}]")
    return "\n".join(lines)


def run_text(result: RunResult, answer: str = "") -> str:
    """The reply to `sub_rlm`."""
    lines = []
    if result.best:
        lines.append(f"NOT SUBMITTED ({result.why}); the best answer so far:")
    elif not result.answered:
        cause = f": {clean(str(result.error))}" if result.error else ""
        lines.append(
            f"NO ANSWER ({result.why}){cause}\nWhat was reached is in space {result.space}: "
            f'spaces(action="info", space="{result.space}")'
        )
    if answer:
        lines.append(answer)
    parts = [f"run in space {result.space}", result.why]
    parts.append(counted(result.iterations, "iteration"))
    parts.append(seconds_text(result.seconds))
    if result.usage.calls:
        parts.append(usage_text(result.usage))
    lines.append(f"[{', '.join(parts)}]")
    return "\n".join(lines)


def list_text(spaces: Sequence[SpaceInfo], default: str) -> str:
    """The reply to `spaces(action="list")`."""
    if not spaces:
        return f"no spaces yet; `{default}` is made by the first call that uses it"
    lines = []
    for info in spaces[:50]:
        row = info.row
        state = f"busy with {info.doing}" if info.doing else "open" if info.open else "closed"
        state = f"suspended, {info.suspended}" if info.suspended else state
        mark = " (this session's)" if row.handle == default else ""
        origin = f", fork of {row.origin}" if row.origin else ""
        lines.append(
            f"{row.handle}{mark}: {state}, {counted(row.head.execution, 'execution')}, "
            f"{size_text(row.head.size)}, used {ago_text(row.used)}{origin}"
        )
    if len(spaces) > 50:
        lines.append(f"({len(spaces) - 50} older ones are not shown; name one to use it)")
    return "\n".join(lines)


def info_text(
    info: SpaceInfo,
    variables: Sequence[Variable],
    history: Sequence[Commit],
    checkpoints: dict[str, int],
    memory_mb: int,
    model: str,
    spending: str,
) -> str:
    """The reply to `spaces(action="info")`."""
    head = info.row.head
    state = f"suspended, {info.suspended}; this is its last commit: " if info.suspended else ""
    lines = [
        f"space {info.row.handle}: {state}{counted(head.execution, 'execution')}, memory "
        f"{size_text(head.size)} of {memory_mb:,} MB, sub-model {model}",
        f"spent: {spending}",
        f"variables ({len(variables)}):" if variables else "no variables",
        *(f"  {variable.name}: {clean(variable.brief)}" for variable in variables),
        "history, newest first (commit: what made it):",
    ]
    for commit in history[:10]:
        lines.append(
            f"  {commit.id}: execution {commit.execution}, {size_text(commit.pages * 4096)} new, "
            f"{ago_text(commit.created)}: {clean(commit.label)[:60]}"
        )
    if len(history) > 10:
        lines.append(f"  ({len(history) - 10} older commits, down to {history[-1].id})")
    if checkpoints:
        named = ", ".join(f"{name} = {number}" for name, number in checkpoints.items())
        lines.append(f"checkpoints: {named}")
    return "\n".join(lines)


def joined(lines: Iterable[str]) -> str:
    """Lines that are not empty, one below the other."""
    return "\n".join(line for line in lines if line)
