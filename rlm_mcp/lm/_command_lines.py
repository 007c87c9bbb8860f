"""How the command-line agents are run for one answer, and how they say it.

What is relied on, as of 2026-11, each from the tool's own reference:

- Claude Code (`claude`): `-p` answers what is on standard input and exits; `--output-format json`
  prints one object with `result`, `is_error`, `usage` and `total_cost_usd`; `--tools ""` leaves it
  no tool; `--strict-mcp-config` without a configuration, no MCP server; `--setting-sources ""`
  reads no settings, so no hooks; `--disable-slash-commands`; `--no-session-persistence`. `--bare`
  is not used: it does not read the login.
- Codex (`codex exec`): `-` takes the prompt from standard input; `--json` prints an event on each
  line (`item.completed` with an `agent_message`, `turn.completed` with `usage`, `turn.failed`,
  `error`); `--ephemeral` keeps no session; `--ignore-user-config` and `--ignore-rules` leave MCP
  servers and instructions of the user out, and the login in. Its shell is switched off as a
  feature, the sandbox is read-only, and an answer for which it used a tool all the same is
  refused.
- Gemini CLI (`gemini`): without a terminal it answers what is on standard input;
  `--output-format json` prints one object with `response`, `stats` and `error`; status 41 is a
  missing login. Its system settings, named by GEMINI_CLI_SYSTEM_SETTINGS_PATH, go before the
  user's: an empty `tools.core` allows no tool. An answer for which it used one is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ._process import Finished
from ._reply import ProviderReply
from ._trouble import Trouble
from ._types import NOTHING, Usage

_LOGIN_WORDS = re.compile(
    r"/login|not logged in|log ?in again|please (run|log ?in)|invalid api key|unauthori[sz]ed"
    r"|authentication|oauth|auth method",
    re.IGNORECASE,
)
_LIMIT_WORDS = re.compile(
    r"(usage|rate|session|weekly) limit|limit reached|hit your limit|too many requests|\b429\b"
    r"|quota",
    re.IGNORECASE,
)
_BUSY_WORDS = re.compile(r"overloaded|\b5\d\d\b|timed? ?out|connection|network", re.IGNORECASE)
_LENGTH_WORDS = re.compile(r"prompt is too long|context (window|length)|too many tokens", re.I)
_CODEX_TOOLS = {
    "command_execution", "file_change", "mcp_tool_call", "web_search", "collab_tool_call",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CommandLine:
    """One tool.

    Args:
        program: its command.
        product: its name.
        install: how to get it, and to log in.
        arguments: for one answer, without the model.
        environ: variables that it gets from the server's environment, beside the common ones.
        fixed: variables that it gets in any case.
        settings: contents of a settings file, and the variable that names the file.
        overhead: tokens that it adds to a prompt (a guess).
        read: the reply in what it left; raises `Trouble`.
    """

    program: str
    product: str
    install: str
    arguments: tuple[str, ...]
    read: Callable[[Finished], ProviderReply]
    environ: tuple[str, ...] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    settings: tuple[str, str] | None = None
    overhead: int = 0


def trouble_in(message: str, usage: Usage = NOTHING) -> Trouble:
    """Return what the words of such a tool mean."""
    for words, kind, again in (
        (_LENGTH_WORDS, "context", False),
        (_LIMIT_WORDS, "rate_limit", False),
        (_LOGIN_WORDS, "no_key", False),
        (_BUSY_WORDS, "connection", True),
    ):
        if words.search(message):
            return Trouble(kind, message, again, usage=usage)
    return Trouble("failed", message, usage=usage)


def _read_claude(left: Finished) -> ProviderReply:
    found = _object(left)
    used = _dict(found.get("usage"))
    read = sum(
        _count(used, name)
        for name in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    )
    usd = found.get("total_cost_usd")
    written = _count(used, "output_tokens")
    cost = float(usd) if isinstance(usd, int | float) and usd >= 0 else None
    text = found.get("result")
    if found.get("is_error") or not isinstance(text, str) or left.status != 0:
        said = text if isinstance(text, str) and text else str(found.get("subtype") or "no result")
        raise trouble_in(said, Usage(0, 0, read, written, cost))
    return ProviderReply(
        text, read, written, truncated=found.get("stop_reason") == "max_tokens", usd=cost
    )


def _read_codex(left: Finished) -> ProviderReply:
    text: str | None = None
    said = ""
    read = written = 0
    for event in _events(left.output):
        item = _dict(event.get("item"))
        kind = event.get("type")
        if item.get("type") in _CODEX_TOOLS:
            raise Trouble("refused", f"it used a tool ({item['type']}) and its answer is not taken")
        if kind == "item.completed" and item.get("type") == "agent_message":
            text = str(item.get("text") or "")
        elif kind == "turn.completed":
            used = _dict(event.get("usage"))
            read, written = _count(used, "input_tokens"), _count(used, "output_tokens")
        elif kind == "turn.failed":
            said = str(_dict(event.get("error")).get("message") or "the turn failed")
        elif kind == "error":
            said = str(event.get("message") or "an error")
    if text is None or left.status != 0:
        raise trouble_in(said or _words(left), Usage(0, 0, read, written, None))
    return ProviderReply(text, read, written)


def _read_gemini(left: Finished) -> ProviderReply:
    if left.status == 41:
        raise Trouble("no_key", _words(left))
    found = _object(left)
    stats = _dict(found.get("stats"))
    read = written = 0
    for model in _dict(stats.get("models")).values():
        tokens = _dict(_dict(model).get("tokens"))
        read += _count(tokens, "prompt")
        written += _count(tokens, "candidates") + _count(tokens, "thoughts")
    usage = Usage(0, 0, read, written, None)
    if _count(_dict(stats.get("tools")), "totalCalls"):
        raise Trouble("refused", "it used a tool and its answer is not taken", usage=usage)
    text = found.get("response")
    if found.get("error") or not isinstance(text, str) or left.status != 0:
        said = str(_dict(found.get("error")).get("message") or "") or _words(left)
        raise trouble_in(said, usage)
    return ProviderReply(text, read, written)


def _object(left: Finished) -> dict[str, Any]:
    # Some versions print a line of text before the object, or the object to standard error.
    for text in (left.output, left.errors):
        start = text.find("{")
        try:
            found = json.loads(text[start:]) if start >= 0 else None
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found
    raise trouble_in(_words(left))


def _events(output: str) -> Iterator[dict[str, Any]]:
    for line in output.splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def _words(left: Finished) -> str:
    said = left.errors.strip() or left.output.strip() or "it said nothing"
    hint = ""
    if re.search(r"unknown option|unexpected argument|unknown argument", said, re.IGNORECASE):
        hint = " (this version is too old: upgrade it)"
    return f"it ended with status {left.status}: {said[-1000:]}{hint}"


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _count(found: Mapping[str, Any], name: str) -> int:
    value = found.get(name)
    return value if isinstance(value, int) and 0 <= value < 1 << 40 else 0


COMMAND_LINES = {
    "claude": CommandLine(
        "claude",
        "Claude Code",
        "install it (npm install -g @anthropic-ai/claude-code) and log in by running `claude` once",
        (
            "-p", "--output-format", "json", "--tools", "", "--strict-mcp-config",
            "--setting-sources", "", "--disable-slash-commands", "--no-session-persistence",
            "--system-prompt", "You answer from what you are given alone. You have no tools.",
        ),
        _read_claude,
        (
            "CLAUDE_CONFIG_DIR", "CLAUDE_CODE_OAUTH_TOKEN", "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX", "AWS_PROFILE", "AWS_REGION", "ANTHROPIC_VERTEX_PROJECT_ID",
            "CLOUD_ML_REGION",
        ),
        {"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
        overhead=500,
    ),
    "codex": CommandLine(
        "codex",
        "Codex",
        "install it (npm install -g @openai/codex) and log in with `codex login`",
        (
            "exec", "--json", "--color", "never", "--skip-git-repo-check", "--ephemeral",
            "--ignore-user-config", "--ignore-rules", "--sandbox", "read-only",
            "-c", "features.shell_tool=false", "-c", "features.unified_exec=false",
            "-c", "tools.view_image=false", "-c", 'web_search="disabled"',
        ),
        _read_codex,
        ("CODEX_HOME",),
        overhead=8_000,
    ),
    "gemini": CommandLine(
        "gemini",
        "Gemini CLI",
        "install it (npm install -g @google/gemini-cli) and log in by running `gemini` once",
        (
            "--output-format", "json", "--extensions", "none",
            "--allowed-mcp-server-names", "none",
        ),
        _read_gemini,
        (
            "GEMINI_CLI_HOME", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION",
            "GOOGLE_GENAI_USE_GCA",
        ),
        {"NO_BROWSER": "true"},
        settings=(
            "GEMINI_CLI_SYSTEM_SETTINGS_PATH",
            json.dumps(
                {
                    "tools": {"core": []},
                    "context": {"fileName": "no-such-file.md"},
                    "security": {"folderTrust": {"enabled": False}},
                }
            ),
        ),
        overhead=6_000,
    ),
}  # fmt: skip
