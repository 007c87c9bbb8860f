from __future__ import annotations

from collections.abc import Iterator

import pytest

from rlm_mcp.lm import LocalOpenAIServer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOpenAIServer]:
    """A provider on this machine, which litellm is led to by the environment."""
    with LocalOpenAIServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0123456789abcdef")
        yield running
