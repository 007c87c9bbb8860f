from __future__ import annotations

import io
import re
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from rlm_mcp.cli import _demo_run, main
from rlm_mcp.cli._demo_model import answer_demo
from rlm_mcp.cli._demo_script import Call, Step
from rlm_mcp.lm import LocalOpenAIServer
from rlm_mcp.sandbox import Cache

from .conftest import Command


def test_the_demo_does_the_main_job_and_ends_with_the_numbers(
    command: Command, tmp_path: Path
) -> None:
    shown = command("demo", "--keep")
    assert shown.returncode == 0, shown.stdout[-3000:] + shown.stderr[-3000:]
    text = shown.stdout
    assert "Sub-model: no real one" in text
    held = int(re.findall(r"lay in variables +([\d,]+) characters", text)[0].replace(",", ""))
    read = int(re.findall(r"agent's context +([\d,]+) characters", text)[0].replace(",", ""))
    ratio = int(re.findall(r"ratio 1 : ([\d,]+)", text)[0].replace(",", ""))
    assert held > 5_000_000
    assert read < 40_000
    assert ratio == round(held / read)
    assert max(map(len, text.splitlines())) < 200
    (report,) = tmp_path.glob("rlm-mcp-demo-*/work/report.md")
    assert f"Kept: {report}" in text
    written = report.read_text()
    assert written.startswith("# Silent errors and long functions")
    assert written.count("hides every error of") > 3
    assert "PROBLEM" not in command("doctor", RLM_MCP_HOME=f"{report.parents[1]}/home").stdout


def run_alone(
    monkeypatch: pytest.MonkeyPatch, cache: Path, folder: Path, model: str | None, call: Call
) -> str:
    """Run a demo of one call that must fail; returns what it showed, and the error."""
    monkeypatch.setattr(_demo_run, "make_script", lambda *_: [Step("Only", (call,))])
    shown = io.StringIO()
    with pytest.raises(_demo_run.DemoError) as failure:
        _demo_run.run_demo(Console(file=shown, width=100), cache, folder, model)
    return f"{shown.getvalue()}\n{failure.value}"


def test_a_step_that_fails_ends_the_demo_with_the_reply(
    monkeypatch: pytest.MonkeyPatch, sandbox_cache: Cache, tmp_path: Path
) -> None:
    call = Call("exec_code", {"code": "1 / 0"}, "It cannot work.")
    text = run_alone(monkeypatch, sandbox_cache.folder, tmp_path, None, call)
    assert "ZeroDivisionError" in text
    assert "`exec_code` failed in the demo; run `rlm-mcp doctor`" in text


def test_a_configured_model_that_does_not_answer_is_named_with_the_way_around_it(
    monkeypatch: pytest.MonkeyPatch, sandbox_cache: Cache, tmp_path: Path
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-do-not-show-me")
    with LocalOpenAIServer(api_key="another") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        call = Call("sub_llm", {"prompt": "Say hello.", "into": "greeting"}, "It cannot work.")
        text = run_alone(monkeypatch, sandbox_cache.folder, tmp_path, "openai/nobody", call)
    assert "`sub_llm` failed in the demo (--local uses a stand-in for the model)" in text
    assert "do-not-show-me" not in text


def test_a_command_line_agent_is_passed_over_and_named(
    monkeypatch: pytest.MonkeyPatch, sandbox_cache: Cache
) -> None:
    def fail(*_: object) -> None:
        raise _demo_run.DemoError("not run")

    monkeypatch.setattr(_demo_run, "run_demo", fail)
    asked = ["demo", "--cache", str(sandbox_cache.folder), "--sub-model", "cli/claude"]
    text = CliRunner().invoke(main, asked).output
    assert "Sub-model: not cli/claude, which takes seconds" in text
    assert "Set RLM_MCP_SUB_MODEL" not in text


def test_a_demo_that_fails_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, sandbox_cache: Cache, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise _demo_run.DemoError("it did not work")

    monkeypatch.setattr(_demo_run, "run_demo", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    shown = CliRunner().invoke(main, ["demo", "--cache", str(sandbox_cache.folder), "--local"])
    assert shown.exit_code == 1
    assert "rlm-mcp: it did not work" in shown.stderr
    assert not list(tmp_path.glob("rlm-mcp-demo-*"))


def test_the_stand_in_answers_from_the_text_of_the_prompt() -> None:
    source = "def f(x):\n    try:\n        g(x)\n        h(x)\n    except:\n        pass\n"
    prompt = f"Which errors does it hide with its `except:`?\n\n# a/b.py:3 C.f\n{source}"
    answer = answer_demo([{"role": "user", "content": prompt}])
    assert "C.f hides every error of `g(x)` and 1 more line," in answer
    assert answer.endswith("`pass`.")
    prompt = '# a.py:3 f\ndef f():\n    """Return\n    one.\n\n    More."""\n'
    assert answer_demo([{"role": "user", "content": prompt}]) == "f: Return one."
    assert "no function" in answer_demo([{"role": "user", "content": "hello"}])


def test_a_server_that_cannot_start_is_an_error_and_its_log_is_shown(
    monkeypatch: pytest.MonkeyPatch, sandbox_cache: Cache, tmp_path: Path
) -> None:
    (tmp_path / "home").touch()
    call = Call("exec_code", {"code": "1"}, "It cannot work.")
    text = run_alone(monkeypatch, sandbox_cache.folder, tmp_path, None, call)
    assert "the server could not be used" in text
    assert "set RLM_MCP_HOME to a folder that you can write to" in text
