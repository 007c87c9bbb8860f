"""A space made by an older version of the project is taken over in place."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from rlm_mcp.sandbox import Cache, Preparation
from rlm_mcp.settings import Settings
from rlm_mcp.space import Spaces
from rlm_mcp.store import Store
from sandbox_wasm import ARTEFACT

pytestmark = pytest.mark.anyio


async def test_an_older_space_gets_this_version_and_keeps_its_variables(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation = Preparation(Cache(settings.cache))
    with monkeypatch.context() as older:
        older.setattr("rlm_mcp.space._spaces.guest_version", lambda: "older")
        spaces = Spaces(Store(settings.home), preparation, settings.limits)
        space = await spaces.use("main", create=True)
        await space.execute(
            "class Box:\n    pass\nbox = Box(); box.size = 3\n"
            "made = (n * n for n in range(9)); next(made); next(made)\n"
            "text = 'one\\ntwo'; cite(grep('two', text)[0])",
            timeout_s=60,
            keep_chars=100,
        )
        await spaces.close_all()
    spaces = Spaces(Store(settings.home), preparation, settings.limits)
    space = await spaces.use("main", create=True)

    execution = await space.execute(
        "isinstance(box, Box), box.size, next(made), len(grep('a', 'abc'))",
        timeout_s=60,
        keep_chars=100,
    )
    assert execution.value == "(True, 3, 4, 1)"
    left = await space.execute(
        "[name for name in list(globals()) if name[:-1] in globals() and name.endswith('_')]",
        timeout_s=60,
        keep_chars=100,
    )
    assert left.value == "[]", "the helpers of the older version are gone, not kept as variables"
    cited = await space.execute("evidence()", timeout_s=60, keep_chars=100)
    assert cited.value is not None and "[cite:1] text:2 " in cited.value
    assert "upgrade" in [commit.label for commit in spaces.store.history("main")]
    stopped = await space.execute("while True: pass", timeout_s=0.2, keep_chars=100)
    assert stopped.stopped == "timeout"
    assert not stopped.lost
    await spaces.close_all()

    spaces = Spaces(Store(settings.home), preparation, settings.limits)
    space = await spaces.use("main", create=True)
    await space.execute("1", timeout_s=60, keep_chars=100)
    labels = [commit.label for commit in spaces.store.history("main")]
    assert labels.count("upgrade") == 1, "it is taken over once only"
    await spaces.close_all()
    await preparation.close()


async def test_variables_are_carried_to_another_interpreter_and_what_cannot_be_is_named(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The same interpreter under another digest: what differs is what the store believes.
    other = "0" * 64
    ready = Cache(settings.cache)
    cache = Cache(tmp_path / "cache")
    cache.claim()
    older_cache = replace(cache, module=other)
    for file, copy in (
        (ready.compiled, cache.compiled),
        (ready.image, cache.image),
        (ready.data, cache.data),
        (ready.compiled, older_cache.compiled),
    ):
        os.link(file, copy)
        os.link(f"{file}.json", f"{copy}.json")
    preparation = Preparation(cache)
    with monkeypatch.context() as older:
        older.setattr("rlm_mcp.space._spaces.ARTEFACT", replace(ARTEFACT, module=other))
        spaces = Spaces(Store(settings.home), preparation, settings.limits)
        space = await spaces.use("main", create=True)
        await space.execute(
            "import pandas as pd\nclass Box:\n    pass\nbox = Box(); box.size = 3\n"
            "table = pd.DataFrame({'a': [1, 2]}); shared = [box]\nmade = (n for n in range(9))\n"
            "cite('table')",
            timeout_s=60,
            keep_chars=100,
        )
        await spaces.close_all()
    spaces = Spaces(Store(settings.home), preparation, settings.limits)
    space = await spaces.use("main", create=True)

    execution = await space.execute(
        "box.size, table['a'].sum(), type(shared[0]) is Box, 'made' in globals()",
        timeout_s=60,
        keep_chars=100,
    )
    assert execution.value == "(3, np.int64(3), True, False)"
    cited = await space.execute("evidence()", timeout_s=60, keep_chars=100)
    assert cited.value is not None and "[cite:1] table" in cited.value
    assert "made (generator)" in execution.notes[0]
    assert "before the upgrade" in spaces.store.checkpoints("main")
    await spaces.close_all()
    await preparation.close()
