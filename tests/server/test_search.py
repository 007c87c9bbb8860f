"""`search`: what it finds, that it follows changes, and what it costs."""

from __future__ import annotations

import pytest
from mcp.client.client import Client

from rlm_mcp.server import make_server
from rlm_mcp.settings import Settings
from tests.conftest import Agent

pytestmark = pytest.mark.anyio

DOCS = """
docs = {
    "src/store.py": "class Store:\\n  def load_variable(self, name):\\n    return self.pages\\n",
    "src/parseHTTPHeader.ts": "function parseHTTPHeader(text) { return text.split(':') }\\n",
    "doc/stop.md": "# Stopping\\n\\nCode that loops is interrupted at its deadline.\\n",
    "doc/fork.md": "# Forks\\n\\nA fork shares the pages of its parent and costs milliseconds.\\n",
    "doc/de.md": "Die Übergröße der Straße in München; naïve façade.\\n",
    "doc/ru.md": "Быстрая коричневая лиса прыгает.\\n",
    "doc/ja.md": "日本語の文章です。猫が好きです。\\n",
    "empty.txt": "",
}
"""


async def found(agent: Agent, query: str, target: str = "docs") -> str:
    """The places of the hits, in order."""
    reply = await agent.run(f"print([hit.where for hit in search({query!r}, {target})])")
    return reply.splitlines()[0]


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("interrupting loops", "doc/stop.md"),  # other endings
        ("how is the fork of a parent made?", "doc/fork.md"),
        ("variable", "src/store.py"),  # inside of snake_case
        ("http header", "src/parseHTTPHeader.ts"),  # inside of camelCase
        ("loadvariable", "src/store.py"),  # written as one
        ("deadlnie interupted", "doc/stop.md"),  # misspelt
        ("ÜBERGRÖSSE straße", "doc/de.md"),
        ("münchen", "doc/de.md"),
        ("БЫСТРАЯ ЛИСА", "doc/ru.md"),
        ("猫", "doc/ja.md"),
        ("日本語", "doc/ja.md"),
        ("stop", "doc/stop.md"),  # of the path and a heading
    ],
)
async def test_the_right_document_comes_first(agent: Agent, query: str, path: str) -> None:
    await agent.run(DOCS)
    assert (await found(agent, query)).startswith(f"['{path}'")


async def test_a_hit_says_where_it_is_and_what_it_read_a_word_as(agent: Agent) -> None:
    await agent.run(DOCS)
    reply = await agent.run("hits = search('intterupted', docs); hits")
    assert "1 hit; no 'intterupted'; like it: interrupted" in reply
    assert "doc/stop.md:1-3 (1.0) Code that loops is interrupted" in reply
    reply = await agent.run("h = hits[0]; print(h.text == docs[h.where], h.line, h.end_line, h.of)")
    assert "True 1 3 docs" in reply


async def test_a_long_text_gives_passages_with_their_exact_lines(agent: Agent) -> None:
    await agent.run(
        "text = ''.join(f'line {i} of the log, nothing é here\\n' for i in range(60_000))\n"
        "text = text.replace('line 41234 ', 'the zeppelin landed ')"
    )
    reply = await agent.run(
        "(hit,) = search('zeppelin landing', text)\n"
        "exact = text[hit.start:hit.start + len(hit.text)] == hit.text\n"
        "print(hit.line <= 41235 <= hit.end_line, exact,\n"
        "      lines(text, hit.line, hit.end_line) == hit.text.splitlines())"
    )
    assert "True True True" in reply


async def test_lists_records_and_tables_can_be_searched(agent: Agent) -> None:
    await agent.run(
        "rows = [{'note': f'about {fruit}'} for fruit in ('apples', 'pears', 'plums')]\n"
        "import pandas\nframe = pandas.DataFrame(rows)\nnotes = [row['note'] for row in rows]"
    )
    for target in ("rows", "frame", "notes", "frame['note']", "tuple(notes)"):
        assert await found(agent, "pear", target) == "[1]", target
    await agent.run("rows[2]['note'] = 'about a pear tree'; frame.loc[0, 'note'] = 'a pear'")
    assert await found(agent, "pear tree", "rows") == "[2, 1]"
    assert sorted(await found(agent, "pear", "frame")) == sorted("[1, 0]")


async def test_the_index_follows_every_change_and_reads_only_what_changed(agent: Agent) -> None:
    await agent.run(
        "docs = {f'f{i}.txt': f'words number{i} ' * 400 for i in range(200)}\n"
        "search('number7', docs)\n"
        "import sys\n"
        "index = sys.modules['rlm_guest._indexes']._kept[('docs', 1200)].index\n"
    )
    code = (
        "docs['f7.txt'] = 'a walrus instead'; docs['new.txt'] = 'a walrus too'; del docs['f9.txt']"
    )
    await agent.run(code)
    assert await found(agent, "walrus") in ("['f7.txt', 'new.txt']", "['new.txt', 'f7.txt']")
    assert await found(agent, "number9") == "[]"
    reply = await agent.run(
        "before = index.size_of_chunks\n"
        "docs = {**docs, 'f3.txt': 'a heron'}\n"
        "search('heron', docs)\n"
        "print(index.size_of_chunks - before)"
    )
    assert reply.splitlines()[0] == "1"  # one new chunk, though the variable is another object
    assert await found(agent, "number3") == "[]"


async def test_text_that_grows_at_its_end_is_not_read_again_as_a_whole(agent: Agent) -> None:
    await agent.run("log = 'a quiet line of the log\\n' * 200_000\nsearch('quiet', log)")
    reply = await agent.run(
        "import sys\nindex = sys.modules['rlm_guest._indexes']._kept[('log', 1200)].index\n"
        "before = index.size_of_chunks\nlog += 'the kraken woke\\n'\n"
        "(hit,) = search('kraken', log)\n"
        "print(hit.end_line, index.size_of_chunks - before < before / 2)"
    )
    assert "200001 True" in reply


async def test_an_index_survives_a_restart_and_a_fork(agent: Agent, settings: Settings) -> None:
    await agent.run(DOCS + "search('fork', docs)")
    await agent.call("spaces", action="fork", name="copy")
    kept = "import sys; print(len(sys.modules['rlm_guest._indexes']._kept))"
    assert (await agent.run(kept, space="copy")).startswith("1")
    reply = await agent.run("del docs['doc/fork.md']; search('fork', docs)", space="copy")
    assert "0 hits" in reply
    assert (await found(agent, "fork")).startswith("['doc/fork.md'")
    await agent.call("spaces", action="close")
    async with Client(make_server(settings)) as client:
        again = Agent(client)
        await again.call("spaces", action="open", space="main")
        assert (await again.run(kept)).startswith("1")
        assert (await found(again, "fork")).startswith("['doc/fork.md'")


async def test_an_index_goes_when_its_variable_does(agent: Agent) -> None:
    await agent.run(DOCS + "search('fork', docs)\ndel docs\nother = ['one', 'two']")
    assert await found(agent, "two", "other") == "[1]"
    reply = await agent.run("import sys; print(list(sys.modules['rlm_guest._indexes']._kept))")
    assert reply.startswith("[('other', 1200)]")


async def test_an_embedding_function_ranks_by_meaning(agent: Agent) -> None:
    await agent.run(
        "notes = ['cat food is here', 'cat basket is here', 'the cat sleeps, cat, cat']\n"
        "asked = []\n"
        "def embed(texts):\n"
        "    asked.append(len(texts))\n"
        "    return [[float('food' in t or 'eat' in t), 1.0] for t in texts]\n"
    )
    assert (await found(agent, "cat", "notes")).startswith("[2")
    reply = await agent.run(
        "h = search('cat eat', notes, k=1, embed=embed); print(h[0].where, asked)"
    )
    assert reply.startswith("0 [4]")
    text = await agent.fails("exec_code", code="search('cat', notes, embed=lambda t: [1.0])")
    assert "one vector of numbers for each text" in text or "not iterable" in text


async def test_odd_targets_and_queries_are_answered_in_words(agent: Agent) -> None:
    assert "wants a str, a list" in await agent.fails("exec_code", code="search('walrus', 5)")
    assert "must be words" in await agent.fails("exec_code", code="search(' ', ['a'])")
    text = await agent.fails("exec_code", code="search({'a.md': 'walrus'}, 'walrus')")
    assert "the query comes first" in text
    assert "use grep" in await agent.fails("exec_code", code="search('+ =', ['a'])")
    assert "k must be above 0" in await agent.fails("exec_code", code="search('x', ['a'], k=0)")
    for target in (
        "[]",
        "{}",
        "['']",
        "''",
        "{'a': b''}",
        "'\\x00\\x00'",
        "['\\ud800 x']",
        "[None, {}]",
    ):
        assert "0 hits" in await agent.run(f"search('walrus', {target})"), target
    reply = await agent.run(
        "search('walrus', ['a\\x00walrus', 'x' * 3_000_000 + ' walrus', b'walrus'])"
    )
    assert "3 hits" in reply and len(reply) < 2_000


async def test_one_document_does_not_take_all_the_places(agent: Agent) -> None:
    await agent.run(
        "docs = {'long.md': 'about herons\\n\\n' * 2_000, 'short.md': 'a note on a heron'}"
    )
    reply = await agent.run(
        "hits = search('herons', docs); print({h.where for h in hits}, len(hits))"
    )
    assert "short.md" in reply and "long.md" in reply and " 4" in reply


async def test_what_is_not_shown_of_a_result_is_under_the_name_that_it_says(agent: Agent) -> None:
    await agent.run("text = 'a heron\\n' * 30\ndocs = [f'heron {i}' for i in range(40)]")
    assert "... 10 more: _[20:]" in await agent.run("grep('heron', text)")
    assert (await agent.run("_[20:]")).startswith("=> 10 hits\n21: a heron")
    assert "... 10 more: found[20:]" in await agent.run("found = grep('heron', text); found")
    reply = await agent.run("print(search('heron', docs, k=30))")
    assert "... 10 more: keep it in a variable, as in x, then x[20:]" in reply


async def test_texts_that_python_keeps_in_odd_ways_are_seen_to_change(agent: Agent) -> None:
    await agent.run(
        "docs = {'a': 'x', 1: 'the walrus', ('b', 2): 'a heron', 'gone': 'an okapi'}\n"
        "del docs['gone']\n"
        "class Names(dict): pass\n"
        "other = Names({f'k{i}': f'text {i}' for i in range(50)})"
    )
    assert await found(agent, "heron") == "[\"('b', 2)\"]"
    await agent.run(
        "docs[1], docs['a'] = docs['a'], docs[1]; docs['b'] = 'é'; docs['c'] = 'walrus'"
    )
    assert sorted(await found(agent, "walrus")) == sorted("['a', 'c']")
    assert await found(agent, "é") == "['b']"
    assert await found(agent, "49", "other") == "['k49']"
    await agent.run("del other['k48']; other['k48'] = other.pop('k49'); other['new'] = 'y'")
    assert await found(agent, "49", "other") == "['k48']"
    await agent.run("rows = ['a', 'b', 'a heron']; search('heron', rows); rows.insert(0, 'c')")
    assert await found(agent, "heron", "rows") == "[3]"
    await agent.run("rows[3] = ['a', 'heron', 5]; rows[0] = None")
    assert await found(agent, "heron", "rows") == "[3]"


async def test_attributes_of_an_object_can_be_searched_and_change(agent: Agent) -> None:
    await agent.run(
        "class Notes:\n    def __init__(self):\n"
        "        for i in range(20): setattr(self, f'n{i}', f'text number{i} ' * 50)\n"
        "made = Notes(); notes = vars(made); search('number3', notes)"
    )
    assert await found(agent, "number7", "notes") == "['n7']"
    await agent.run("made.n7 = 'a walrus'; made.more = 'another walrus'")
    assert sorted(await found(agent, "walrus", "notes")) == sorted("['n7', 'more']")
    assert await found(agent, "number7", "notes") == "[]"


async def test_texts_that_only_look_alike_to_the_index_are_told_apart(agent: Agent) -> None:
    # Two texts of one length with the same hash, of which there are some among 200,000 each.
    await agent.run(
        "known = {hash(f'{i:06d} walrus'): i for i in range(200_000)}\n"
        "other = next(j for j in range(200_000) if hash(f'{j:06d} osprey') in known)\n"
        "old = f\"{known[hash(f'{other:06d} osprey')]:06d} walrus\"; new = f'{other:06d} osprey'\n"
        "rows = ['one', old, 'two', 'three']"
    )
    assert "=> (True, True, False)" in await agent.run(
        "hash(old) == hash(new), len(old) == len(new), old == new"
    )
    assert await found(agent, "walrus", "rows") == "[1]"
    await agent.run("rows[:] = ['one', 'four', 'two', new]")
    assert await found(agent, "osprey", "rows") == "[3]"
    assert await found(agent, "walrus", "rows") == "[]"


async def test_bytes_in_the_place_of_the_same_text_are_searched(agent: Agent) -> None:
    await agent.run("rows = ['a walrus', 'a heron']; search('walrus', rows)")
    await agent.run("data = b'a walrus'; hash(data); rows[0] = data")
    assert await found(agent, "walrus", "rows") == "[0]"


async def test_what_fields_are_called_is_searched_with_what_they_hold(agent: Agent) -> None:
    await agent.run(
        "probe = {'livenessProbe': {'httpGet': {'path': '/healthz', 'port': 8080}}}\n"
        "pods = [{'kind': 'Pod', 'spec': {'containers': [{'name': f'c{i}'}]}} for i in range(50)]\n"
        "pods[30]['spec']['containers'][0].update(probe)"
    )
    assert await found(agent, "liveness probe", "pods") == "[30]"
    reply = await agent.run("print(search('liveness', pods)[0].text)")
    assert "livenessProbe:\nhttpGet:\npath: /healthz\nport: 8080" in reply
    await agent.run("first = pods[30]['spec']['containers'][0]\n"
                    "first['readinessProbe'] = first.pop('livenessProbe')")  # fmt: skip
    assert await found(agent, "liveness", "pods") == "[]"
    assert await found(agent, "readiness", "pods") == "[30]"
    await agent.run(
        "deep = {}; at = deep\nfor i in range(12): at[f'k{i}'] = at = {}\nat['k'] = 'a walrus'"
    )
    assert "1 hit" in await agent.run("search('walrus', [deep])")
    await agent.run("bomb = ['heron']\nfor _ in range(15): bomb = [bomb] * 9")
    assert "[0]:" in await agent.run("search('heron', [bomb, 'x'])")


async def test_tables_in_dicts_are_searched_row_by_row(agent: Agent) -> None:
    await agent.run(
        "import pandas\n"
        "names = [f'filler number {i} of the sheet' for i in range(500)]\n"
        "names[400] = 'a walrus\\nin two lines'; names[450] = 'a heron'\n"
        "book = {'First': pandas.DataFrame({'name': ['x']}), "
        "'Second': pandas.DataFrame({'n': range(500), 'name': names})}\n"
        "books = {'a.xlsx': book, 'b.xlsx': {'Third': book['Second']['name']}}"
    )
    assert await found(agent, "walrus", "book") == "['Second']"
    reply = await agent.run("h = search('heron', book)[0]; h.line <= 451 <= h.end_line")
    assert "=> True" in reply
    assert sorted(await found(agent, "walrus", "books")) == sorted("['a.xlsx', 'b.xlsx']")
    await agent.run("book['Second'].loc[400, 'name'] = 'an okapi'")
    assert await found(agent, "walrus", "book") == "[]"
    assert await found(agent, "okapi", "book") == "['Second']"


async def test_records_are_read_again_only_where_they_changed(agent: Agent) -> None:
    await agent.run(
        "rows = [{'id': i, 'spec': {'parts': [{'note': f'about thing {i}'}]}} for i in range(500)]"
    )
    reading = (
        "import sys\nmodule = sys.modules['rlm_guest._contents']\nplain, read = module.flat, []\n"
        "module.flat = lambda value: read.append(value) or plain(value)\n"
    )
    assert "500\n" in await agent.run(f"{reading}search('thing', rows); print(len(read))")
    # After that, those whose passages are looked at.
    assert "0 1 1\n" in await agent.run(
        f"{reading}print(len(search('walrus', rows)), len(search('77', rows)), len(read))"
    )
    await agent.run(
        "rows[7]['spec']['parts'][0]['note'] = 'a walrus'; rows.insert(0, {'a': 'heron'})"
    )
    reply = await agent.run(
        f"{reading}print([h.where for w in ('walrus', 'heron') for h in search(w, rows)])\n"
        "print(len(read) < 30)"
    )
    assert reply.startswith("[8, 0]\nTrue\n")


async def test_tables_and_dates_that_stay_the_same_are_not_read_again(agent: Agent) -> None:
    await agent.run(
        "import datetime, decimal, pandas\n"
        "rows = [{'when': datetime.date(2020, 1, 1 + i), 'much': decimal.Decimal(i),\n"
        "         'table': pandas.DataFrame({'name': [f'thing {i}'], 'n': [i], 'x': [i / 7]})}\n"
        "        for i in range(20)]\n"
        "search('thing', rows)"
    )
    reading = (
        "import sys\nmodule = sys.modules['rlm_guest._contents']\nplain, read = module.flat, []\n"
        "module.flat = lambda value: read.append(value) or plain(value)\n"
    )
    assert "0 0\n" in await agent.run(f"{reading}print(len(search('walrus', rows)), len(read))")
    await agent.run("rows[7]['table'].loc[0, 'name'] = 'a walrus'")
    reply = await agent.run(f"{reading}print([h.where for h in search('walrus', rows)], len(read))")
    assert reply.startswith("[7] 1\n")


@pytest.mark.parametrize(
    ("before", "change"),
    [
        ("{'a': [1, 2, {'b': 11}]}", "row['a'][2]['b'] = 12"),
        ("{'a': 11}", "row['a'] = '12'"),
        ("{'a': 11.5}", "row['a'] = 12.5"),
        ("{'old': 11}", "row['about 12'] = row.pop('old')"),
        ("{'a': []}", "row['a'].append(12)"),
        ("{'a': ('x', {11})}", "row['a'][1].add(12)"),
        ("{'a': bytearray(b'11')}", "row['a'][:] = b'12'"),
        ("{'a': datetime.date(2020, 1, 11)}", "row['a'] = datetime.date(2020, 1, 12)"),
        ("{'a': pandas.DataFrame({'n': [11]})}", "row['a'].loc[0, 'n'] = 12"),
        ("{'a': Own('11')}", "row['a'] = Own('12')"),
        ("{'a': collections.deque(['11'])}", "row['a'].append('12')"),
        ("{'a': None}", "row['a'] = row; row['b'] = 12"),
    ],
)
async def test_no_change_inside_of_a_record_is_missed(
    agent: Agent, before: str, change: str
) -> None:
    await agent.run(
        "import collections, datetime, pandas\nclass Own(str): pass\n"
        f"rows = [{{'a': 0}}, {before}, 'x']"
    )
    assert await found(agent, "12", "rows") == "[]"
    await agent.run(f"row = rows[1]; {change}")
    assert await found(agent, "12", "rows") == "[1]"


async def test_a_hit_in_documents_of_a_folder_says_which_page_it_is_on(agent: Agent) -> None:
    await agent.run(
        "import pandas\n"
        "page = 'one line of a page\\n' * 20\n"
        "docs = {\n"
        "    'a.pdf': [page, page + 'a walrus\\n', page],\n"
        "    'b.mbox': [{'subject': 'x', 'text': page}, {'subject': 'a heron', 'text': page}],\n"
        "    'c.xlsx': {'First': pandas.DataFrame({'n': ['x']}),\n"
        "               'Second': pandas.DataFrame({'n': ['x', 'an okapi']})},\n"
        "    'd.txt': 'a text with a lemur', 'tags': ['red', 'a gecko', 'blue'],\n"
        "}"
    )
    for word, where, item, line, row in (
        ("walrus", "a.pdf", 1, 1, "a.pdf[1]:1-21"),
        ("heron", "b.mbox", 1, 1, "b.mbox[1]:1-"),
        ("okapi", "c.xlsx", "Second", 1, "c.xlsx['Second']:1-2"),
        ("lemur", "d.txt", None, 1, "d.txt:1 "),
        ("gecko", "tags", None, 1, "tags:1-3"),
    ):
        reply = await agent.run(
            f"hit = search({word!r}, docs)[0]; print((hit.where, hit.item, hit.line)); hit"
        )
        assert repr((where, item, line)) in reply and row in reply, reply
    # A passage does not go on from one page to the next, and one document has three hits at most.
    assert await found(agent, "line of a page") in (
        "['a.pdf', 'a.pdf', 'a.pdf', 'b.mbox', 'b.mbox']",
        "['b.mbox', 'b.mbox', 'a.pdf', 'a.pdf', 'a.pdf']",
    )
    await agent.run("docs['a.pdf'][2] = 'a walrus on its own page\\n'; del docs['b.mbox']")
    reply = await agent.run("print([(h.where, h.item) for h in search('walrus', docs)])")
    assert "[('a.pdf', 2), ('a.pdf', 1)]" in reply


async def test_what_a_document_is_about_counts_for_its_passages(agent: Agent) -> None:
    await agent.run(
        "def note(about, n):\n"
        "    filler = [f'Nothing of interest, paragraph {i} of {n}. ' * 20 for i in range(9)]\n"
        "    food = 'They are fed twice a day, with fish, in the morning and at night.'\n"
        "    parts = [f'Notes on {about} in the zoo.', *filler[:5], food, *filler[5:]]\n"
        "    return '\\n\\n'.join(parts)\n"
        "kinds = ['herons', 'lemurs', 'walruses']\n"
        "docs = {f'{n}.md': note(about, n) for n, about in enumerate(kinds)}"
    )
    fed = (
        "hits = search('when are walruses fed', {})\n"
        "print([h.where for h in hits if 'They are fed' in h.text][0])"
    )
    assert (await agent.run(fed.format("docs"))).startswith("2.md")
    assert (await agent.run(fed.format("list(docs.values())"))).startswith("2\n")
    pages = "docs = {n: text.split('\\n\\n') for n, text in docs.items()}"
    assert (await agent.run(f"{pages}\n{fed.format('docs')}")).startswith("2.md")
    # What was there before does not count any more.
    await agent.run("docs['2.md'] = docs['1.md']; del docs['0.md']")
    reply = await agent.run("print([h.where for h in search('walruses', docs)], len(docs))")
    assert reply.startswith("[] 2")
