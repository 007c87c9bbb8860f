"""What guest code asks about texts of code: read as an attacker's, answered by a helper."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from ..errors import BadRequestError, SandboxError
from ..helpers._languages import LANGUAGES
from ..helpers._process import Helpers

MAX_TEXTS, MAX_CHARS = 5_000, 16 << 20
"""Of one call; the guest sends less."""


async def find_symbols(helpers: Helpers, fields: dict[str, Any]) -> dict[str, Any]:
    """Answer the operation `symbols`.

    Args:
        helpers: runs the parser.
        fields: `files`, a list of `[language, text]`.

    Returns:
        `data`, the helper's own text, which is not looked at here; or `failed`, why there is none.

    Raises:
        BadRequestError: the fields are not as they should be.
    """
    files = fields.get("files")
    if not isinstance(files, list) or not 0 < len(files) <= MAX_TEXTS:
        raise BadRequestError(f"symbols wants 1 to {MAX_TEXTS:,} texts in a call")
    size = 0
    languages = set()
    for file in files:
        if not isinstance(file, list) or len(file) != 2 or not all(type(x) is str for x in file):
            raise BadRequestError("symbols wants a list of [language, text]")
        language, text = file
        if language not in LANGUAGES:
            raise BadRequestError(f"there is no language {language[:40]!r}")
        languages.add(language)
        size += len(text)
    if size > MAX_CHARS:
        raise BadRequestError(f"symbols wants at most {MAX_CHARS:,} characters in a call")
    data = await asyncio.to_thread(lambda: json.dumps(files).encode())
    try:
        answer = await helpers.run("symbols", sorted(languages), data)
        return {"data": answer.decode("ascii")}
    except (SandboxError, UnicodeDecodeError) as error:
        return {"failed": f"it could not be parsed: {error}"[:300]}
