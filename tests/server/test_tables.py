"""Tables in and out: Parquet, Arrow and workbooks."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Agent

pa: Any = pytest.importorskip("pyarrow")
pq: Any = pytest.importorskip("pyarrow.parquet")
feather: Any = pytest.importorskip("pyarrow.feather")

pytestmark = pytest.mark.anyio


def table() -> Any:
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    return pa.table({
        "n": pa.array([1, None, 2**53 + 1], pa.int64()),
        "x": pa.array([0.5, None, float("inf")]),
        "text": pa.array(["a", None, "é€"]),
        "flag": pa.array([True, False, None]),
        "when": pa.array([when, None, when], pa.timestamp("us", "Europe/Berlin")),
        "day": pa.array([datetime.date(2026, 1, 2), None, None]),
        "kind": pa.array(["p", "q", "p"]).dictionary_encode(),
        "nested": pa.array([{"a": [1, 2]}, None, {"a": []}]),
        "price": pa.array([None, None, decimal.Decimal("1.00")], pa.decimal128(10, 2)),
        "raw": pa.array([b"\xff", None, b"ok"]),
    })  # fmt: skip


@pytest.mark.parametrize("ending", ["parquet", "feather"])
async def test_a_table_of_arrow_is_a_data_frame(agent: Agent, work: Path, ending: str) -> None:
    write = pq.write_table if ending == "parquet" else feather.write_feather
    write(table(), work / f"a.{ending}")
    assert "DataFrame 3 rows x 10 columns" in await agent.load(f"a.{ending}")
    assert "=> [1, None, 9007199254740993]" in await agent.run(
        "import pandas as pd\n[None if x is pd.NA else int(x) for x in v.n]"
    )
    assert "=> ([True, False, True], ['a', nan, 'é€'])" in await agent.run(
        "[pd.isna(x) for x in (v.x[1], v.x[2], v.flag[2])], v.text.tolist()"
    )
    assert "=> ('2026-01-02 04:04:05+01:00', '2026-01-02 00:00:00', ['p', 'q', 'p'])" in (
        await agent.run("str(v.when[0]), str(v.day[0]), v.kind.tolist()")
    )
    assert "=> ([{'a': [1, 2]}, None, {'a': []}], '1.00', ['\\\\xff', nan, 'ok'])" in (
        await agent.run("v.nested.tolist(), v.price[2], v.raw.tolist()")
    )


@pytest.mark.parametrize("ending", ["parquet", "feather"])
async def test_a_data_frame_is_written_and_loads_as_it_was(
    agent: Agent, work: Path, ending: str
) -> None:
    await agent.run(
        "import pandas as pd\n"
        "f = pd.DataFrame({'n': [1, 2], 'x': [0.5, None], 't': ['é', None], 'b': [True, False],\n"
        " 'w': pd.to_datetime(['2026-01-02', None]).tz_localize('UTC'), 'o': [{'a': 1}, [2]],\n"
        " 'i': pd.array([5, None], dtype='Int64')})"
    )
    reply = await agent.call("save_variable", name="f", path=f"f.{ending}")
    assert f"as {'arrow' if ending == 'feather' else 'parquet'}" in reply.text, reply.text
    read = pq.read_table if ending == "parquet" else feather.read_table
    found = read(work / f"f.{ending}").to_pylist()
    when = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    assert found[0] | {"w": found[0]["w"] == when} == {
        "n": 1, "x": 0.5, "t": "é", "b": True, "w": True, "o": '{"a": 1}', "i": 5,
    }  # fmt: skip
    assert found[1] == {
        "n": 2, "x": None, "t": None, "b": False, "w": None, "o": "[2]", "i": None,
    }  # fmt: skip
    await agent.load(f"f.{ending}")
    assert "=> True" in await agent.run("v[['n', 'b']].equals(f[['n', 'b']]) and v.t[0] == 'é'")
    await agent.run("rows = [{'a': 1}, {'a': 2}]; word = 'x'; empty = f.iloc[:0]")
    assert "wrote" in (await agent.call("save_variable", name="rows", path=f"r.{ending}")).text
    assert read(work / f"r.{ending}").to_pylist() == [{"a": 1}, {"a": 2}]
    assert "wrote" in (await agent.call("save_variable", name="empty", path=f"e.{ending}")).text
    assert read(work / f"e.{ending}").num_rows == 0
    await agent.load(f"e.{ending}")
    assert "=> (0, 7)" in await agent.run("v.shape")
    text = await agent.fails("save_variable", name="word", path=f"w.{ending}")
    assert "DataFrame" in text
    assert not (work / f"w.{ending}").exists()


async def test_damaged_tables_and_lying_columns_are_refused(agent: Agent, work: Path) -> None:
    await agent.run("v = 'before'")
    pq.write_table(table(), work / "a.parquet")
    whole = (work / "a.parquet").read_bytes()
    flipped = bytearray(whole)
    flipped[-40:-8] = bytes(32)
    for content in (whole[:100], whole[:-20], bytes(flipped), b"PAR1", b"ARROW1\0\0" + bytes(50)):
        (work / "b.parquet").write_bytes(content)
        text = await agent.fails("load_variable", name="v", source="b.parquet")
        assert "cannot be converted" in text, text
    (work / "text.parquet").write_text("a,b\n")
    assert "no parquet file" in await agent.fails(
        "load_variable", name="v", source="text.parquet", format="parquet"
    )
    await agent.load("a.parquet", format="bytes")
    assert "=> b'PAR1'" in await agent.run("v[:4]")
    await agent.run("import rlm_guest._save as s\nf = __import__('pandas').DataFrame({'a': [1]})")


async def test_a_workbook_is_written_without_formulas(agent: Agent, work: Path) -> None:
    await agent.run(
        "import pandas as pd\nf = pd.DataFrame({'t': ['=1+1', 'é', None], 'n': [1, 2.5, None]})\n"
        "book = {'One: sheet/of many that has a long name': f, 'two': f.iloc[:1]}"
    )
    assert "as xlsx" in (await agent.call("save_variable", name="f", path="f.xlsx")).text
    await agent.load("f.xlsx")
    assert "=> [['=1+1', 1.0], ['é', 2.5]]" in await agent.run(
        "v['Sheet1'].iloc[:2].values.tolist()"
    )
    assert "wrote" in (await agent.call("save_variable", name="book", path="b.xlsx")).text
    await agent.load("b.xlsx")
    assert "=> ['One_ sheet_of many that has a l', 'two']" in await agent.run("list(v)")
    await agent.call("save_variable", name="f", path="f.html")
    assert "<td>é</td>" in (work / "f.html").read_text()
    text = await agent.fails("save_variable", name="f", path="f.xlsx")
    assert "exists already" in text
