"""What has to change so that a client starts this server, and carrying it out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ..errors import RlmError

SERVER = "rlm-mcp"
"""The name of this server in every client's configuration."""
_COMMAND_SECONDS = 60


class ConfigError(RlmError):
    """A client's configuration cannot be read, understood or written. Seen on the terminal."""


@dataclass(frozen=True)
class Place:
    """For whom a client is configured.

    Args:
        home: the user's home folder.
        project: the project's folder if it is for that alone, else `None`.
        folder: the working folder, for clients that only know projects.
        command: starts this server.
    """

    home: Path
    project: Path | None
    folder: Path
    command: tuple[str, ...]


@dataclass(frozen=True)
class FilePlan:
    """A file and what it should hold.

    Args:
        path: of the file.
        before: what it holds now, or `None` if there is none.
        after: what it should hold.
    """

    path: Path
    before: str | None
    after: str

    @property
    def changes(self) -> bool:
        """Whether there is anything to do."""
        return self.before != self.after

    def describe(self) -> str:
        """The file and all that would be in it."""
        return f"{self.path} would hold:\n\n{self.after}"

    def apply(self) -> str:
        """Write the file in one step, keeping the old one beside it; says what was done.

        Raises:
            ConfigError: it cannot be written; the file is as it was.
        """
        # A link, as people keep who version their configuration, stays one.
        path = self.path.resolve()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = ""
            if self.before is not None:
                backup = path.with_name(path.name + ".bak")
                shutil.copy2(path, backup)
                kept = f"; the old one is {backup}"
            _replace(path, self.after)
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be written ({error.strerror}); it is as it was"
            ) from error
        return f"wrote {path}{kept}"


def _replace(path: Path, text: str) -> None:
    descriptor, part = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        Path(part).chmod(mode)
        Path(part).replace(path)
    finally:
        Path(part).unlink(missing_ok=True)


@dataclass(frozen=True)
class CommandPlan:
    """A command of the client's own that changes its configuration."""

    command: tuple[str, ...]
    changes: bool = True

    def describe(self) -> str:
        """The command."""
        return f"would run: {' '.join(self.command)}"

    def apply(self) -> str:
        """Run the command; says what was done.

        Raises:
            ConfigError: it failed.
        """
        shown = " ".join(self.command)
        try:
            done = subprocess.run(
                self.command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_COMMAND_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ConfigError(f"`{shown}` could not be run: {error}") from error
        if done.returncode != 0:
            reason = (done.stderr or done.stdout).strip()[-500:]
            raise ConfigError(f"`{shown}` failed: {reason}")
        return f"ran: {shown}"


Plan = FilePlan | CommandPlan


def read_text(path: Path) -> str | None:
    """What a configuration file holds, or `None` if there is none.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}. Nothing was changed") from error


def serve_command() -> tuple[str, ...]:
    """The command that starts this server, by its absolute path."""
    script = Path(sys.executable).with_name("rlm-mcp")
    if script.is_file() and os.access(script, os.X_OK):
        return (str(script), "serve")
    return (sys.executable, "-P", "-m", "rlm_mcp.cli", "serve")
