"""A logged-in command-line agent as a model: no key of its own, no tools, an empty folder."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from ..errors import SubLLMError
from ._asking import Asking
from ._command_lines import COMMAND_LINES
from ._messages import transcript_of
from ._pauses import Pauses
from ._process import MAX_OUTPUT_BYTES, run_command
from ._reply import ProviderReply
from ._trouble import Trouble
from ._types import NOTHING, Answer, JsonSchema, Request, Turn, Usage

PREFIX = "cli/"
MAX_PROCESSES = 4
"""Of one tool at a time: each is a runtime of some 200 MB, and their accounts are a person's."""
_MODEL = re.compile(r"[A-Za-z0-9][\w.:@/\-\[\]]{0,99}", re.ASCII)
# What any program needs, and what leads to the network. Nothing of RLM_MCP_*, no provider's key,
# and nothing by which such a tool knows that it runs inside another.
_COMMON = (
    "HOME", "PATH", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR",
    "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy",
    "https_proxy", "all_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS",
)  # fmt: skip
_PREFACE = "Reply to what follows from what is written here alone, without any tool or file."
_UNTOLD = Usage(usd=None)
"""Of a command that ran and did not say what it used."""


class CommandAgent:
    """Runs a command for each request.

    Args:
        name: `cli/claude`, `cli/codex` or `cli/gemini`, optionally with `:MODEL`.
        environ: where programs and variables are looked for; `os.environ` if left out.
        backoff_s: the wait before the second try.

    Raises:
        SubLLMError: of kind `no_model`, for another name.
    """

    def __init__(
        self, name: str, environ: Mapping[str, str] | None = None, *, backoff_s: float = 2.0
    ) -> None:
        tool, colon, model = name.removeprefix(PREFIX).partition(":")
        line = COMMAND_LINES.get(tool)
        if line is None or (colon and not _MODEL.fullmatch(model)):
            known = ", ".join(f"{PREFIX}{known}" for known in COMMAND_LINES)
            text = f"{name[:100]!r} is not a command-line agent. There are {known}, each also"
            text += " with a model, such as cli/claude:haiku."
            raise SubLLMError(text, kind="no_model", model=name[:100], calls=0)
        self.model = name
        self.provider = PREFIX + tool
        self.native_schema = False
        self._line = line
        self._model = model
        self._environ = os.environ if environ is None else environ
        self._backoff_s = backoff_s
        self._running = anyio.Semaphore(MAX_PROCESSES)
        self._pauses = Pauses()

    async def ask(self, request: Request) -> Answer:
        """Run the command, with retries, or raise `SubLLMError`."""
        if request.prompt.attachments:
            text = f"{self.model}: command-line agents take text alone, no attachments."
            raise self._error(f"{text} Name another model with model=.", "refused")
        if missing := self.missing():
            text = f"{self.model}: {missing}; or set RLM_MCP_SUB_MODEL to another model."
            raise self._error(text, "no_model")
        # Outside of the request's time limit: to wait for one's turn is not the model's slowness.
        async with self._running:
            return await Asking(self, request, self._pauses, backoff_s=self._backoff_s).run()

    def missing(self) -> str:
        """What keeps the command from being run, and what to do; empty for nothing."""
        if self._program() is not None:
            return ""
        line = self._line
        return (
            f"the command `{line.program}` is not on the PATH of the rlm-mcp server. "
            f"For {line.product}: {line.install}"
        )

    async def estimate(self, request: Request) -> Usage:
        """Guess by the length; these tools add instructions of their own and name no price."""
        guess = Usage.guess(request)
        return replace(guess, input_tokens=guess.input_tokens + self._line.overhead)

    async def aclose(self) -> None:
        """Do nothing: each command ends with its request."""

    async def send(
        self, request: Request, text: str, after: Sequence[Turn], schema: JsonSchema | None
    ) -> ProviderReply:
        """Run the command once; raise `Trouble` for what goes wrong."""
        program = self._program()
        if program is None:
            raise Trouble("no_model", f"`{self._line.program}` is gone")
        command = [program, *self._line.arguments]
        if self._model:
            command += ["--model", self._model]
        if self._line.program == "codex":
            command.append("-")
        given = self._text(request, text, after).encode("utf-8", "replace")
        root = Path(await to_thread.run_sync(tempfile.mkdtemp, None, "rlm-mcp-call-"))
        try:
            with _starting():
                left = await run_command(command, given, *self._place(root, request))
        finally:
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(lambda: shutil.rmtree(root, ignore_errors=True))
        if left.too_long:
            cause = f"it wrote more than {MAX_OUTPUT_BYTES >> 20} MB"
            raise Trouble("failed", cause, usage=_UNTOLD)
        try:
            return self._line.read(left)
        except Trouble as trouble:
            if trouble.usage == NOTHING and trouble.kind != "no_key":
                trouble.usage = _UNTOLD
            if trouble.kind == "no_key":
                trouble.cause = f"it is not logged in: {self._line.install} ({trouble.cause})"
            raise

    def _program(self) -> str | None:
        return shutil.which(self._line.program, path=self._environ.get("PATH", os.defpath))

    def _place(self, root: Path, request: Request) -> tuple[Path, dict[str, str]]:
        """An empty folder, and the environment."""
        folder = root / "empty"
        folder.mkdir()
        names = (*_COMMON, *self._line.environ)
        environ = {name: self._environ[name] for name in names if name in self._environ}
        environ.update(self._line.fixed)
        if self._line.settings is not None:
            variable, contents = self._line.settings
            (root / "settings.json").write_text(contents, encoding="utf-8")
            environ[variable] = str(root / "settings.json")
        if self._line.program == "claude" and request.max_tokens is not None:
            environ["CLAUDE_CODE_MAX_OUTPUT_TOKENS"] = str(request.max_tokens)
        return folder, environ

    def _text(self, request: Request, text: str, after: Sequence[Turn]) -> str:
        # It begins with words of our own, so that nothing is taken for a command of the tool.
        parts = [_PREFACE]
        if request.prompt.system is not None:
            parts.append(f"<instructions>\n{request.prompt.system}\n</instructions>")
        if request.max_tokens is not None:
            parts.append(f"Write at most {max(request.max_tokens * 3 // 4, 1)} words.")
        parts.append(transcript_of(request.prompt, text, after))
        return "\n\n".join(parts)

    def _error(self, text: str, kind: str) -> SubLLMError:
        return SubLLMError(text, kind=kind, provider=self.provider, model=self.model, calls=0)


@contextmanager
def _starting() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Trouble("failed", f"it cannot be started ({error.strerror})") from None
