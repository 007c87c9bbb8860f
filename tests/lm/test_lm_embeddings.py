"""What a helper that makes vectors may hand in, and which models are used unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import (
    Budget,
    Calls,
    LocalOpenAIServer,
    ModelFolderError,
    ScriptedModel,
    Usage,
    find_model,
    unasked_of,
)
from rlm_mcp.store import Store


@pytest.mark.parametrize(
    ("name", "environ", "unasked"),
    [
        ("ollama/nomic-embed-text", {}, True),
        ("ollama/nomic-embed-text", {"OLLAMA_API_BASE": "http://127.0.0.1:9"}, True),
        ("ollama/nomic-embed-text", {"OLLAMA_API_BASE": "http://[::1]:9"}, True),
        ("ollama/nomic-embed-text", {"OLLAMA_API_BASE": "http://localhost.example:9"}, False),
        ("hosted_vllm/x", {}, False),
        ("hosted_vllm/x", {"HOSTED_VLLM_API_BASE": "http://localhost:9/v1"}, True),
        ("openai/x", {"OPENAI_BASE_URL": "http://localhost:9/v1"}, False),
        ("openai/text-embedding-3-small", {}, False),
    ],
)
def test_only_models_that_run_on_this_machine_are_used_unasked(
    monkeypatch: pytest.MonkeyPatch, name: str, environ: dict[str, str], unasked: bool
) -> None:
    for variable in ("OLLAMA_API_BASE", "HOSTED_VLLM_API_BASE", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    assert bool(unasked_of(name)) is unasked


def test_what_a_static_model_needs_is_named_with_the_way_to_install_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._model_folder.LIBRARIES", ("numpy", "no_such_library"))
    with pytest.raises(ModelFolderError, match="no_such_library must be installed") as found:
        find_model(str(tmp_path))
    assert "pip install 'rlm-mcp[embed]'" in str(found.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "handed_in",
    [
        b"",
        b"\n",
        b"no json\n" + bytes(6),
        b"[" * 100_000,
        b"[3]\n" + bytes(6),
        b'{"dimensions": 3}\n' + bytes(5),
        b'{"dimensions": 3}\n' + bytes(7),
        b'{"dimensions": 0}\n',
        b'{"dimensions": -3}\n' + bytes(6),
        b'{"dimensions": true}\n' + bytes(2),
        b'{"dimensions": 3.0}\n' + bytes(6),
        b'{"dimensions": 1000000000}\n' + bytes(6),
        b'{"error": 3}\n',
        b'{"error": "' + b"long " * 10_000 + b'"}\n',
    ],
)
async def test_a_helper_that_lies_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handed_in: bytes
) -> None:
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).touch()

    async def lie(_helper: object, _data: bytes, _most: int) -> bytes:
        return handed_in

    monkeypatch.setattr("rlm_mcp.lm._embed_local._Helper.ask", lie)
    store = Store(tmp_path / "home")
    calls = Calls(ScriptedModel([]), "x", store.answers, embed_model=f"model2vec/{tmp_path}")
    with pytest.raises(SubLLMError, match="cannot be used: ") as found:
        await calls.embedder.embed("main", ["one", "two"], None, calls.source, lambda usage: None)
    assert len(str(found.value)) < 1_000
    await calls.aclose()
    store.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("budget", "kind"),
    [(Budget(calls=1), "calls"), (Budget(tokens=3_000), "tokens"), (Budget(usd=0.00006), "usd")],
)
async def test_every_kind_of_budget_bounds_requests_for_vectors(
    server: LocalOpenAIServer, tmp_path: Path, budget: Budget, kind: str
) -> None:
    store = Store(tmp_path / "home")
    name = "openai/text-embedding-3-small"
    calls = Calls(ScriptedModel([]), "x", store.answers, embed_model=name)
    account = calls.open_account("main", budget)
    used: list[Usage] = []
    texts = [f"{i} " + "word " * 80 for i in range(20)]  # some 2,000 tokens
    model = calls.model(account)
    first = await calls.embedder.embed("main", texts, None, model, used.append)
    assert len(first.data) == first.dimensions * 20
    (usage,) = used
    assert usage.calls == 1 and usage.input_tokens > 1_000 and usage.usd
    more = [f"another {text}" for text in texts]
    with pytest.raises(SubLLMError, match="budget: ") as refused:
        await calls.embedder.embed("main", more, None, model, used.append)
    assert f"RLM_MCP_MAX_{kind.upper()}" in str(refused.value)
    # What is known is in no budget.
    assert await calls.embedder.embed("main", texts, None, model, used.append) == first
    assert len(server.embeddings) == 1
    assert (await account.spent()).calls == 1
    await calls.aclose()
    store.close()
