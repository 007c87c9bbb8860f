"""Reading what was recorded, as a user's program does: from the export."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from rlm_mcp.settings import Settings
from rlm_mcp.store import Store
from rlm_mcp.trajectory import export_line, spans_of

Spans = list[dict[str, Any]]
Recorded = Callable[..., Spans]


@pytest.fixture
def recorded(settings: Settings) -> Recorded:
    """The spans of a space, in the order of the export; of one kind only if that is named."""

    def recorded(space: str = "main", kind: str | None = None) -> Spans:
        with (
            contextlib.closing(Store(settings.home)) as store,
            contextlib.closing(store.spans()) as table,
        ):
            trees, _ = table.trees(space)
            spans = [
                json.loads(export_line(span))
                for tree in trees
                for span in spans_of(store, table, space, tree)
            ]
        return [span for span in spans if kind is None or span["kind"] == kind]

    return recorded
