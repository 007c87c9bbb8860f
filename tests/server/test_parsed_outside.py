"""Documents that a helper parses: the same values as the usual library's, and clear words."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from rlm_mcp.helpers._process import run_helper
from rlm_mcp.loaders import _parse

from .. import documents as docs
from ..conftest import Agent

pytestmark = pytest.mark.anyio

SAME_AS_PYYAML = """
- [1, 2.5, null, ~, .inf, -.inf, 0x1F, 017, 0b11, 1_000, 190:20:30, 1e3, 1.0e+3, yes, No, '1']
- {1: a, 2.5: b, true: c, null: d, 2026-01-02: e}
- [2026-01-02, 2026-01-02T03:04:05Z, 2001-12-14t21:59:43.10-05:00, 2026-01-02 03:04:05.678 +02:00]
- !!set {a}
- !!omap [a: 1, b: 2]
- !!pairs [a: 1, a: 2]
- !!binary aGVsbG8=
- {a: 1, a: 2}
- &base {p: 1, q: {r: 2}}
- {<<: *base, q: 3}
- {<<: [*base, {z: 9}], p: 0}
- {on: {push: {branches: [main]}}}
- {"\\0": [date, x], b: {"\\0": 2026-01-01}}
- "é€😀 \\x41"
- |
  text
   more
- >
  folded
  text
"""


async def test_yaml_has_the_values_of_pyyaml(agent: Agent, work: Path) -> None:
    (work / "a.yaml").write_text(SAME_AS_PYYAML)
    await agent.load("a.yaml")
    expected = yaml.safe_load(SAME_AS_PYYAML)
    for at, value in enumerate(expected):
        assert f"=> {value!r}" in await agent.run(f"v[{at}]"), value
    (work / "many.yaml").write_text("a: 1\n---\n---\n- b\n...\n")
    assert "3 YAML documents" in await agent.load("many.yaml")
    assert "=> [{'a': 1}, None, ['b']]" in await agent.run("v")
    (work / "empty.yaml").write_text("# nothing\n")
    await agent.load("empty.yaml")
    assert "=> []" in await agent.run("v")


async def test_what_yaml_refers_to_is_one_object(agent: Agent, work: Path) -> None:
    (work / "a.yaml").write_text(
        "x: &x {k: [1], when: 2026-01-02}\ny: *x\nz: [*x, *x]\nself: &s [1, *s]\nodd: &o {1: *o}\n"
    )
    await agent.load("a.yaml")
    assert "=> (True, True, True, True, True)" in await agent.run(
        "v['x'] is v['y'], v['z'][0] is v['z'][1] is v['x'], v['self'][1] is v['self'], "
        "v['odd'][1] is v['odd'], str(v['x']['when']) == '2026-01-02'"
    )
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
    )
    (work / "bomb.yaml").write_text(bomb)
    await agent.load("bomb.yaml")
    assert "=> (9, True)" in await agent.run("len(v['a29']), v['a29'][0] is v['a28']")


async def test_yaml_without_end_is_refused_for_what_is_too_much(agent: Agent, work: Path) -> None:
    await agent.run("v = 'before'")
    merges = "a0: &a0 {x: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 20)}]}}\n" for n in range(1, 12)
    )
    for content, expected in (
        ("[" * 200_000, "over 500 levels at line 1"),
        ("[ # ]\n" * 100_000, "over 500 levels at line 501"),
        ("- " * 200_000 + "x", "over 500 levels"),
        ("{a: " * 100_000, "over 500 levels"),
        ("a: 1" + ":1" * 200_000, "has over 4,300 characters"),
        ("a: 0x" + "f" * 200_000, "has over 4,300 characters"),
        ("%YAML 1.1\n" + "".join(f"%TAG !t{n}! x\n" for n in range(50_000)), "over 1,000 %TAG"),
        (merges, "merges (<<) bring in over 1,000,000 keys"),
    ):
        (work / "a.yaml").write_text(content)
        text = await agent.fails("load_variable", name="v", source="a.yaml")
        assert expected in text, text[:300]
        assert len(text) < 400, text
    assert "=> 'before'" in await agent.run("v")


async def test_yaml_in_other_encodings_folders_and_archives(agent: Agent, work: Path) -> None:
    (work / "latin.yaml").write_bytes("name: Café Löwe, naïve\n".encode("cp1252"))
    assert "cp1252" in await agent.load("latin.yaml")
    assert "=> {'name': 'Café Löwe, naïve'}" in await agent.run("v")
    (work / "wide.yaml").write_bytes("name: é€\n".encode("utf-16"))
    await agent.load("wide.yaml")
    assert "=> {'name': 'é€'}" in await agent.run("v")
    (work / "a.yaml.gz").write_bytes(gzip.compress(b"packed: 2026-01-02\n"))
    await agent.load("a.yaml.gz")
    assert "=> {'packed': datetime.date(2026, 1, 2)}" in await agent.run("v")
    (work / "a.zip").write_bytes(
        docs.zipped({"a.yaml": "x: 1\n", "b/c.yaml": "y: [", "d.yaml": "-"})
    )
    reply = await agent.load("a.zip", format="yaml")
    assert "1 not readable (b/c.yaml: invalid YAML at line 2, column 1: did not find" in reply
    assert "=> {'a.yaml': {'x': 1}, 'd.yaml': [None]}" in await agent.run("v")
    (work / "d").mkdir()
    for number in range(300):
        (work / "d" / f"{number:03}.yaml").write_text(f"n: {number}\n" if number != 7 else "{")
    reply = await agent.load("d", format="yaml")
    assert "1 not readable (007.yaml: invalid YAML" in reply
    assert "=> (299, True)" in await agent.run(
        "len(v), all(x['n'] == int(k[:3]) for k, x in v.items())"
    )


async def test_a_workbook_has_the_values_of_pandas(agent: Agent, work: Path) -> None:
    await agent.run(
        "import io, datetime as dt, xlsxwriter\nout = io.BytesIO()\n"
        "w = xlsxwriter.Workbook(out, {'in_memory': True}); a = w.add_worksheet('types')\n"
        "f = lambda text: w.add_format({'num_format': text})\n"
        "a.write_row(0, 0, ['n', 'n', '', 'd', 'when', 'time', 'long', 'flag', 'text', 'x'])\n"
        "for i in range(1, 9):\n"
        " a.write_row(i, 0, [i, i / 3])\n"
        " a.write_datetime(i, 3, dt.date(2026, 1, i), f('yyyy-mm-dd'))\n"
        " a.write_datetime(i, 4, dt.datetime(2026, 1, i, 1, 2, 3), f('yyyy-mm-dd hh:mm'))\n"
        " a.write_datetime(i, 5, dt.time(i, 30), f('hh:mm:ss'))\n"
        " a.write_datetime(i, 6, dt.timedelta(hours=20 * i, minutes=5), f('[h]:mm:ss'))\n"
        " a.write_boolean(i, 7, i % 2 == 0)\n"
        " a.write_string(i, 8, ['007', 'NA', 'x', ' y ', 'a\\nb', 'é€😀', '', '_x0041_'][i - 1])\n"
        " a.write_formula(i, 9, '=A1', None, [i, 't', '#DIV/0!'][i % 3])\n"
        "g = w.add_worksheet('gaps'); g.write(3, 2, 'h'); g.write(3, 4, 'k')\n"
        "g.write(6, 2, 2**60)\n"
        "g.merge_range('C9:E10', 'merged'); g.write_blank(40, 9, None, f('0%'))\n"
        "w.add_worksheet('empty'); h = w.add_worksheet('hidden'); h.hide(); h.write(0, 0, 'only')\n"
        "c = w.add_chart({'type': 'bar'}); c.add_series({'values': '=types!$A$2:$A$5'})\n"
        "w.add_chartsheet('chart').set_chart(c); w.close(); book = out.getvalue()"
    )
    await agent.call("save_variable", name="book", path="a.xlsx")
    reply = await agent.load("a.xlsx")
    assert "Sheets without rows: 'empty', 'hidden'" in reply
    # An agent is told the columns of each sheet.
    assert "['types'] DataFrame 8 rows x 10 columns: 'n', 'n.1', 'Unnamed: 2', 'd', 'when'" in reply
    assert "=> (['types', 'gaps', 'empty', 'hidden'], [True, True, True, True])" in await agent.run(
        "import pandas as pd, warnings; warnings.simplefilter('ignore')\n"
        "w = pd.read_excel(io.BytesIO(book), sheet_name=None)\n"
        "(list(v), [v[k].equals(w[k]) and list(v[k]) == list(w[k]) and (v[k].dtypes == "
        "w[k].dtypes).all().item() for k in w])"
    )


async def test_a_workbook_beyond_all_bounds_is_refused(agent: Agent, work: Path) -> None:
    await agent.run("v = 'before'")
    corners = ("A1", "XFD1048576")
    rows = "".join(f'<row r="{c.strip("AXFD")}"><c r="{c}"><v>1</v></c></row>' for c in corners)
    (work / "a.xlsx").write_bytes(docs.xlsx(rows))
    text = await agent.fails("load_variable", name="v", source="a.xlsx")
    assert "more memory than there is" in text, text
    assert "=> 'before'" in await agent.run("v")


async def test_a_pdf_that_needs_no_password_is_read(agent: Agent, work: Path) -> None:
    (work / "a.pdf").write_bytes(docs.pdf("One", "Two"))
    await agent.call("load_variable", name="plain", source="a.pdf", format="bytes")
    await agent.run(
        "import io, pypdf\nw = pypdf.PdfWriter(pypdf.PdfReader(io.BytesIO(plain)))\n"
        "w.encrypt('', 'owner', algorithm='RC4-128'); out = io.BytesIO(); w.write(out)\n"
        "opened = out.getvalue()"
    )
    await agent.call("save_variable", name="opened", path="opened.pdf")
    await agent.load("opened.pdf")
    assert "=> ['One', 'Two']" in await agent.run("v")


async def test_a_file_in_another_encoding_leaves_the_next_ones_of_a_folder_as_they_are(
    agent: Agent, work: Path
) -> None:
    (work / "d").mkdir()
    for number in range(6):
        encoding = "cp1252" if number in (1, 4) else "utf-8"
        text = f"number: {number}\nname: Käse {'x' * number * 20}\n"
        (work / "d" / f"{number}.yaml").write_bytes(text.encode(encoding))
    reply = await agent.load("d", format="yaml")
    assert "left out" not in reply
    assert "=> True" in await agent.run(
        "v == {f'{n}.yaml': {'number': n, 'name': ('Käse ' + 'x' * n * 20).rstrip()} "
        "for n in range(6)}"
    )


async def test_files_of_an_archive_are_parsed_many_at_once(
    agent: Agent, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    async def counted(module: str, *arguments: Any, **more: Any) -> Any:
        started.append(module)
        return await run_helper(module, *arguments, **more)

    monkeypatch.setattr(_parse, "run_helper", counted)
    files: dict[str, str | bytes] = {f"d/{n:03}.yaml": f"n: {n}\n" for n in range(200)}
    files |= {"bad.yaml": "{", "wide.yaml": "n: 'Käse'\n".encode("cp1252"), "empty.yaml": ""}
    files["large.yaml"] = "n: 1\n#" + "x" * (3 << 20)
    files["z.yaml"] = "n: last\n"
    (work / "a.zip").write_bytes(docs.zipped(files))
    reply = await agent.load("a.zip", format="yaml")
    assert "1 not readable (bad.yaml: invalid YAML" in reply
    assert "=> (204, True, ['Käse'], [], 1, 'last')" in await agent.run(
        "len(v), all(v[f'd/{n:03}.yaml'] == {'n': n} for n in range(200)), "
        "list(v['wide.yaml'].values()), v['empty.yaml'], v['large.yaml']['n'], v['z.yaml']['n']"
    )
    assert len(started) == 4  # for all, for the one that is not UTF-8, the large one, the last
    place = await agent.run("cite('v[\"d/007.yaml\"]')")
    assert f"a.zip!/d/007.yaml (sha256 {hashlib.sha256(b'n: 7' + bytes([10])).hexdigest()}" in place
