"""Open questions as a reply: as many as fit, and how to see and to answer the others."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from ..lm import Attachment, Question
from ..quantities import counted
from ._render import clean
from ._reply import Reply

PEEKED = "_questions"
"""The name under which `peek` shows the text of questions."""
MIN_CHARS = 400
"""Shown of a question even if there are many: enough to see what is wanted of it (a guess)."""
TAIL_CHARS = 150
"""Shown of the end of a question that is cut, where an instruction may stand (a guess)."""
MAX_SCHEMA_CHARS = 1500
MAX_IMAGES, MAX_IMAGES_BYTES = 10, 5_000_000
"""In one reply; the first question's are shown in any case."""
LEAST_CHARS = 1200
"""Of a reply with questions, however short replies are to be."""
_PATH = re.compile(rf"""\s*{PEEKED}\s*\[\s*["'](q\d+)["']\s*\].*""", re.DOTALL)


class QuestionsText:
    """Shows the questions of one call of a tool, over several replies.

    Args:
        handle: of the space that it works in.
        max_chars: of a reply.
        named: whether calls have to name the space.
    """

    def __init__(self, handle: str, max_chars: int, *, named: bool) -> None:
        self._handle = handle
        self._max_chars = max(max_chars, LEAST_CHARS)
        self._space = f', space="{handle}"' if named else ""
        self._shown: set[str] = set()
        self._talks: list[Question] = []
        self.state = f"answer_sub_llm(answers={{}}{self._space})"
        """The call that asks how it stands."""
        self.give_up = f"answer_sub_llm(answers={{}}, cancel=true{self._space})"
        """The call that ends the code."""

    def call(self, names: Sequence[str]) -> str:
        """The call that hands in answers."""
        shown = ", ".join(f'"{name}": "..."' for name in names[:2])
        more = ", ..." if len(names) > 2 else ""
        return f"answer_sub_llm(answers={{{shown}{more}}}{self._space})"

    def reply(
        self,
        open: Sequence[Question],
        *,
        taken: Sequence[str] = (),
        note: str = "",
        failed: bool = False,
        again: bool = False,
        anew: bool = False,
    ) -> Reply:
        """What to tell the one who answers.

        Args:
            open: the questions that wait.
            taken: what was answered just now.
            note: said first.
            failed: whether the reply is an error.
            again: show questions also if they were shown before.
            anew: whether all was answered, and the code has asked again.
        """
        names = [question.id for question in open]
        first = not self._shown
        before = [] if again else [name for name in names if name in self._shown]
        fresh = [question for question in open if question.id not in before]
        schema = _common_schema(open)
        head = [note + self._head(names, taken, first=first, anew=anew)]
        if schema is not None and (fresh or failed):
            head.append(f"Each answer is JSON that fits {self._schema_text(open[0], schema)}")
        if before:
            head.append(f"shown before: {names_text(before)}")
        # Besides, there is the last line, and maybe a hint.
        room = max(self._max_chars - sum(map(len, head)) - 350, MIN_CHARS)
        if again:
            self._talks.clear()
        blocks, images = self._blocks(fresh, room, with_schema=schema is None)
        shown = fresh[: len(blocks)]
        self._shown.update(question.id for question in shown)
        self._talks += [question for question in shown if question.request.prompt.system]
        left = len(fresh) - len(blocks)
        rest = f'{left} more are shown as you answer, or by peek("{PEEKED}"{self._space}); '
        last = (
            f"[space {self._handle} is suspended; {rest if left else ''}to end it: {self.give_up}]"
        )
        return Reply("\n".join([*head, *blocks, last]), failed, tuple(images))

    def _head(self, names: Sequence[str], taken: Sequence[str], *, first: bool, anew: bool) -> str:
        count = counted(len(names), "question")
        if anew:
            return f"SUSPENDED again: the code went on and asks {count}: {self.call(names)}"
        if taken:
            return f"taken: {names_text(taken)}; {len(names)} left: {self.call(names)}"
        if not first:
            return f"{count} open: {self.call(names)}"
        return (
            f"SUSPENDED: the code asks YOU {count} and goes on where it stands once you have "
            "answered. Answer each from its own text, all at once or some at a time; subagents may "
            f"answer in parallel:\n{self.call(names)}"
        )

    def _blocks(
        self, questions: Sequence[Question], room: int, *, with_schema: bool
    ) -> tuple[list[str], list[Attachment]]:
        blocks: list[str] = []
        images: list[Attachment] = []
        cap = max(room // max(len(questions), 1) - 20, MIN_CHARS)
        for question in questions:
            attached = question.request.prompt.attachments
            block = self._block(question, min(cap, room), with_schema=with_schema)
            size = sum(len(image.data) for image in (*images, *attached))
            crowded = len(images) + len(attached) > MAX_IMAGES or size > MAX_IMAGES_BYTES
            if blocks and (len(block) > room or (attached and crowded)):
                break
            room -= len(block) + 1
            blocks.append(block)
            images += attached
        return blocks, images

    def _block(self, question: Question, cap: int, *, with_schema: bool) -> str:
        request = question.request
        limit = f" (at most {request.max_tokens} tokens)" if request.max_tokens else ""
        text = self._continued(question, cap) or self._cut(question, cap)
        form = ""
        if with_schema and request.schema is not None:
            form = f"\n{question.id} is answered with JSON that fits "
            form += self._schema_text(question, request.schema)
        attached = request.prompt.attachments
        if attached:
            kinds = ", ".join(
                f"{image.mime}, {len(image.data) / 1024:.0f} KB" for image in attached
            )
            count = f"{len(attached)} images" if len(attached) > 1 else "1 image"
            form += f"\n[{count} ({kinds}), in this order below]"
        if "\n" in text or form:
            return f"--- {question.id}{limit}\n{text}{form}"
        return f"{question.id}{limit}: {text}"

    def _continued(self, question: Question, cap: int) -> str | None:
        """What is new in a turn of a conversation whose turn before was shown, if it fits."""
        if not question.request.prompt.history:
            return None
        whole = question.text
        for before in reversed(self._talks):
            if before is not question and whole.startswith(before.text):
                rest = clean(whole[len(before.text) :]).strip()
                head = f"[goes on from {before.id}; all of it: {self._peek(question, 0)}]"
                return f"{head}\n{rest}" if len(rest) <= cap else None
        return None

    def _cut(self, question: Question, cap: int) -> str:
        whole = question.text
        if len(whole) <= cap and len(text := clean(whole)) <= cap:
            return text
        size = max(cap - TAIL_CHARS - 120, MIN_CHARS // 2)
        begin = whole[:size]
        # Escapes make a text longer.
        while len(shown := clean(begin)) > size:
            begin = begin[: max(1, len(begin) * size // len(shown) - 1)]
        tail = clean(whole[-TAIL_CHARS:])[-TAIL_CHARS:]
        left = len(whole) - len(begin) - TAIL_CHARS
        more = self._peek(question, len(begin))
        return f"{shown}\n[... {left:,} characters: {more} ...]\n{tail}"

    def _schema_text(self, question: Question, schema: dict[str, object]) -> str:
        text = clean(_compact(schema))
        if len(text) <= MAX_SCHEMA_CHARS:
            return text
        return f"{text[:MAX_SCHEMA_CHARS]} [... {self._peek(question, len(question.text))} ...]"

    def _peek(self, question: Question, start: int) -> str:
        return f"peek('{PEEKED}[\"{question.id}\"]', start={start}, length=8000{self._space})"


def peeked(target: str, questions: Sequence[Question]) -> dict[str, str] | None:
    """What `_questions` is in a target of `peek`: texts by id; `None` for other targets.

    Only the one that is named, where it is named: together they may be very long.
    """
    if not re.match(rf"\s*{PEEKED}\b", target):
        return None
    one = _PATH.fullmatch(target)
    wanted = [q for q in questions if one is None or q.id == one[1]] or questions
    return {question.id: _whole_text(question) for question in wanted}


def names_text(names: Sequence[str]) -> str:
    """Ids of questions, with runs of them in short: `q1-q3, q7`."""
    runs: list[list[int]] = []
    for number in sorted(int(name[1:]) for name in names):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"q{run[0]}" if len(run) == 1 else f"q{run[0]}-q{run[-1]}" for run in runs]
    return ", ".join(parts[:20]) + (", ..." if len(parts) > 20 else "")


def _whole_text(question: Question) -> str:
    schema = question.request.schema
    if schema is None:
        return question.text
    return f"{question.text}\n\n[the answer is JSON that fits this schema]\n{_compact(schema)}"


def _common_schema(questions: Sequence[Question]) -> dict[str, object] | None:
    schemas = [question.request.schema for question in questions]
    return schemas[0] if all(schema == schemas[0] for schema in schemas) else None


def _compact(schema: dict[str, object]) -> str:
    return json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
