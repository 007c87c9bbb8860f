# ruff: noqa: ASYNC240 - files of /proc do not block
"""`search` by meaning: a provider's model over HTTP, a static model in a folder, and neither."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy
import pytest
import tokenizers
from safetensors.numpy import save_file

from rlm_mcp.lm import Failure, LocalOpenAIServer
from tests.conftest import Agent, Connect

pytestmark = pytest.mark.anyio

MODEL = "openai/any"
KEY = "sk-test-0123456789abcdef"
MEANINGS = (
    ("cat", "feline", "kitten", "purrs", "whiskers"),
    ("car", "automobile", "engine", "wheels", "motor"),
    ("bread", "loaf", "bakery", "flour"),
)
NOTES = """
notes = {
    "pets.md": "A kitten purrs when its whiskers are stroked.",
    "garage.md": "The motor drives all four wheels.",
    "shop.md": "Flour is what the bakery buys, every feast.",
}
"""


def meaning(text: str) -> list[float]:
    """A vector with a number for each meaning, and a little of something that all texts have."""
    words = [word.strip(".,?").lower() for word in text.split()]
    return [0.01, *(float(sum(word in known for word in words)) for known in MEANINGS)]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalOpenAIServer]:
    with LocalOpenAIServer(embed=meaning) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A static model of whole words, with the vectors of `MEANINGS`."""
    folder = tmp_path / "words"
    write_model(folder, {word: meaning(word)[1:] for known in MEANINGS for word in known})
    return folder


def write_model(folder: Path, vectors: dict[str, list[float]]) -> None:
    vocabulary = {word: at for at, word in enumerate(["[UNK]", *vectors])}
    model = tokenizers.models.WordLevel(vocabulary, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    rows = [[9.0] * len(next(iter(vectors.values()))), *vectors.values()]
    folder.mkdir(exist_ok=True)
    save_file({"embeddings": numpy.array(rows, numpy.float32)}, folder / "model.safetensors")
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text('{"normalize": true}')


async def places(agent: Agent, query: str, options: str = "", target: str = "notes") -> list[str]:
    """Where the hits are, the best first."""
    code = (
        f"import json\nprint(json.dumps([h.where for h in search({query!r}, {target}{options})]))"
    )
    found: list[str] = json.loads((await agent.run(code)).splitlines()[0])
    return found


def sent(provider: LocalOpenAIServer) -> list[str]:
    """All texts that were sent, in order."""
    return [text for body in provider.embeddings for text in body["input"]]


async def test_a_passage_without_a_word_of_the_question_is_found(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        assert await places(agent, "feline", ", embed=False") == []
        assert (await places(agent, "feline", ", embed=True"))[0] == "pets.md"
        assert (await places(agent, "automobile", ", embed=True"))[0] == "garage.md"
        reply = await agent.run("search('every loaf', notes, embed=True)")
    # Its word and its meaning together stand before either.
    assert reply.splitlines()[1].startswith("shop.md:1 (1.0)")
    assert "by words and meaning" in reply


async def test_a_provider_that_may_cost_money_is_asked_only_on_request(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        reply = await agent.run("search('kitten', notes)")
    assert "1 hit\n" in reply
    assert provider.embeddings == []


async def test_a_model_in_a_folder_is_used_unasked(connect: Connect, folder: Path) -> None:
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(NOTES)
        assert (await places(agent, "feline"))[0] == "pets.md"
        assert (await places(agent, "Automobile engine?", ", embed=True"))[0] == "garage.md"
        assert await places(agent, "feline", ", embed=False") == []
        reply = await agent.run("search('zeppelin', notes)")
    assert "0 hits; by words alone: the embedding model knows no word of the query" in reply
    assert str(folder) not in reply


async def test_a_passage_that_only_its_meaning_finds_is_not_hidden_by_many_that_share_a_word(
    connect: Connect, folder: Path
) -> None:
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run("notes = [f'day {i}: nothing about anyone' for i in range(100)]")
        await agent.run("notes[77] = 'the kitten purrs'")
        found = await places(agent, "what about the day of my feline")
        assert 77 in found[:6]  # type: ignore[comparison-overlap]
        assert len(found) == 10


async def test_more_passages_than_are_embedded_unasked_leave_it_to_words(
    connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlm_mcp.lm._embed_local.LocalEmbeddings.unasked", 2)
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(NOTES)
        reply = await agent.run("search('kitten', notes)")
        assert "1 hit; by words alone: 3 passages without vectors, embed=True has them" in reply
        await agent.run("search('kitten', notes, embed=True)")
        assert (await places(agent, "feline"))[0] == "pets.md"  # they are there now


async def test_what_came_before_a_failure_is_not_asked_for_again(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    def is_odd(text: str) -> bool:
        return text.startswith("note 5")

    async with connect(embed_model=MODEL) as agent:
        # Of a size of which two fit into a request, and thirty into a call of the host.
        await agent.run("notes = [f'note {i} ' + 'x' * 90_000 for i in range(60)]")
        provider.embed = lambda text: [float("nan") if is_odd(text) else 1.0, 0.0]
        options = ", size=100_000, embed=True"
        text = await agent.fails("exec_code", code=f"search('note', notes{options})")
        assert "no finite number" in text
        answered = [body["input"] for body in provider.embeddings]
        provider.embeddings.clear()
        provider.embed = lambda text: [1.0, float("note 59 " in text or text == "a note")]
        assert 59 in (await places(agent, "a note", options))[:3]  # type: ignore[comparison-overlap]
    kept = {text for texts in answered if not any(map(is_odd, texts)) for text in texts}
    assert len(kept) > 1
    assert not kept & set(sent(provider))


async def test_only_what_is_new_is_sent(connect: Connect, provider: LocalOpenAIServer) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        await places(agent, "feline", ", embed=True")
        provider.embeddings.clear()
        await agent.run("notes['zoo.md'] = 'A large cat.'; del notes['shop.md']")
        assert set((await places(agent, "feline", ", embed=True"))[:2]) == {"pets.md", "zoo.md"}
        assert sent(provider) == ["A large cat."]
        # The same texts in another variable, and in another space, are known.
        provider.embeddings.clear()
        await agent.run("again = list(notes.values())")
        await places(agent, "feline", ", embed=True", "again")
        await agent.run(NOTES + "search('feline', notes, embed=True)", space="main")
        assert provider.embeddings == []


async def test_vectors_survive_a_restart_and_a_fork(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        await places(agent, "feline", ", embed=True")
        await agent.call("spaces", action="fork", name="copy")
        await agent.call("spaces", action="close")
    provider.embeddings.clear()
    async with connect(embed_model=MODEL, cache_mb=1) as agent:
        # Nothing that the server knows is of use: the vectors are those of the space.
        await agent.run("notes['new.md'] = 'whiskers'")
        assert (await places(agent, "cat", ", embed=True"))[0] in ("pets.md", "new.md")
        assert sorted(sent(provider)) == ["cat", "whiskers"]
        await agent.call("spaces", action="open", space="copy")
        code = "print([h.where for h in search('feline', notes, embed=True)][0])"
        assert (await agent.run(code, space="copy")).startswith("pets.md")
    assert sorted(sent(provider)) == ["cat", "whiskers"]


async def test_many_passages_are_asked_for_in_bounded_requests_and_found(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run("notes = [f'note {i} about nothing' for i in range(500)]")
        await agent.run("notes[321] = 'an old loaf'")
        assert (await places(agent, "bread", ", embed=True"))[0] == 321  # type: ignore[comparison-overlap]
        reply = await agent.run("search('bakery', notes, embed=True)")
    assert len(sent(provider)) == len(set(sent(provider))) == 502
    assert max(len(body["input"]) for body in provider.embeddings) <= 96
    assert provider.max_concurrency <= 8
    assert "1 sub-LLM call" in reply  # for the question; the passages were known


async def test_forks_that_search_at_the_same_time_pay_once(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        code = (
            "print(pmap(lambda q: search(q, notes, embed=True)[0].where, ['cat', 'car', 'bread']))"
        )
        reply = await agent.run(code)
    assert reply.startswith("['pets.md', 'garage.md', 'shop.md']")
    assert len(sent(provider)) == len(set(sent(provider))) == 6


async def test_requests_count_in_the_budget(connect: Connect, provider: LocalOpenAIServer) -> None:
    async with connect(embed_model=MODEL, max_calls=2) as agent:
        await agent.run(NOTES)
        await places(agent, "feline", ", embed=True")
        text = await agent.fails("exec_code", code="search('loaf', notes, embed=True)")
        assert "budget: space main has made 2 of 2 sub-LLM calls" in text
        assert "RLM_MCP_MAX_CALLS" in text
        # What is known costs nothing.
        assert (await places(agent, "feline", ", embed=True"))[0] == "pets.md"
    assert len(provider.embeddings) == 2


async def test_the_reply_says_what_a_search_cost(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model="openai/text-embedding-3-small") as agent:
        await agent.run(NOTES)
        reply = await agent.run("search('feline', notes, embed=True)")
    assert "2 sub-LLM calls" in reply
    assert "tokens in" in reply


async def test_without_a_model_the_error_says_how_to_set_one(agent: Agent) -> None:
    await agent.run(NOTES)
    text = await agent.fails("exec_code", code="search('feline', notes, embed=True)")
    assert "EmbeddingError: no embedding model is set. Set RLM_MCP_EMBED_MODEL" in text
    assert "model2vec/FOLDER" in text
    assert "1 hit\n" in await agent.run("search('kitten', notes)")
    assert "embed='yes'" in await agent.fails(
        "exec_code", code="search('kitten', notes, embed='yes')"
    )


async def test_a_model_whose_folder_is_missing_is_an_error_that_shows_no_path(
    connect: Connect, folder: Path
) -> None:
    shutil.rmtree(folder)
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(NOTES)
        text = await agent.fails("exec_code", code="search('kitten', notes, embed=True)")
        assert "the embedding model model2vec/words cannot be used: its folder is missing" in text
        assert "rlm-mcp doctor" in text
        assert str(folder.parent) not in text
        # Nobody asked for it here: words are enough, and a note says what is wrong.
        reply = await agent.run("search('kitten', notes)")
        assert "1 hit; by words alone: the embedding model model2vec/words" in reply
        write_model(folder, {"kitten": [1.0, 0.0]})
        assert (await places(agent, "kitten", ", embed=True"))[0] == "pets.md"


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no vectors": (
        lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 100),
        "cannot be read",
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").write_text("{"), "cannot be read"),
    "a file is missing": (lambda f: (f / "tokenizer.json").unlink(), "are not both there"),
    "another model's tokenizer": (
        lambda f: shutil.copy(f / "model.safetensors", f / "tokenizer.json"),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_model_is_an_error(connect: Connect, folder: Path, damage: str) -> None:
    change, cause = DAMAGES[damage]
    change(folder)
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(NOTES)
        text = await agent.fails("exec_code", code="search('kitten', notes, embed=True)")
        assert "the embedding model model2vec/words cannot be used" in text
        assert cause in text
        assert "1 hit; by words alone" in await agent.run("search('kitten', notes)")


async def test_another_model_in_the_folder_makes_all_vectors_anew(
    connect: Connect, folder: Path
) -> None:
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(NOTES)
        assert (await places(agent, "feline"))[0] == "pets.md"
        write_model(folder, {"feline": [1.0, 0.0, 0.0, 0.0, 1.0], "wheels": [1.0, 0, 0, 0, 0.9]})
        assert (await places(agent, "feline"))[0] == "garage.md"


async def test_a_model_that_changes_behind_its_name_is_asked_anew(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        await places(agent, "feline", ", embed=True")
        provider.embed = lambda text: [*meaning(text), 0.0]
        # The passages are known by vectors of another length than the question's is now.
        assert (await places(agent, "cat", ", embed=True"))[0] == "pets.md"
        # And here the question is, and a new passage is not.
        provider.embed = lambda text: [*meaning(text), 0.0, 0.0]
        await agent.run("notes['zoo.md'] = 'feline feline'")
        assert (await places(agent, "cat", ", embed=True"))[0] == "zoo.md"


@pytest.mark.parametrize(
    ("embed", "cause"),
    [
        (lambda text: [1.0] * (1 + len(text) % 2), "numbers in one reply"),
        (lambda text: [], "a vector has 0 numbers"),
        (lambda text: [float("nan"), 1.0], "no finite number"),
        (lambda text: [1.0, 1e999], "no finite number"),
        (lambda text: ["1.0"], "no list of vectors"),
        (lambda text: None, "no list of vectors"),
    ],
)  # fmt: skip
async def test_what_is_no_vector_is_an_error(
    connect: Connect, provider: LocalOpenAIServer, embed: Any, cause: str
) -> None:
    provider.embed = embed
    async with connect(embed_model=MODEL, call_seconds=20) as agent:
        await agent.run("notes = ['one cat', 'one cart']")
        text = await agent.fails("exec_code", code="search('cat', notes, embed=True)")
    assert "EmbeddingError: openai/any: " in text
    assert cause in text
    assert "embed=False" in text


async def test_a_provider_that_is_down_is_an_error_without_its_key(
    connect: Connect, provider: LocalOpenAIServer
) -> None:
    async with connect(embed_model=MODEL) as agent:
        await agent.run(NOTES)
        provider.fail_next(Failure(401, message=f"bad key {KEY}"))
        text = await agent.fails("exec_code", code="search('feline', notes, embed=True)")
        assert "the provider refused (401)" in text
        assert "bad key [secret]" in text
        # Troubles that pass are waited out.
        provider.fail_next(Failure(429, retry_after=0.05), Failure(503))
        assert (await places(agent, "feline", ", embed=True"))[0] == "pets.md"
        provider.close()
        text = await agent.fails("exec_code", code="search('kitten', notes, embed=True)")
    assert "no connection" in text
    assert "embed=False" in text


async def test_an_unknown_provider_is_an_error_that_names_the_setting(connect: Connect) -> None:
    async with connect(embed_model="nobody/nothing") as agent:
        await agent.run(NOTES)
        text = await agent.fails("exec_code", code="search('feline', notes, embed=True)")
    assert "litellm does not know this model" in text
    assert "ollama/nomic-embed-text" in text


async def test_guest_code_cannot_ask_for_more_than_is_bounded(
    connect: Connect, provider: LocalOpenAIServer, folder: Path
) -> None:
    ask = (
        "import sys; door = sys.modules['rlm_guest._door']\n"
        "def ask(op, **fields):\n"
        "    return door.answer(op, **fields).get('refused', 'taken')\n"
    )
    async with connect(embed_model=MODEL) as agent:
        await agent.run(ask)
        for fields, cause in (
            ("texts=[], slot=1", "texts"),
            ("texts=['x'] * 5_000, slot=1", "texts"),
            ("texts=['x' * 9_000_000], slot=1", "characters"),
            ("texts=[' '], slot=1", "blank"),
            ("texts=[1], slot=1", "texts.0"),
            ("texts=['x'], slot=64", "slot"),
            ("texts=['x'], slot=1, dimensions=10**9", "dimensions"),
            ("texts=['x'], slot=1, model='openai/other'", "model"),
        ):
            assert cause in await agent.run(f"print(ask('embed_wait', {fields}))"), fields
        assert "another operation" in await agent.run("print(ask('embed', texts=['x'], slot=1))")
        assert provider.embeddings == []
        assert "taken" in await agent.run("print(ask('embed_wait', texts=['\\ud800'], slot=1))")
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(ask)
        reply = await agent.run("print(ask('embed_wait', texts=['x'], slot=1))")
        assert "another operation" in reply


async def test_the_helper_that_runs_a_model_has_no_secrets_and_no_network(
    connect: Connect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not Path("/proc/self/task").exists():
        pytest.skip("looks into /proc")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    async with connect(embed_model=f"model2vec/{folder}") as agent:
        await agent.run(NOTES)
        await places(agent, "feline")
        (helper,) = helpers = await _helpers(1)
        status = (helper / "status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert KEY.encode() not in (helper / "environ").read_bytes()
        assert fields["NoNewPrivs"] == "1"
        if Path("/proc/sys/kernel/seccomp").exists():
            assert fields["Seccomp"] == "2"
        for descriptor in (helper / "fd").iterdir():
            assert "socket" not in str(descriptor.readlink())
        # It goes on with its space, and another space has another.
        await places(agent, "automobile")
        assert await _helpers(1) == helpers
        await agent.call("spaces", action="fork", name="copy")
        await agent.run("search('motor', notes)", space="copy")
        assert helpers < await _helpers(2)
    assert not helper.exists()


async def _helpers(count: int) -> set[Path]:
    """The folders in /proc of the helpers with their walls up, once there are so many."""
    while True:
        found = set()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes()
                status = (entry / "status").read_text()
            except OSError:
                continue
            ours = f"\nPPid:\t{os.getpid()}\n" in status
            if ours and b"rlm_mcp.helpers.embed" in command and "NoNewPrivs:\t1" in status:
                found.add(entry)
        if len(found) >= count:
            return found
        await anyio.sleep(0.05)
