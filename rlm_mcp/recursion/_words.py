"""What a root model is told beside the outputs of its code, and the file with its instructions."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

from ..errors import BadRequestError
from ..lm import Budget
from ..quantities import counted
from ._question import RunQuestion

NO_CODE = """\
There is no code in your reply, so nothing was done. To go on, write a block such as
```python
print(type(data), len(data))
```
To give your answer, write
```python
SUBMIT(answer)
```"""
EMPTY = f"Your reply was empty. {NO_CODE}"
CUT = "Your reply was cut at the limit of its length; write less. "
NOT_SEEN = (
    "[the answer in your reply was not taken: you wrote it before you could see the output above. "
    "If it still holds, SUBMIT it now]"
)
SAME_CODE = "[this is the code that you ran just before: do something else, or SUBMIT]"
SAME_ERROR = "[the same error as before: find out why first, for example by printing the value]"
CONCLUDE = """\
No more code can be run. Give the best answer that you have now, from what you have seen: the \
answer itself and nothing else, no code. If a variable holds it, reply with FINAL_VAR(its name)."""
_MAX_PROMPT = 100_000


def load_prompt(path: Path | None) -> str:
    """The instructions for root models: of a file, or those that come with the project.

    Raises:
        BadRequestError: the file cannot be used.
    """
    if path is None:
        return resources.files(__package__).joinpath("prompt.md").read_text(encoding="utf-8")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise BadRequestError(f"the prompt of RLM_MCP_RLM_PROMPT cannot be read: {error}") from None
    if not text.strip() or len(text) > _MAX_PROMPT:
        raise BadRequestError(
            f"the prompt of RLM_MCP_RLM_PROMPT must have 1 to {_MAX_PROMPT:,} characters"
        )
    return text


def first_message(question: RunQuestion, previews: str, budget: Budget) -> str:
    """The question, the variables that there are, and the bounds of the run."""
    parts = [f"Question:\n{question.text}", f"Variables:\n{previews}"]
    if question.schema is not None:
        schema = json.dumps(question.schema, ensure_ascii=False)
        parts.append(f"What you SUBMIT must be JSON data that fits this JSON Schema:\n{schema}")
    parts.append(
        f"[at most {counted(question.max_iterations, 'turn')} and {_amounts(budget)} in all, your "
        "own turns included]"
    )
    return "\n\n".join(parts)


def heading(iteration: int, question: RunQuestion, budget: Budget, left: int) -> str:
    """The line above what an iteration came to; the last ones press for an answer.

    Args:
        iteration: that is done.
        question: with the bounds of the run.
        budget: that is left.
        left: iterations that are.
    """
    text = f"turn {iteration} of {question.max_iterations} done, {_amounts(budget)} left"
    if left == 1:
        text += "; only ONE turn is left: SUBMIT in it"
    elif left == 2:
        text += "; two turns are left: come to an answer"
    return f"[{text}]"


def _amounts(budget: Budget) -> str:
    calls = counted(budget.calls or 0, "LLM call")
    return ", ".join([calls, *replace(budget, calls=None).words])
