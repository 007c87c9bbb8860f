"""`rlm-mcp run`: a question over files, answered by a recursive run, from a shell."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import BadRequestError
from ..quantities import counted, price_text
from ._options import cache_option, home_option, sub_model_option

if TYPE_CHECKING:
    from rich.console import Console

    from ..lm import Budget
    from ..recursion import Step
    from ..server import Answered, Piped

BEST_ONLY = 3
"""Exit code where the answer is only the best one so far."""
INTERRUPTED = 130
"""Exit code after an interrupt, as shells have it."""


@click.command("run")
@click.argument("question")
@click.option(
    "--var",
    "variables",
    multiple=True,
    metavar="NAME=SOURCE",
    help="A variable: NAME=@PATH for a file, folder or glob, NAME=- for standard input "
    "(NAME=-:jsonl names its format), NAME=TEXT for the text itself.",
)
@click.option("--root-model", help="Model that works on the question (RLM_MCP_ROOT_MODEL).")
@sub_model_option
@click.option(
    "--max-iterations", type=int, default=20, show_default=True, help="Replies of the root model."
)
@click.option(
    "--max-llm-calls", type=int, default=50, show_default=True, help="Calls of models in all."
)
@click.option(
    "--budget",
    metavar="KIND=NUMBER,...",
    help="The most to use, such as usd=0.5,seconds=600 (also tokens, input_tokens, ...).",
)
@click.option(
    "--schema", type=click.Path(path_type=Path), help="File with the answer's JSON Schema."
)
@click.option("--json", "as_json", is_flag=True, help="Print the answer and what it cost as JSON.")
@click.option("--keep", metavar="NAME", help="Use and keep the space NAME.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@home_option
@cache_option
def command(
    question: str,
    variables: tuple[str, ...],
    max_iterations: int,
    max_llm_calls: int,
    budget: str | None,
    schema: Path | None,
    as_json: bool,
    keep: str | None,
    quiet: bool,
    **flags: Any,
) -> None:
    """Answer QUESTION over variables with a recursive run.

    The answer goes to standard output, progress to standard error. Exit code 0: answered;
    3: only the best answer so far; 1: no answer.
    """
    import asyncio

    from rich.console import Console

    from ..recursion import RunQuestion
    from ..sandbox import Cache
    from ..server import answer_question
    from ..settings import load_settings
    from ._prepare import prepare_shown

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    settings = load_settings(flags)
    sources = _variables(variables)
    asked = RunQuestion(
        question,
        _schema(schema),
        max_iterations=max_iterations,
        max_llm_calls=max_llm_calls,
        names=tuple(sources) or None,
        budget=_budget(budget),
    )
    for name, path in _files_as_text(sources):
        console.print(
            f"{name} is the text {path!r}, not that file, which would be {name}=@{path}",
            markup=False,
        )
    prepare_shown(Cache(settings.cache), console)
    shown = _Shown(console, quiet)
    work = answer_question(settings, asked, sources, keep=keep, as_json=as_json, observe=shown.tell)
    try:
        with shown:
            answered = asyncio.run(work)
    except KeyboardInterrupt:
        reached = f"; what was reached is in space {shown.space}" if shown.space else ""
        console.print(f"Interrupted{reached}", markup=False)
        sys.exit(INTERRUPTED)
    _print(answered, as_json)
    if not quiet:
        _conclude(console, answered)
    if not answered.result.answered:
        sys.exit(1)
    if answered.result.best:
        sys.exit(BEST_ONLY)


def _variables(texts: Sequence[str]) -> dict[str, str | Piped]:
    from ..server import Piped

    sources = dict(map(_variable, texts))
    piped = [name for name, source in sources.items() if isinstance(source, Piped)]
    if len(piped) > 1:
        raise BadRequestError(
            f"standard input can be read once, and {' and '.join(piped)} are both to come from "
            "it: give files for the others, NAME=@PATH"
        )
    if piped:
        _check_input(piped[0])
    return sources


def _variable(text: str) -> tuple[str, str | Piped]:
    from ..loaders import FORMATS
    from ..server import Piped

    name, equals, source = text.partition("=")
    if not equals:
        raise BadRequestError(f"--var wants NAME=@PATH, NAME=- or NAME=TEXT, not {text[:80]!r}")
    if source.removeprefix("@") == "-":
        return name, Piped(0)
    if source.startswith("-:") and source[2:].isalpha():
        if source[2:] not in FORMATS:
            raise BadRequestError(
                f"--var {name}={source[:40]}: there is no such format; there are: "
                + ", ".join(FORMATS)
            )
        return name, Piped(0, source[2:])
    return name, source


def _files_as_text(sources: Mapping[str, str | Piped]) -> Iterator[tuple[str, str]]:
    """Variables whose text is the path of something: a forgotten `@`, which a model cannot see."""
    for name, source in sources.items():
        if isinstance(source, str) and source and not source.startswith("@"):
            with contextlib.suppress(OSError, ValueError):  # too long for a path, a NUL character
                if Path(source).exists():
                    yield name, source


def _budget(text: str | None) -> Budget:
    from ..lm import Budget

    try:
        return Budget.parse(text) if text is not None else Budget()
    except ValueError as error:
        raise BadRequestError(f"--budget: {error}") from None


def _check_input(name: str) -> None:
    if sys.stdin is None or sys.stdin.closed:
        raise BadRequestError(f"--var {name}=- reads standard input, which is closed")
    if sys.stdin.isatty():
        raise BadRequestError(
            f"--var {name}=- reads standard input, which is a terminal: pipe something in, as in "
            f"`cat app.log | rlm-mcp run ... --var {name}=-`, or name a file, {name}=@PATH"
        )


def _schema(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadRequestError(f"the schema {path} cannot be read: {error}") from None


def _print(answered: Answered, as_json: bool) -> None:
    result = answered.result
    if not as_json:
        if result.answered:
            click.echo(answered.text.removesuffix("\n"))
        return
    usage = result.usage
    answer = json.loads(answered.text) if answered.is_json else answered.text
    found = {
        "answer": answer if result.answered else None,
        "ended": result.ended,
        "best_so_far": result.best,
        "preview": answered.preview,
        "error": str(result.error) if result.error else None,
        "iterations": result.iterations,
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "seconds": round(result.seconds, 3),
        "spaces": list(answered.kept),
    }
    click.echo(json.dumps(found, ensure_ascii=False, indent=2))


def _conclude(console: Console, answered: Answered) -> None:
    from ..recursion import ANSWER
    from ..server import usage_text

    result = answered.result
    if result.best:
        console.print(f"Not submitted: {result.why}. This is the best answer so far.")
    elif not result.answered:
        cause = f": {result.error}" if result.error else ""
        console.print(f"No answer: {result.why}{cause}", markup=False)
    if answered.preview:
        console.print(
            f"This is a preview, since the answer has no form as JSON or as a table. All of it is "
            f"`{ANSWER}` in space {result.space}",
            markup=False,
        )
    done = counted(result.iterations, "iteration")
    console.print(f"{done}, {result.seconds:.1f} s, {usage_text(result.usage)}", markup=False)
    if answered.kept:
        names = ", ".join(answered.kept)
        console.print(f"Kept: {names} (rlm-mcp spaces info NAME shows one)", markup=False)


class _Shown:
    """Shows the steps of a run: a line for each code that is run, what it is doing meanwhile."""

    def __init__(self, console: Console, quiet: bool) -> None:
        self.space = ""
        """The fork that is worked on, once there is one."""
        self._console = console
        self._quiet = quiet
        self._status = console.status("starting") if console.is_terminal and not quiet else None

    def __enter__(self) -> None:
        if self._status is not None:
            self._status.start()

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def tell(self, step: Step) -> None:
        """Show one step."""
        self.space = step.space
        if self._quiet:
            return
        from rich.markup import escape

        usage = step.usage
        calls, tokens = counted(usage.calls, "LLM call"), usage.input_tokens + usage.output_tokens
        spent = f"{calls}, {tokens:,} tokens, {price_text(usage.usd)}"
        place = f"{step.iteration}/{step.iterations}"
        if step.doing == "running":
            self._console.print(f"{place:>7}  {step.line[:80]}  [{spent}]", markup=False)
        elif step.doing == "concluding":
            self._console.print(f"{place:>7}  asking for the best answer so far", markup=False)
        if self._status is not None:
            self._status.update(escape(f"{place} {step.doing}, {spent}"))
