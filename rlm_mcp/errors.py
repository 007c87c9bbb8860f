"""The exceptions of the project, each with who raises it and who sees it.

The text of an `RlmError` is written for the calling agent: the cause, then the next step. It is
shown as it is, so it never carries a secret or a path that the caller did not name.
"""

from __future__ import annotations


class RlmError(Exception):
    """Base of every error whose text the calling agent reads."""


class BadRequestError(RlmError):
    """An argument of a call cannot be used. Raised by the server and the space."""


class SourceError(RlmError):
    """A source cannot be read or a target cannot be written. Raised by the loaders."""


class SpaceError(RlmError):
    """A space is unknown, closed, held by another server, or one too many."""


class SandboxError(RlmError):
    """The sandbox cannot be prepared or started. Raised by `sandbox` and `sandbox_wasm`."""


class StoreError(RlmError):
    """The store cannot be read or written: a full disk, an unwritable home, damage."""


class SubLLMError(RlmError):
    """A sub-LLM call failed. Raised by the `lm` package; guest code sees one of its own.

    Args:
        message: the cause and the next step.
        kind: one of `no_model`, `no_key`, `refused`, `rate_limit`, `context`, `schema`,
            `budget`, `timeout`, `connection`, `failed`.
        provider: the provider's name in litellm's notation, or empty.
        model: the model's name in litellm's notation, or empty.
        input_tokens: that were spent in vain, over all tries, as are the next two.
        output_tokens: tokens that were written.
        usd: the price, or None when it is unknown.
        calls: that were sent to a model, tries included; 0 if it failed before that.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        provider: str = "",
        model: str = "",
        input_tokens: int = 0,
        output_tokens: int = 0,
        usd: float | None = 0.0,
        calls: int = 1,
    ) -> None:
        super().__init__(message)
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.usd = usd
        self.calls = calls
        self.kind = kind
        self.provider = provider
        self.model = model
