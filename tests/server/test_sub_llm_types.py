"""Answers as values of types, prompts with images, estimates, and what errors keep."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Answer, Attachment, Request, ScriptedModel, Usage

from ..conftest import Connect

pytestmark = pytest.mark.anyio

TYPES = '''
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NotRequired, TypedDict, Annotated
from enum import Enum
import datetime

class Kind(Enum):
    BUG = "bug"
    WISH = "wish"

@dataclass
class Item:
    """One report."""
    name: str
    kind: Kind
    score: float = 0.5
    tags: list[str] = field(default_factory=list)
    parent: "Item | None" = None

class Pair(NamedTuple):
    left: int
    right: int = 2

class Row(TypedDict):
    day: datetime.date
    note: NotRequired[Annotated[str, "in a few words"]]
'''


class Answering:
    """Answers with fixed data, whatever is asked."""

    def __init__(self, data: Any = None) -> None:
        self.data = data
        self.requests: list[Request] = []

    async def ask(self, request: Request) -> Answer:
        self.requests.append(request)
        text = json.dumps(self.data)
        return Answer(text, self.data, "m", 5, 7, 0.25)

    async def estimate(self, request: Request) -> Usage:
        if request.prompt.text == "known" and not request.fresh:
            return Usage(cached=1)
        usd = None if request.model == "x/unpriced" else 0.5
        return Usage(1, 0, len(request.prompt.text), request.max_tokens or 100, usd)

    async def aclose(self) -> None: ...


async def test_answers_are_instances_of_the_types_that_code_defines(connect: Connect) -> None:
    model = Answering()
    async with connect(model) as agent:
        await agent.run(TYPES)
        child = {"name": "c", "kind": "bug"}
        cases: tuple[tuple[str, Any, str], ...] = (
            ("Kind", "wish", "<Kind.WISH: 'wish'>"),
            (
                "Item",
                {"name": "p", "kind": "wish", "score": 1, "tags": ["t"], "parent": child},
                "Item(name='p', kind=<Kind.WISH: 'wish'>, score=1.0, tags=['t'], "
                "parent=Item(name='c', kind=<Kind.BUG: 'bug'>, score=0.5, tags=[], parent=None))",
            ),
            ("Pair", {"left": 1}, "Pair(left=1, right=2)"),
            ("Row", {"day": "2026-01-02"}, "{'day': datetime.date(2026, 1, 2)}"),
            ("list[Pair]", [{"left": 1}], "[Pair(left=1, right=2)]"),
            ("dict[str, Pair | None]", {"a": None, "b": {"left": 3}},
             "{'a': None, 'b': Pair(left=3, right=2)}"),
            ("dict[int, bool]", {"5": True}, "{5: True}"),
            ("tuple[int, str]", [1, "a"], "(1, 'a')"),
            ("set[int]", [1], "{1}"),
            ("Literal['a', 1, None]", None, "None"),
            ("int | str", "7", "'7'"),
            ("Annotated[int, 'a number']", 3, "3"),
        )  # fmt: skip
        for hint, data, expected in cases:
            model.data = data
            reply = await agent.run(f"r = sub_llm('q', schema={hint})\nrepr(r) == {expected!r}")
            assert "=> True" in reply, (hint, reply, await agent.run("r"))
        model.data = {"left": 1}
        code = "import asyncio\nawait asyncio.gather(*(asub_llm(p, schema=Pair) for p in 'ab'))"
        assert "=> True" in await agent.run(f"{code[:15]}\n({code[15:]}) == [Pair(1), Pair(1, 2)]")
        assert "=> True" in await agent.run("sub_llm_map(['a'], schema=Pair) == [Pair(1)]")


async def test_the_schema_that_is_sent_says_all_that_the_types_say(connect: Connect) -> None:
    model = Answering({"left": 1})
    async with connect(model) as agent:
        code = "for t in (list[Pair], Row, Item):\n    try: sub_llm('q', schema=t)\n"
        await agent.run(f"{TYPES}\n{code}    except SubLLMError: pass")
        pairs, row, item = (request.schema for request in model.requests)
        pair = {
            "type": "object",
            "properties": {"left": {"type": "integer"}, "right": {"type": "integer", "default": 2}},
            "required": ["left"],
            "additionalProperties": False,
        }
        assert pairs == {"type": "array", "items": pair}
        assert row is not None
        assert row["required"] == ["day"]
        assert row["properties"]["note"] == {"type": "string", "description": "in a few words"}
        assert item is not None
        assert (item["type"], item["description"]) == ("object", "One report.")
        assert item["required"] == ["name", "kind"]
        assert item["properties"]["parent"] == {
            "anyOf": [{"$ref": "#/$defs/Item"}, {"type": "null"}], "default": None
        }  # fmt: skip
        assert item["properties"]["kind"] == {"type": "string", "enum": ["bug", "wish"]}
        assert list(item["$defs"]) == ["Item"]


async def test_a_type_that_json_cannot_say_is_refused_by_the_name_of_its_field(
    connect: Connect,
) -> None:
    model = Answering()
    async with connect(model) as agent:
        await agent.run(
            TYPES + "@dataclass\nclass Bad:\n    a: int\n    data: list[bytes]\n"
            "class Plain:\n    a: int\n"
            "@dataclass\nclass Unknown:\n    a: 'Nowhere'\n"
        )
        for hint, expected in (
            ("Bad", "Bad.data[]: bytes cannot be the type of an answer"),
            ("Plain", "schema: Plain cannot be the type of an answer; make it a @dataclass"),
            ("Unknown", "the types of Unknown cannot be read (NameError"),
            ("list['Item']", "is the name of a type"),
            ("dict[float, int]", "keys of an object"),
            ("Literal[b'x']", "cannot be said in JSON"),
            ("print", "cannot be the type of an answer"),
            ("3", "3 cannot be the type of an answer"),
        ):
            text = await agent.fails("exec_code", code=f"sub_llm('q', schema={hint})")
            assert "TypeError" in text
            assert expected in text, text
        assert model.requests == []


async def test_what_comes_twice_in_a_set_does_no_harm(connect: Connect) -> None:
    model = Answering([3, 3])
    async with connect(model) as agent:
        assert "=> {3}" in await agent.run("sub_llm('q', schema=set[int])")
        assert model.requests[0].schema == {"type": "array", "items": {"type": "integer"}}


async def test_a_type_that_cannot_be_used_is_told_once(connect: Connect) -> None:
    async with connect(Answering()) as agent:
        text = await agent.fails("exec_code", code="class P:\n    a: int\nsub_llm('q', schema=P)")
        assert text.count("make it a @dataclass") == 1
        assert "During handling" not in text


async def test_a_class_that_is_defined_anew_is_the_one_that_answers_are_made_of(
    connect: Connect,
) -> None:
    model = Answering({"leaf": {"n": 1}})
    async with connect(model) as agent:
        leaf = "from dataclasses import dataclass\n@dataclass\nclass Leaf:\n    n: "
        tree = "@dataclass\nclass Tree:\n    leaf: 'Leaf'\n"
        await agent.run(f"{leaf}int\n{tree}\nassert type(sub_llm('q', schema=Tree).leaf) is Leaf")
        code = f"{leaf}float\nt = sub_llm('q', schema=Tree)\ntype(t.leaf) is Leaf, t.leaf.n"
        assert "=> (True, 1.0)" in await agent.run(code)


async def test_an_answer_that_makes_no_instance_is_an_error_of_kind_schema(
    connect: Connect,
) -> None:
    model = Answering([{"n": 1}, {"n": -1}])
    async with connect(model) as agent:
        code = (
            "from dataclasses import dataclass\n"
            "@dataclass\nclass Count:\n    n: int\n"
            "    def __post_init__(self):\n        if self.n < 0: raise ValueError('below zero')\n"
            "try: sub_llm('q', schema=list[Count])\n"
            "except SubLLMError as e: got = e\n"
            "print(got)\ngot.kind, got.model, tuple(got.spent)"
        )
        reply = await agent.run(code)
        assert "at [1]: Count cannot be made of it (ValueError: below zero)" in reply
        assert "=> ('schema', 'm', (5, 7, 0.25))" in reply


PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


async def test_images_and_documents_reach_the_model_as_attachments(connect: Connect) -> None:
    model = Answering("ok")
    async with connect(model) as agent:
        await agent.run(f"img = {PNG!r}; pdf = b'%PDF-1.7 x'; jpg = b'\\xff\\xd8\\xff\\xe0'")
        code = (
            "import asyncio\n"
            "sub_llm(['What is this?', img])\n"
            "sub_llm('Compare', context=[img, jpg])\n"
            "sub_llm_map([['Sum up', pdf], 'plain'])\n"
            "await asub_llm('And this?', context=pdf)"
        )
        assert "5 sub-LLM calls" in await agent.run(code)
        reply = await agent.call("sub_llm", prompt="Look at {{img}}.", into="r")
        assert not reply.failed, reply.text
        png, pdf = Attachment("image/png", PNG), Attachment("application/pdf", b"%PDF-1.7 x")
        jpg = Attachment("image/jpeg", b"\xff\xd8\xff\xe0")
        found = [(request.prompt.text, request.prompt.attachments) for request in model.requests]
        assert found == [
            ("What is this?", (png,)),
            ("Compare\n\n[attachment 1]\n\n[attachment 2]", (png, jpg)),
            ("Sum up", (pdf,)),
            ("plain", ()),
            ("And this?", (pdf,)),
            ("Look at .", (png,)),
        ]
        for code, expected in (
            ("sub_llm(['what?', b'abc'])", "begin with b'abc': neither PNG, JPEG"),
            ("sub_llm(['what?', 5])", "part 1 of prompt must be a str, or the bytes"),
            ("sub_llm([img])", "the prompt is empty"),
            ("sub_llm(['what?', img + bytes(31_000_000)])", "over 30,000,000 bytes"),
            ("sub_llm('x', context=img.hex().encode())", "decode it first"),
        ):
            assert expected in await agent.fails("exec_code", code=code), code
        assert len(model.requests) == 6


async def test_an_estimate_asks_nothing_and_adds_up(connect: Connect) -> None:
    model = Answering()
    async with connect(model) as agent:
        code = "sub_llm_map(['aaaa', 'known', 'bb'], max_tokens=50, estimate=True)"
        reply = await agent.run(code)
        shown = "Estimate(calls=2, cached=1, input_tokens=6, output_tokens=100, usd=1.0)"
        assert f"=> {shown}" in reply
        assert "sub-LLM call" not in reply
        reply = await agent.run("sub_llm('x', model='x/unpriced', estimate=True).usd is None")
        assert "=> True" in reply
        code = "e = await asub_llm('known', fresh=True, estimate=True)\ne.calls, e.cached, e.usd"
        assert "=> (1, 0, 0.5)" in await agent.run(code)
        assert "prompt 1 is empty" in await agent.fails(
            "exec_code", code="sub_llm_map(['a', ''], estimate=True)"
        )
        assert model.requests == []


async def test_fresh_reaches_the_model(connect: Connect) -> None:
    model = Answering("ok")
    async with connect(model) as agent:
        await agent.run(
            "sub_llm('a'); sub_llm('b', fresh=True); sub_llm_map(['c'], fresh=True)\n"
            "await asub_llm('d', fresh=True)"
        )
        assert [request.fresh for request in model.requests] == [False, True, True, True]
        text = await agent.fails("exec_code", code="sub_llm('a', fresh='yes')")
        assert "fresh must be a bool" in text


async def test_errors_keep_what_was_spent_through_pickling_and_forks(connect: Connect) -> None:
    def answer(request: Request) -> str | SubLLMError:
        if "bad" in request.prompt.text:
            return SubLLMError(
                "no such luck", kind="schema", provider="p", model="p/m",
                input_tokens=10, output_tokens=3, usd=0.5,
            )  # fmt: skip
        return "ok"

    async with connect(ScriptedModel(answer)) as agent:
        await agent.run(
            "import pickle, copy\n"
            "def facts(e):\n"
            "    return str(e), e.kind, e.provider, e.model, tuple(e.spent), list(e.failed)\n"
            "def ask(p): return sub_llm(p)\n"
            "def ask_both(p): return sub_llm_map(['ok', p])"
        )
        reply = await agent.run(
            "try: sub_llm('bad')\nexcept SubLLMError as e: one = e\n"
            "try: sub_llm_map(['a', 'bad', 'bad 2'])\nexcept SubLLMError as e: many = e\n"
            "facts(one), facts(many)[1:], many.answers, many.spent.usd"
        )
        assert "('no such luck', 'schema', 'p', 'p/m', (10, 3, 0.5), [])" in reply
        assert "('schema', 'p', 'p/m', (20, 6, 1.0), [1, 2]), ['ok', None, None], 1.0)" in reply
        code = "all(facts(pickle.loads(pickle.dumps(e))) == facts(e) for e in (one, many))"
        assert "=> True" in await agent.run(code)
        code = (
            "x, y = pmap(ask, ['ok', 'bad'], on_error='return')\n"
            "(z,) = pmap(ask_both, ['bad'], on_error='return')\n"
            "x, facts(y), facts(z)[1:], z.answers, facts(z.failed[1])[1:]"
        )
        reply = await agent.run(code)
        assert "('ok', ('no such luck', 'schema', 'p', 'p/m', (10, 3, 0.5), [])" in reply
        assert "('schema', 'p', 'p/m', (10, 3, 0.5), [1]), ['ok', None]" in reply
        code = "import asyncio\nawait asyncio.gather(asub_llm('bad'), return_exceptions=True)"
        assert "(10, 3, 0.5)" in await agent.run(f"{code[:15]}\nfacts((\n{code[15:]})[0])")


async def test_an_attachment_is_base64_of_one_of_the_known_kinds(connect: Connect) -> None:
    model = Answering("ok")
    async with connect(model) as agent:
        request = {"prompt": "x", "attachments": [{"mime": "text/html", "data": ""}]}
        code = (
            "import rlm_guest._door as d\n"
            f"request = {request}\n"
            "said = []\n"
            "for mime, data in (('text/html', ''), ('image/png', '%'), ('image/png', 5)):\n"
            "    request['attachments'] = [{'mime': mime, 'data': data}]\n"
            "    try: d.ask('sub_llm', requests=[request])\n"
            "    except d.HostError as e: said.append(str(e))\n"
            "len(said)"
        )
        assert "=> 3" in await agent.run(code)
        good = base64.b64encode(PNG).decode()
        code = (
            f"request['attachments'] = [{{'mime': 'image/png', 'data': '{good}'}}]\n"
            "d.ask('sub_llm', requests=[request])['results'][0]['data']"
        )
        assert "=> 'ok'" in await agent.run(code)
        assert len(model.requests) == 1
