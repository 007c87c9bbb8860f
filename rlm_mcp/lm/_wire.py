"""Calls to servers that speak the OpenAI chat protocol, over one shared connection pool.

litellm 1.106 spends 4 to 9 ms of processor time on each call (its logging and price lookup, the
client it wraps), whatever its settings: 1,000 calls of 100 ms at 100 at a time took 7 times the
ideal. This takes about 0.5 ms, and 1.2 times. litellm still says which provider, address, key and
parameters apply, where the name of a model does not say it (see `route_by_name`); what has no
plain OpenAI protocol goes through litellm itself. Measured by `bench/sub_llm.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from ._reply import ProviderReply, check_text, count_of, text_of
from ._trouble import Trouble, trouble_from_status
from ._types import Usage

if TYPE_CHECKING:
    import aiohttp

_MAX_REPLY_BYTES = 64 * 1024 * 1024
_READ_BYTES = 256 * 1024
_CONNECT_S = 30.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a model is reached. The key is kept out of `repr`."""

    base_url: str
    key: str = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)


class OpenAIWire:
    """A pool of connections for one event loop."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None
        self._proxies: dict[str, str | None] = {}

    async def chat(self, endpoint: Endpoint, body: dict[str, Any]) -> ProviderReply:
        """Post one chat request; raise `Trouble` for what goes wrong. It has no time limit."""
        import aiohttp

        try:
            async with self._open().post(
                f"{endpoint.base_url.rstrip('/')}/chat/completions",
                data=aiohttp.BytesPayload(
                    json.dumps(body).encode(), content_type="application/json"
                ),
                headers={"Authorization": f"Bearer {endpoint.key}", **endpoint.headers},
                proxy=self._proxy(endpoint.base_url),
                allow_redirects=False,  # a redirect would take the key to another host
            ) as response:
                raw = await _read(response)
                status, headers = response.status, response.headers
        except (aiohttp.ClientError, OSError, ValueError) as error:
            host = urlsplit(endpoint.base_url).netloc.rpartition("@")[2]
            if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
                cause = f"the connection to {host} broke off before the answer was there"
                # What was sent may be charged for, and nobody says so.
                raise Trouble("connection", cause, True, usage=Usage(usd=None)) from None
            again = not isinstance(error, aiohttp.InvalidURL)
            cause = f"no connection to {host} ({type(error).__name__}: {error})"
            raise Trouble("connection", cause, again) from None
        if status != 200:
            message, code = _error_text(raw)
            raise trouble_from_status(status, message, code, dict(headers))
        return _read_reply(raw)

    async def aclose(self) -> None:
        """Close the connections; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            import aiohttp

            # No limit here: the batch bounds what is in flight, and a pool with a limit of its
            # own would make calls wait unseen.
            connector = aiohttp.TCPConnector(limit=0)
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S)
            # No cookies: what one account is told is not for the next.
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    def _proxy(self, base_url: str) -> str | None:
        # aiohttp's `trust_env` does this, and reads `.netrc`, in a thread for every request:
        # measured, more than half of the processor time of a call.
        if base_url not in self._proxies:
            parts = urlsplit(base_url)
            host = parts.hostname or ""
            bypass = proxy_bypass(host)
            self._proxies[base_url] = None if bypass else getproxies().get(parts.scheme)
        return self._proxies[base_url]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    length = response.content_length
    if length is not None and length <= _READ_BYTES and "Content-Encoding" not in response.headers:
        return await response.read()
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(_READ_BYTES):
        parts.append(part)
        size += len(part)
        if size > _MAX_REPLY_BYTES:
            raise Trouble("failed", "the reply is larger than 64 MB")
    return b"".join(parts)


def _error_text(raw: bytes) -> tuple[str, str]:
    try:
        error = json.loads(raw).get("error")
        if isinstance(error, dict):
            return str(error.get("message") or error), str(error.get("code") or "")
        return str(error or raw[:1000].decode("utf-8", "replace")), ""
    except (ValueError, AttributeError, RecursionError):
        return raw[:1000].decode("utf-8", "replace"), ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read_reply(raw: bytes) -> ProviderReply:
    try:
        body = json.loads(raw)
        if "choices" not in body and isinstance(error := body.get("error"), dict):
            # As some gateways say it, OpenRouter for one.
            code, text = error.get("code"), str(error.get("message") or error)
            status = code if isinstance(code, int) and 400 <= code <= 599 else 502
            raise trouble_from_status(status, text)
        choice = body["choices"][0]
        message = choice["message"]
        content = message.get("content")
        finish = choice.get("finish_reason")
        usage = _dict(body.get("usage"))
        details = _dict(usage.get("prompt_tokens_details"))
        counts = [
            count_of(usage.get("prompt_tokens")),
            count_of(usage.get("completion_tokens")),
            count_of(details.get("cached_tokens")),
        ]
        refusal = message.get("refusal")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        raise Trouble("failed", "the reply is not a chat completion", True) from None
    try:
        text = check_text(text_of(content), finish, refusal)
    except Trouble as trouble:
        trouble.usage = Usage(0, 0, counts[0], counts[1], None)
        raise
    return ProviderReply(text, counts[0], counts[1], counts[2], finish == "length")
