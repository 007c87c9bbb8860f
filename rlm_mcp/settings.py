"""Settings: flags, then `RLM_MCP_*` variables, then a `rlm-mcp.toml`, then defaults."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path, user_config_path, user_state_path

from .errors import BadRequestError
from .lm import CACHE_MB, DEFAULT_TIMEOUT_S, IN_FLIGHT, NO_BUDGET, Budget
from .loaders import Command, UrlRules, read_commands
from .space import Limits, check_handle, new_handle

_NAMES = {
    # name in the file: (variable, type)
    "home": ("RLM_MCP_HOME", str),
    "cache": ("RLM_MCP_CACHE", str),
    "allow": ("RLM_MCP_ALLOW", list),
    "space": ("RLM_MCP_SPACE", str),
    "sub_model": ("RLM_MCP_SUB_MODEL", str),
    "root_model": ("RLM_MCP_ROOT_MODEL", str),
    "embed_model": ("RLM_MCP_EMBED_MODEL", str),
    "max_depth": ("RLM_MCP_MAX_DEPTH", int),
    "rlm_prompt": ("RLM_MCP_RLM_PROMPT", str),
    "max_calls": ("RLM_MCP_MAX_CALLS", int),
    "max_tokens": ("RLM_MCP_MAX_TOKENS", int),
    "max_input_tokens": ("RLM_MCP_MAX_INPUT_TOKENS", int),
    "max_output_tokens": ("RLM_MCP_MAX_OUTPUT_TOKENS", int),
    "max_usd": ("RLM_MCP_MAX_USD", float),
    "max_seconds": ("RLM_MCP_MAX_SECONDS", float),
    "call_budget": ("RLM_MCP_CALL_BUDGET", Budget),
    "execution_budget": ("RLM_MCP_EXECUTION_BUDGET", Budget),
    "run_budget": ("RLM_MCP_RUN_BUDGET", Budget),
    "call_seconds": ("RLM_MCP_CALL_SECONDS", float),
    "cache_mb": ("RLM_MCP_CACHE_MB", int),
    "in_flight": ("RLM_MCP_IN_FLIGHT", int),
    "memory_mb": ("RLM_MCP_MEMORY_MB", int),
    "running": ("RLM_MCP_RUNNING", int),
    "history": ("RLM_MCP_HISTORY", int),
    "history_mb": ("RLM_MCP_HISTORY_MB", int),
    "view_mb": ("RLM_MCP_VIEW_MB", int),
    "durability": ("RLM_MCP_DURABILITY", str),
    "record": ("RLM_MCP_RECORD", str),
    "record_mb": ("RLM_MCP_RECORD_MB", int),
    "urls": ("RLM_MCP_URLS", bool),
    "allow_private_urls": ("RLM_MCP_ALLOW_PRIVATE_URLS", bool),
}
VARIABLES = frozenset({variable for variable, _ in _NAMES.values()} | {"RLM_MCP_CONFIG"})
"""All that are read here."""
_RECORD = ("full", "shape", "off")
_SWITCH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


@dataclass(frozen=True)
class Settings:
    """What a server is configured with.

    Args:
        home: folder of the spaces, and of everything that must not be lost.
        cache: folder of the compiled guest and the base image, which can be made again.
        allow: folders that sources are read from and targets written to; the first is what
            relative paths are relative to.
        space: the default space of this process.
        sub_model: the model of sub-LLM calls, or `None` for what the environment suggests.
        limits: of spaces.
        root_model: the model that is the root of a recursive run; `None` for the sub-model.
        max_depth: how deep recursive runs may be nested; a run that calls no other has depth 1.
        rlm_prompt: a file with instructions for root models, or `None` for the project's own.
        max_calls: sub-LLM calls that a space may make in all, or `None`.
        max_tokens: tokens that a space may use in all, read and written, or `None`.
        max_input_tokens: of these, tokens that are read, or `None`.
        max_output_tokens: of these, tokens that are written, or `None`.
        max_usd: US dollars that a space may spend in all, or `None`.
        max_seconds: that a space's sub-LLM calls may take in all, added up, or `None`.
        call_budget: of each sub-LLM call; its seconds are `call_seconds`.
        execution_budget: of each execution, and of each call of the tool `sub_llm`.
        run_budget: of each recursive run, with all runs below it.
        call_seconds: that one sub-LLM call may take, tries and waits included.
        record: what is recorded of what happens: `full`, `shape` (no code, prompts, answers and
            output) or `off`.
        record_mb: MiB that the record of all spaces may take; the oldest goes.
        urls: which addresses may be fetched.
        commands: programs whose output may be loaded, by name; only the settings file has them,
            as `[commands.NAME]`.
        cache_mb: what known answers of sub-models may take on the disk, in MB.
        in_flight: sub-LLM calls to one provider at a time.
        embed_model: the model of `search`'s embeddings, or `None` for none.
    """

    home: Path
    cache: Path
    allow: tuple[Path, ...]
    space: str
    sub_model: str | None = None
    limits: Limits = field(default_factory=Limits)
    root_model: str | None = None
    max_depth: int = 2
    rlm_prompt: Path | None = None
    max_calls: int | None = None
    max_tokens: int | None = None
    max_input_tokens: int | None = None
    max_output_tokens: int | None = None
    max_usd: float | None = None
    max_seconds: float | None = None
    call_budget: Budget = NO_BUDGET
    execution_budget: Budget = NO_BUDGET
    run_budget: Budget = NO_BUDGET
    call_seconds: float = DEFAULT_TIMEOUT_S
    record: str = "full"
    record_mb: int = 256
    urls: UrlRules = field(default_factory=UrlRules)
    commands: Mapping[str, Command] = field(default_factory=dict)
    cache_mb: int = CACHE_MB
    in_flight: int = IN_FLIGHT
    embed_model: str | None = None

    @property
    def space_budget(self) -> Budget:
        """What a space may use in all."""
        return Budget(
            self.max_calls, self.max_tokens, self.max_usd, self.max_seconds,
            self.max_input_tokens, self.max_output_tokens,
        )  # fmt: skip


def config_file(environ: Mapping[str, str]) -> Path:
    """Where the settings file is looked for. Never the working folder: a file that comes with a
    repository must not decide what a server may read."""
    named = environ.get("RLM_MCP_CONFIG")
    return Path(named) if named else user_config_path("rlm-mcp") / "rlm-mcp.toml"


def load_settings(
    flags: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Bring the sources of settings together.

    Args:
        flags: values from the command line by their name in the file; `None` is not given.
        environ: the environment; `os.environ` if left out.

    Raises:
        BadRequestError: a value cannot be used; the text says which and where it is from.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Any] = {}
    path = config_file(environ)
    in_file = _read(path)
    if in_file is None:
        if environ.get("RLM_MCP_CONFIG"):  # else bounds that a person wrote would hold for nothing
            raise BadRequestError(f"RLM_MCP_CONFIG names {path}, which does not exist: correct it")
        in_file = {}
    commands = read_commands(in_file.pop("commands", {}), str(path))
    for name, value in in_file.items():
        found[name] = _typed(name, value, f"`{name}` in {path}")
    for name, (variable, _) in _NAMES.items():
        if environ.get(variable):
            found[name] = _typed(name, environ[variable], variable)
    for name, value in (flags or {}).items():
        if value is not None and value != ():
            found[name] = _typed(name, value, f"--{name.replace('_', '-')}")
    prompt = found.get("rlm_prompt")
    return Settings(
        home=_folder(found.get("home"), user_state_path("rlm-mcp")),
        cache=_folder(found.get("cache"), user_cache_path("rlm-mcp")),
        allow=_roots(found.get("allow", []), environ),
        space=_space(found.get("space"), environ),
        sub_model=found.get("sub_model"),
        limits=_limits(found),
        root_model=found.get("root_model"),
        max_depth=found.get("max_depth", 2),
        rlm_prompt=Path(prompt).expanduser().absolute() if prompt else None,
        max_calls=found.get("max_calls"),
        max_tokens=found.get("max_tokens"),
        max_input_tokens=found.get("max_input_tokens"),
        max_output_tokens=found.get("max_output_tokens"),
        max_usd=found.get("max_usd"),
        max_seconds=found.get("max_seconds"),
        call_budget=_call_budget(found.get("call_budget", NO_BUDGET)),
        execution_budget=found.get("execution_budget", NO_BUDGET),
        run_budget=found.get("run_budget", NO_BUDGET),
        call_seconds=found.get("call_seconds", DEFAULT_TIMEOUT_S),
        record=_record(found.get("record", "full")),
        record_mb=found.get("record_mb", 256),
        urls=UrlRules(found.get("urls", True), found.get("allow_private_urls", False)),
        commands=commands,
        cache_mb=found.get("cache_mb", CACHE_MB),
        in_flight=found.get("in_flight", IN_FLIGHT),
        embed_model=(found.get("embed_model") or "").strip() or None,
    )


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BadRequestError(f"the settings file {path} cannot be read: {error}") from error
    unknown = sorted(found.keys() - _NAMES.keys() - {"commands"})
    if unknown:
        known = ", ".join((*_NAMES, "commands"))
        raise BadRequestError(
            f"{path} has unknown settings: {', '.join(unknown)}; known are {known}"
        )
    return found


def _typed(name: str, value: Any, where: str) -> Any:
    kind = _NAMES[name][1]
    if kind is list:
        parts = value.split(os.pathsep) if isinstance(value, str) else value
        if not isinstance(parts, list | tuple) or not all(isinstance(p, str) for p in parts):
            raise BadRequestError(f"{where} must be a list of paths")
        return [part for part in parts if part]
    if kind is bool:
        chosen = value if isinstance(value, bool) else _SWITCH.get(str(value).strip().lower())
        if chosen is None:
            raise BadRequestError(f"{where} must be `on` or `off`, not {value!r}")
        return chosen
    if kind is int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = 0
        if number < 1 or isinstance(value, bool):
            raise BadRequestError(f"{where} must be a whole number above 0, not {value!r}")
        return number
    if kind is float:
        try:
            amount = float(value)
        except (TypeError, ValueError):
            amount = math.nan
        if not 0 < amount < math.inf or isinstance(value, bool):
            raise BadRequestError(f"{where} must be a number above 0, not {value!r}")
        return amount
    if kind is Budget:
        try:
            return Budget.of(value) if isinstance(value, Mapping) else Budget.parse(str(value))
        except ValueError as error:
            raise BadRequestError(f"{where}: {error}") from None
    if not isinstance(value, str):
        raise BadRequestError(f"{where} must be text, not {value!r}")
    return value


def _call_budget(found: Budget) -> Budget:
    if found.seconds is not None:
        raise BadRequestError(
            "call_budget (RLM_MCP_CALL_BUDGET) has no seconds: those of one sub-LLM call are "
            "call_seconds (RLM_MCP_CALL_SECONDS)"
        )
    return found


def _folder(value: str | None, default: Path) -> Path:
    return Path(value).expanduser().absolute() if value else default


def _roots(allowed: list[str], environ: Mapping[str, str]) -> tuple[Path, ...]:
    project = environ.get("CLAUDE_PROJECT_DIR")
    first = Path(project) if project and Path(project).is_dir() else Path.cwd()
    return (first, *(Path(path).expanduser().absolute() for path in allowed))


def _space(named: str | None, environ: Mapping[str, str]) -> str:
    if named:
        return check_handle(named)
    session = environ.get("CLAUDE_CODE_SESSION_ID", "")
    try:
        return check_handle(session)
    except BadRequestError:
        return new_handle()


def _record(chosen: str) -> str:
    if chosen not in _RECORD:
        raise BadRequestError(f"record (RLM_MCP_RECORD) is {', '.join(_RECORD)}, not {chosen!r}")
    return chosen


def _limits(found: Mapping[str, Any]) -> Limits:
    durability = found.get("durability", "background")
    if durability not in ("background", "sync"):
        raise BadRequestError(f"durability is `background` or `sync`, not {durability!r}")
    known = {item.name for item in fields(Limits)}
    given = {name: value for name, value in found.items() if name in known}
    limits = replace(Limits(), sync=durability == "sync", **given)
    if limits.memory_mb > 4096 or limits.memory_mb < 128:
        raise BadRequestError("memory_mb (RLM_MCP_MEMORY_MB) must be between 128 and 4096")
    return limits
