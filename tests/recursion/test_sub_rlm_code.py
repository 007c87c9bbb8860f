"""`sub_rlm` in code: a fork that sees everything, an answer that is a value, a parent untouched."""

from __future__ import annotations

import re

import pytest

from rlm_mcp.errors import SubLLMError

from ..conftest import Connect
from ._roots import RootModel, code

pytestmark = pytest.mark.anyio

TABLE = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


async def test_the_run_sees_the_variables_and_leaves_the_parent_untouched(
    connect: Connect,
) -> None:
    model = RootModel(
        code("print(len(rows), rows[7]['v'])", "helper(2)"),
        code("rows.clear()", "made_there = 1", "SUBMIT(total * 2)"),
    )
    async with connect(model) as agent:
        await agent.run("rows = [{'v': i} for i in range(500_000)]; total = 21")
        await agent.run("def helper(x): return x + total")
        reply = await agent.run("total = 'changed since'; sub_rlm('What is twice the total?')")
        assert "=> 42" in reply
        # As the running execution found the space, and nothing of it was copied on the way.
        assert "500000 7" in model.seen
        assert "=> 23" in model.seen
        assert "rows: list 500,000 items" in model.asked[0].prompt.text
        assert "What is twice the total?" in model.asked[0].prompt.text
        reply = await agent.run("len(rows), total, 'made_there' in globals()")
        assert "=> (500000, 'changed since', False)" in reply


async def test_keywords_become_variables_of_the_fork(connect: Connect) -> None:
    model = RootModel(code("SUBMIT(describe(notes[0]) + [len(frame), rule(3)])"))
    async with connect(model) as agent:
        await agent.run("base = 10")
        reply = await agent.run(
            "import pandas as pd\n"
            "class Note:\n"
            "    def __init__(self, text): self.text = text\n"
            "def upper(text): return text.upper()\n"
            "def describe(note): return [type(note).__name__, upper(note.text)]\n"
            "sub_rlm('describe', notes=[Note('hi')], describe=describe,\n"
            "        frame=pd.DataFrame({'a': [1, 2]}), rule=lambda x: x + base)"
        )
        assert "=> ['Note', 'HI', 2, 13]" in reply
        assert "notes: list 1 item" in model.asked[0].prompt.text
        assert "=> False" in await agent.run("'notes' in globals()")


async def test_what_comes_back_is_a_value_of_the_classes_that_are_here(connect: Connect) -> None:
    model = RootModel(
        code("SUBMIT([Old(1), new, Old])"),
        code("import pandas as pd", "SUBMIT(pd.DataFrame({'a': [1, 2, 3]}))"),
        code("class Mine:", "    x = 5", "SUBMIT(Mine())"),
    )
    async with connect(model) as agent:
        await agent.run("class Old:\n    def __init__(self, v): self.v = v")
        reply = await agent.run(
            "class New(Old): pass\n"
            "a, b, c = sub_rlm('three', new=New(2))\n"
            "type(a) is Old, a.v, type(b) is New, b.v, c is Old"
        )
        assert "=> (True, 1, True, 2, True)" in reply
        assert "=> 6" in await agent.run("int(sub_rlm('a table')['a'].sum())")
        assert "=> 5" in await agent.run("rlm_query('an instance').x")


async def test_an_answer_that_cannot_be_pickled_goes_back_to_the_one_who_submits(
    connect: Connect,
) -> None:
    model = RootModel(code("SUBMIT(n for n in 'ab')"), code("SUBMIT(list('ab'))"))
    async with connect(model) as agent:
        assert "=> ['a', 'b']" in await agent.run("sub_rlm('letters')")
        assert "a generator cannot be copied" in model.seen
        assert "submit plain values" in model.seen


async def test_with_a_schema_the_answer_fits_or_the_error_goes_back(connect: Connect) -> None:
    model = RootModel(
        code("SUBMIT({'n': 'three'})"),
        code("SUBMIT(object())"),
        code("import numpy", "SUBMIT(n=numpy.int64(3))"),
    )
    async with connect(model) as agent:
        assert "=> {'n': 3}" in await agent.run(f"sub_rlm('count', schema={TABLE})")
    assert '"required": ["n"]' in model.asked[0].prompt.text
    assert "the answer does not fit the schema: at $.n: 'three' is not of type" in model.seen
    assert "a object is no value of JSON" in model.seen


async def test_a_type_is_a_schema_whose_answer_is_an_instance(connect: Connect) -> None:
    model = RootModel(code("SUBMIT({'name': 'Ann'})"), code("SUBMIT([Person('Ann', 31)])"))
    async with connect(model) as agent:
        await agent.run(
            "from dataclasses import dataclass\n@dataclass\nclass Person:\n"
            "    name: str\n    age: int"
        )
        reply = await agent.run(
            "r = sub_rlm('who?', schema=list[Person]); r == [Person('Ann', 31)]"
        )
        assert "=> True" in reply
    assert "does not fit the schema" in model.seen


async def test_code_of_a_run_may_await_and_submit_in_a_task(connect: Connect) -> None:
    model = RootModel(
        code(
            "import asyncio",
            "async def work(x):",
            "    answer = await asub_llm(x)",
            "    if x == 'b': SUBMIT([answer, counted])",
            "    return answer",
            "counted = len(await asyncio.gather(work('a'), asub_llm('c')))",
        ),
        code("async with asyncio.TaskGroup() as group: group.create_task(work('b'))"),
    )
    async with connect(model) as agent:
        reply = await agent.run("sub_rlm('ask')")
        assert "=> ['<b>', 2]" in reply
        assert "5 sub-LLM calls" in reply
    assert "Submitted" not in model.seen


async def test_code_of_a_run_may_ask_the_sub_model_and_all_is_counted(connect: Connect) -> None:
    model = RootModel(
        code("answers = sub_llm_map(['a', 'b'])"), code("SUBMIT(answers + [sub_llm('c')])")
    )
    async with connect(model) as agent:
        reply = await agent.run("sub_rlm('ask')")
        assert "=> ['<a>', '<b>', '<c>']" in reply
        assert "5 sub-LLM calls" in reply
        assert "[turn 1 of 20 done, 47 LLM calls left]" in model.seen


async def test_several_runs_at_once_from_the_forks_of_pmap(connect: Connect) -> None:
    model = RootModel(code("SUBMIT([word * 2, base])"))
    async with connect(model) as agent:
        await agent.run("base = 10\ndef ask(word): return sub_rlm('double', word=word)")
        reply = await agent.run("pmap(ask, ['a', 'b', 'c', 'd', 'e', 'f'], workers=3)")
        assert "=> [['aa', 10], ['bb', 10], ['cc', 10], ['dd', 10], ['ee', 10], " in reply
        listed = (await agent.call("spaces")).text
        assert len(set(re.findall(r"main\.rlm-[0-9a-f]{8}", listed))) == 6


async def test_a_model_that_fails_is_an_error_and_the_fork_keeps_what_was_reached(
    connect: Connect,
) -> None:
    model = RootModel(
        code("found = 7"),
        SubLLMError("the provider refused", kind="refused", provider="p", model="m"),
    )
    async with connect(model) as agent:
        code_ = (
            "try: sub_rlm('find')\n"
            "except SubLLMError as error:\n    print(error, error.kind, error.provider, sep='|')\n"
            "    print(error.spent.output_tokens > 0)"
        )
        reply = await agent.run(code_)
        assert "came to no answer after 2 iterations (failed): the provider refused" in reply
        assert "|refused|p" in reply
        fork = re.findall(r"in space (main\.rlm-\w+)", reply)[0]
        assert "7" in (await agent.call("peek", target="found", space=fork)).text
        info = (await agent.call("spaces", action="info", space=fork)).text
        assert "execution 1" in info


async def test_mistakes_are_named_before_anything_is_asked(connect: Connect) -> None:
    model = RootModel(code("SUBMIT(1)"))
    async with connect(model) as agent:
        await agent.run("big = b'x' * 40_000_000")
        for source, expected in (
            ("sub_rlm(5)", "question must be a str"),
            ("sub_rlm(' ')", "the question is empty"),
            ("sub_rlm('q', max_iterations=0)", "max_iterations must be a whole number from 1"),
            ("sub_rlm('q', max_llm_calls='9')", "max_llm_calls must be a whole number"),
            ("sub_rlm('q', model='http://evil//')", "not a model's name"),
            ("sub_rlm('q', schema={'type': 5})", "the schema is not valid"),
            ("sub_rlm('q', gen=(n for n in 'ab'))", "cannot be pickled"),
            ("sub_rlm('q', data=b'x' * 32_000_000)", "in an earlier execution"),
            ("sub_rlm('q', grep=5)", "`grep` is the name of a helper"),
            ("sub_rlm('q', model=5)", "not a model's name: '5'"),
            ("SUBMIT(1)", "this is none"),
            ("FINAL_VAR('big')", "this is none"),
            ("FINAL_VAR('bigg')", "there is no variable 'bigg'; there are: big"),
        ):
            assert expected in await agent.fails("exec_code", code=source), source
        assert model.requests == []
