"""What sub-LLM calls cost beside the model, on the whole way from a space to it.

Real HTTP to a local server in a process of its own, through every stage: known answers, budgets,
windows, bounds, litellm's settings.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from rlm_mcp.lm import (
    Account,
    Answer,
    Budget,
    Calls,
    Failure,
    LiteLLMModel,
    LocalOpenAIServer,
    Prompt,
    Request,
    Router,
    SubModel,
    ask_all,
)
from rlm_mcp.store import Store

from ._common import Report, median, ms, run, temporary_folder, timed

CALLS, CONCURRENCY, DELAY_S = 1_000, 100, 0.1
IDEAL_S = CALLS / CONCURRENCY * DELAY_S
MODEL = "openai/bench"


def serve() -> None:
    with LocalOpenAIServer(lambda messages: "yes", delay_s=DELAY_S) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def model_server() -> Iterator[None]:
    command = [sys.executable, "-m", "bench.sub_llm", "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        os.environ["OPENAI_BASE_URL"] = child.stdout.readline().strip()
        os.environ["OPENAI_API_KEY"] = "any"
        try:
            yield
        finally:
            child.communicate()


@contextlib.asynccontextmanager
async def pipeline(home: Path, calls: int | None = None) -> AsyncIterator[SubModel]:
    """The way to the model as a server that has just started has it."""
    store = Store(home)
    way = Calls(Router(MODEL), MODEL, store.answers)
    try:
        yield way.model(Account("bench", Budget(calls)))
    finally:
        await way.aclose()
        store.close()


def questions(of: int, count: int = CALLS) -> list[Request]:
    return [Request(Prompt(f"Is {number} of {of} even?")) for number in range(count)]


async def ask(model: SubModel, requests: list[Request]) -> list[Answer]:
    results = await ask_all(model, requests, concurrency=CONCURRENCY)
    answers = [result for result in results if isinstance(result, Answer)]
    assert len(answers) == len(requests), results
    return answers


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def measure(report: Report) -> None:
    with temporary_folder() as folder:
        with model_server():
            async with pipeline(folder) as model:
                await measure_calls(report, model)
            async with pipeline(folder) as model:
                await measure_known(report, model)
            await measure_litellm(report)
        with LocalOpenAIServer() as server:
            os.environ["OPENAI_BASE_URL"] = server.base_url
            async with pipeline(folder, CALLS // 2) as model:
                await measure_budget(report, model, server)


async def measure_calls(report: Report, model: SubModel) -> None:
    first = await timed(model.ask(Request(Prompt("first"))))
    report.note(f"the first call of a process, without litellm: {ms(first)} until it is answered")
    singles = []
    for request in questions(0, report.pick(30, 100)):
        singles.append(await timed(model.ask(request)) - DELAY_S)
    report.row(
        "one call, beyond the server's own 100 ms", ms(median(singles)),
        reach="under 10 ms", ok=median(singles) < 0.01,
    )  # fmt: skip
    rounds, used, peaks = [], [], []
    for number in range(1, report.pick(4, 9)):
        requests = questions(number)
        processor = time.process_time()
        rounds.append(await timed(ask(model, requests)))
        used.append((time.process_time() - processor) / CALLS)
        peaks.append(peak())
    report.row(
        f"{CALLS:,} calls of 100 ms, {CONCURRENCY} at a time", ms(median(rounds)),
        baseline=f"{ms(IDEAL_S)} (ideal)", ratio=median(rounds) / IDEAL_S,
        reach="at most 1.3x", ok=median(rounds) / IDEAL_S <= 1.3,
    )  # fmt: skip
    grown = peaks[-1] / peaks[0]
    report.row(
        f"peak memory after {len(rounds)} such maps", f"{peaks[-1]:.0f} MB",
        baseline=f"{peaks[0]:.0f} MB (after one)", ratio=grown,
        reach="flat: at most 1.05x", ok=grown <= 1.05,
    )  # fmt: skip
    report.note(f"processor time of one call in a map: {ms(median(used))}")


async def measure_known(report: Report, model: SubModel) -> None:
    async def again() -> None:
        assert all(answer.cached for answer in await ask(model, questions(1)))

    times = [await timed(again()) for _ in range(report.pick(3, 7))]
    report.row(
        f"a map of {CALLS:,} again, after a restart, all known", ms(median(times)),
        reach="under 0.5 s, no request", ok=median(times) < 0.5,
    )  # fmt: skip


async def measure_litellm(report: Report) -> None:
    model = LiteLLMModel(MODEL, fast_path=False)
    await model.ask(Request(Prompt("first")))
    took = await timed(ask(model, questions(0)))
    report.note(f"the same {CALLS:,} calls through litellm's own client: {took / IDEAL_S:.1f}x")
    await model.aclose()


async def measure_budget(report: Report, model: SubModel, server: LocalOpenAIServer) -> None:
    server.delay_s = 0.005
    server.fail_next(*[Failure(500)] * 50)
    await ask_all(model, questions(-1), concurrency=CONCURRENCY)
    sent, allowed = len(server.requests), CALLS // 2
    report.row(
        f"requests sent under a budget of {allowed} by {CONCURRENCY} callers at once, 50 of them "
        "tries after a failure", str(sent),
        reach=f"never {allowed + 1}", ok=sent == allowed,
    )  # fmt: skip


def main() -> None:
    if "--serve" in sys.argv:
        serve()
    else:
        run(measure)


if __name__ == "__main__":
    main()
