"""What sub-LLM calls cost beside the model: ratios against the ideal, in one run.

`python bench/sub_llm.py [--litellm]`: 1,000 calls of 100 ms, 100 at a time, through the public
classes and real HTTP, against a local server in a process of its own; then single calls. With
`--litellm` the same through `litellm.acompletion`, to see what the fast path saves.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time

import anyio

from rlm_mcp.lm import Answer, LiteLLMModel, LocalOpenAIServer, Prompt, Request, ask_all

CALLS, CONCURRENCY, DELAY_S, SINGLES, ROUNDS = 1_000, 100, 0.1, 30, 5
IDEAL_S = CALLS / CONCURRENCY * DELAY_S


def serve() -> None:
    with LocalOpenAIServer(lambda messages: "yes", delay_s=DELAY_S) as server:
        print(server.base_url, flush=True)
        sys.stdin.read()
        assert server.max_concurrency <= CONCURRENCY


async def measure(*, fast_path: bool) -> None:
    model = LiteLLMModel("openai/bench", fast_path=fast_path)
    requests = [Request(Prompt(f"Is {number} even?")) for number in range(CALLS)]
    start = time.perf_counter()
    await model.load()
    print(f"importing litellm: {time.perf_counter() - start:.1f} s")
    await model.ask(requests[0])

    singles = []
    for request in requests[:SINGLES]:
        start = time.perf_counter()
        await model.ask(request)
        singles.append(time.perf_counter() - start - DELAY_S)
    median, worst = statistics.median(singles) * 1e3, max(singles) * 1e3
    print(f"overhead of one call: median {median:.1f} ms, worst of {SINGLES}: {worst:.1f} ms")

    for _ in range(ROUNDS if fast_path else 1):
        processor, start = time.process_time(), time.perf_counter()
        results = await ask_all(model, requests, concurrency=CONCURRENCY)
        took, used = time.perf_counter() - start, time.process_time() - processor
        assert all(isinstance(result, Answer) for result in results)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"{CALLS} calls at {CONCURRENCY}: {took / IDEAL_S:.2f}x the ideal, "
            f"{used / CALLS * 1e3:.2f} ms of processor time a call, peak memory {memory} MB"
        )
    await model.aclose()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--litellm", action="store_true", help="measure litellm's own path too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        os.environ["OPENAI_BASE_URL"] = child.stdout.readline().strip()
        os.environ["OPENAI_API_KEY"] = "any"
        print("fast path")
        anyio.run(lambda: measure(fast_path=True))
        if arguments.litellm:
            print("litellm.acompletion")
            anyio.run(lambda: measure(fast_path=False))
        child.communicate()


if __name__ == "__main__":
    main()
