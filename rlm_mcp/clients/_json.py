"""Setting the entry of this server in a JSON file, leaving the rest as it is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ._plan import SERVER, ConfigError, FilePlan, Place, read_text


def read_object(path: Path, text: str | None) -> dict[str, Any]:
    """The object that a file holds; an empty or missing file holds an empty one.

    Raises:
        ConfigError: it holds something else.
    """
    if text is None or not text.strip():
        return {}
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"{path} is not valid JSON ({error}); comments and trailing commas count as mistakes. "
            "Nothing was changed: mend it, or add the server by hand"
        ) from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} does not hold a JSON object. Nothing was changed")
    return value


def set_server(path: Path, place: Place, key: str, **extra: Any) -> FilePlan:
    """Plan the entry of this server below `key`; what else is in the entry, such as `env`, stays.

    Args:
        path: of the file.
        place: with the command.
        key: of the object with all servers.
        extra: further fields of the entry, where it lacks them.

    Raises:
        ConfigError: the file cannot be understood.
    """
    text = read_text(path)
    config = read_object(path, text)
    servers = config.setdefault(key, {})
    if not isinstance(servers, dict) or not isinstance(servers.get(SERVER, {}), dict):
        raise ConfigError(f"`{key}` in {path} is not what it should be. Nothing was changed")
    entry = servers.get(SERVER, {})
    wanted = {
        **extra,
        **entry,
        "command": place.command[0],
        "args": list(place.command[1:]),
    }
    if text is not None and entry == wanted:
        return FilePlan(path, text, text)
    servers[SERVER] = wanted
    found = re.search(r"\n([ \t]+)\S", text or "")
    indent: str | int = found[1] if found else 2
    return FilePlan(path, text, json.dumps(config, indent=indent, ensure_ascii=False) + "\n")
