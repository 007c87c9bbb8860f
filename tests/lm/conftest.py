"""A model behind real HTTP, on both of its paths."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from rlm_mcp.lm import LiteLLMModel, LocalOpenAIServer

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOpenAIServer]:
    with LocalOpenAIServer() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running


@pytest.fixture(params=["fast path", "litellm"])
async def model(request: pytest.FixtureRequest) -> AsyncIterator[LiteLLMModel]:
    opened = LiteLLMModel("openai/any", backoff_s=0.01, fast_path=request.param == "fast path")
    yield opened
    await opened.aclose()
