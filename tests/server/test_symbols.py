"""`outline` and `symbols`: definitions, references and calls, in many languages."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlm_mcp.helpers._languages import LANGUAGES
from rlm_mcp.helpers._process import run_helper
from rlm_mcp.server import _symbols
from tests.conftest import Agent

pytestmark = pytest.mark.anyio

# In each, `get` calls `load`.
SOURCES = {
    "a.py": "class Store:\n    def get(self, key):\n        return load(key)\n\ndef load(k): ...\n",
    "a.js": "class Store { get(k) { return load(k); } }\nfunction load(k) { return k; }\n",
    "a.ts": "export class Store { get(k: string) { return load(k) } }\nconst load = (k) => k\n",
    "a.tsx": "const load = () => 1;\nfunction get() { return <A on={() => load()} /> }\n",
    "a.go": "package a\nfunc (s *Store) get() int { return load() }\nfunc load() int {}\n",
    "a.rs": "impl Store { fn get(&self) -> u8 { load() } }\nfn load() -> u8 { 1 }\n",
    "A.java": "class Store { int get() { return load(); }\n int load() { return 1; } }\n",
    "a.c": "int load(int k) { return k; }\nchar *get(int k) { load(k); return 0; }\n",
    "a.cpp": "int load();\nint Store::get() { return load(); }\nint load() { return 1; }\n",
    "A.cs": "class Store { int get() { return load(); }\n int load() => 1; }\n",
    "a.rb": "class Store\n  def get(k)\n    load(k)\n  end\n  def load(k) = k\nend\n",
    "a.php": "<?php\nfunction load($k) { return $k; }\nfunction get($k) { return load($k); }\n",
    "a.kt": "class Store { fun get(k: Int) = load(k) }\nfun load(k: Int): Int { return k }\n",
    "a.swift": "class Store { func get() -> Int { return load() } }\nfunc load() -> Int { 1 }\n",
    "a.scala": "class Store { def get(k: Int) = load(k) }\nobject O { def load(k: Int) = k }\n",
    "a.lua": "local function load(k) return k end\nfunction Store.get(k) return load(k) end\n",
    "a.sh": "load() { echo 1; }\nget() { load x; }\n",
}


async def test_definitions_and_calls_are_found_in_every_language(agent: Agent) -> None:
    assert {"python", "tsx"} < set(LANGUAGES) and len(SOURCES) == len(LANGUAGES)
    await agent.run(f"code = {SOURCES!r}\nfound = symbols(code)")
    reply = await agent.run(
        "print(sorted(set(code) - {d.where for d in found.find('load')}))\n"
        "print(sorted(set(code) - {d.where for d in found.find('get')}))\n"
        "print(sorted(set(code) - {h.where for h in found.callers('load')"
        " if h.within.endswith('get') and 'load' in h.text}))\n"
        "print(found.skipped)"
    )
    assert reply.splitlines()[:4] == ["[]", "[]", "[]", "Counter()"]
    assert "17 files" in await agent.run("found")


async def test_definitions_know_their_lines_and_what_they_are_in(agent: Agent) -> None:
    await agent.run(f"code = {SOURCES!r}\nfound = symbols(code)")
    assert "=> True" in await agent.run("found.definitions('load') == found.find('load') != []")
    reply = await agent.run("found.find('Store.get')[:1]")
    assert "a.py:2-3 method def get(self, key): in Store" in reply
    reply = await agent.run("found.references('key')")
    assert "a.py:3:         return load(key)  (in Store.get)" in reply
    reply = await agent.run("found.table[['path', 'kind', 'name', 'owner']].head(3)")
    assert "Store" in reply and "owner" in reply
    assert "a.js" in await agent.run("cite(found.callers('load')[1])")


async def test_an_outline_is_a_tree(agent: Agent) -> None:
    await agent.run(f"code = {SOURCES!r}")
    reply = await agent.run("outline(code['a.py'])")
    assert "3 definitions\n1-3 class Store:\n  2-3 method def get(self, key):\n5-5" in reply
    reply = await agent.run("outline(code['a.go'], 'go')")
    assert "2-2 method func (s *Store) get() int { return load() }" in reply
    reply = await agent.run(
        "[p.heading for p in chunks(code['a.rs'], by='functions', language='rust')]"
    )
    assert "['Store', '', 'load', '']" in reply or "['Store', 'load']" in reply


async def test_what_has_no_structure_says_so(agent: Agent) -> None:
    assert "language='cobol'" in await agent.fails("exec_code", code="outline('x', 'cobol')")
    assert "dict of path to text" in await agent.fails("exec_code", code="symbols(['x'])")
    reply = await agent.run("symbols({'a.md': 'x', 'b.bin': b'x', 'c.py': ''})")
    assert "0 definitions in 1 file" in reply and "skipped: 2 no code" in reply
    # Python that this version cannot parse goes to the grammar that is kinder.
    reply = await agent.run("outline('def f():\\n    print \"x\"\\n')")
    assert "1-2 function def f():" in reply or "1-2 def f():" in reply


HOSTILE = {
    "deep.js": "'(' * 200_000",
    "deep.py": "'(' * 100_000",
    "nested.c": "'int f() {' * 20_000",
    "brackets.go": "'[' * 500_000 + ']' * 500_000",
    "line.js": "'x=1;' * 50_000",
    "binary.rs": "bytes(range(256)).decode('latin-1') * 2_000",
    "nul.rb": "'\\x00' * 100_000",
    "surrogates.java": "'class \\ud800 { }' * 10",
    "huge.ts": "'let a = 1;\\n' * 500_000",
    "strings.php": "'<?php \"' + '{$' * 50_000",
    "heredoc.sh": "'cat <<EOF\\n' * 20_000",
}


async def test_hostile_texts_cost_only_themselves(agent: Agent) -> None:
    items = ", ".join(f"{name!r}: {text}" for name, text in HOSTILE.items())
    await agent.run(f"code = {{{items}, 'good.go': {SOURCES['a.go']!r}}}", timeout_s=110)
    reply = await agent.run("found = symbols(code); print(len(repr(found)) < 2_500)", timeout_s=110)
    assert reply.startswith("True")
    reply = await agent.run("[d.name for d in found.find('load')], found.callers('load')[0].where")
    assert "(['load'], 'good.go')" in reply


async def test_what_guest_code_asks_of_the_helper_is_checked(agent: Agent) -> None:
    door = "import sys; ask = sys.modules['rlm_guest._door'].ask\n"
    for files in (
        "None", "[]", "[1]", "[['go']]", "[['go', 5]]", "[['../x', 'y']]", "[['go', 'x']] * 6000",
        "[['go', 'x' * (17 << 20)]]",
    ):  # fmt: skip
        text = await agent.fails("exec_code", code=f"{door}ask('symbols', files={files})")
        assert "HostError" in text, files


async def test_a_text_that_ends_its_helper_does_not_take_others_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_symbols, "IDLE_SECONDS", 1.5)
    files = [["go", "func a() {}"], ["cpp", "a<" * 200_000], ["go", "func b() {}"]]
    answer = await _symbols.find_symbols(asyncio.Semaphore(1), {"files": files})
    first, bad, last = (json.loads(row) for row in answer["rows"])
    assert first["d"][0][0] == "a" and last["d"][0][0] == "b"
    assert "cannot be parsed" in bad["e"]


async def test_a_helper_hands_in_what_it_can() -> None:
    files = [["python", "x = 1"]]
    data = json.dumps(files).encode()
    output = await run_helper("symbols", ["python"], data=data, seconds=60, max_output=1000)
    assert not output.failure and json.loads(output.data)["d"][0][0] == "x"
    output = await run_helper("symbols", ["python"], data=data, seconds=60, max_output=10)
    assert "over 10 bytes" in output.failure
    for module, data in (("symbols", b"not json"), ("no_such_helper", b"")):
        output = await run_helper(module, data=data, seconds=60, max_output=1000)
        assert "died" in output.failure and output.status == 1 and not output.data


async def test_a_helper_has_given_up_its_rights_when_it_reads(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    code = (
        "import os, socket, sys\n"
        "from rlm_mcp.helpers._inside import serve\n"
        "def attempt(what):\n"
        "    try:\n"
        "        what()\n"
        "    except (OSError, MemoryError) as error:\n"
        "        return type(error).__name__.encode() + b' '\n"
        "    return b'DONE '\n"
        "def work(data):\n"
        f"    yield attempt(lambda: open({str(secret)!r}))\n"
        f"    yield attempt(lambda: open({str(tmp_path / 'new')!r}, 'w'))\n"
        "    yield attempt(lambda: socket.socket())\n"
        "    yield attempt(lambda: os.fork())\n"
        "    yield attempt(lambda: os.kill(os.getppid(), 0))\n"
        "    yield attempt(lambda: bytearray(3 << 30))\n"
        "    yield repr(dict(os.environ).keys() - {'LC_CTYPE'}).encode()\n"
        "serve(work, max_memory=2 << 30, cpu_seconds=50)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], input=b"", env={}, capture_output=True, check=True
    )
    assert b"DONE" not in done.stdout, done.stdout
    assert done.stdout.endswith(b"set()") and b"MemoryError" in done.stdout
