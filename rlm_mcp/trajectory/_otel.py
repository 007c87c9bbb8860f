"""Spans for a collector, in OpenTelemetry's protocol and its conventions for generative AI.

The conventions are those of open-telemetry/semantic-conventions-genai, which are in development.
What the SDK says of a collector that cannot be reached is one line of our log here.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..store import SpanRow

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
    from opentelemetry.util.types import AttributeValue

_log = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURED = ("true", "span_only", "span_and_event")
CLOSE_SECONDS = 3
"""For the last batch when the server ends (a guess: clients wait about five for it)."""

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
"""litellm's name of a provider to that of the conventions, where they differ."""
_TOOLS = {
    "execution": "exec_code",
    "load": "load_variable",
    "ask": "sub_llm",
    "save": "save_variable",
    "spaces": "spaces",
}
_AGENT = "sub_rlm"
_FAILED = ("failed", "timeout", "lost", "interrupted")
_ARGUMENTS = ("code", "prompt", "question", "arguments")
_RESULTS = ("output", "value", "error", "reply", "answer")
_OWN = {
    # Facts that have a name in the conventions.
    "model", "max_tokens", "schema", "input_tokens", "output_tokens", "error_kind",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Caller:
    """The span of the client that a call is a part of, as its request says.

    Args:
        trace: its trace id.
        span: its span id.
    """

    trace: int
    span: int


class Exporter:
    """Hands ended spans to a collector. Used by one thread; the sending is done by another.

    Args:
        sender: gets batches of spans.
        texts: whether prompts, answers, code and output are sent too.
    """

    def __init__(self, sender: SpanExporter, *, texts: bool) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import IdGenerator

        exporter = self

        class Ids(IdGenerator):
            """The ids that the store has, so that a span is found in both places."""

            def generate_trace_id(self) -> int:
                return exporter._ids[0]

            def generate_span_id(self) -> int:
                return exporter._ids[1]

            def is_trace_id_random(self) -> bool:
                return True  # its second half is

        self._ids = (0, 0)
        self._texts = texts
        # Not the global one: what else is in this process has its own.
        resource = Resource.create({"service.version": __version__})
        if str(resource.attributes.get("service.name")).startswith("unknown_service"):
            resource = resource.merge(Resource({"service.name": "rlm-mcp"}))
        self._provider = TracerProvider(
            resource=resource, id_generator=Ids(), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(sender, max_queue_size=_queue()))
        self._tracer = self._provider.get_tracer("rlm_mcp", __version__)

    def export(self, row: SpanRow, caller: Caller | None) -> None:
        """Send a span that has ended.

        Args:
            row: the span.
            caller: the span of the client that its tree is a part of.
        """
        from opentelemetry import trace
        from opentelemetry.sdk.trace.sampling import Decision

        tree, number = _numbers(row.id)
        trace_id = caller.trace if caller is not None else tree
        # Parts end before the whole, so each asks what is decided for the trace.
        sampled = self._provider.sampler.should_sample(None, trace_id, row.kind)
        if sampled.decision is not Decision.RECORD_AND_SAMPLE:
            return
        if row.parent is not None:
            above: int | None = _numbers(row.parent)[1]
        else:
            above = caller.span if caller is not None else None
        context = None
        if above is not None:
            flags = trace.TraceFlags(trace.TraceFlags.SAMPLED)
            remote = row.parent is None
            parent = trace.SpanContext(trace_id, above, is_remote=remote, trace_flags=flags)
            context = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        self._ids = trace_id, number
        name, attributes = _described(row, texts=self._texts)
        kind = trace.SpanKind.CLIENT if row.kind == "sub_llm" else trace.SpanKind.INTERNAL
        start = int(row.started * 1e9)
        span = self._tracer.start_span(name, context, kind, attributes, start_time=start)
        if row.status in _FAILED:
            span.set_status(trace.StatusCode.ERROR)
        span.end(start + int((row.seconds or 0) * 1e9))

    def close(self) -> None:
        """Send what is left, for as long as a server that ends can wait."""
        # The SDK waits up to half a minute for a collector, and takes no other bound.
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(CLOSE_SECONDS)


def open_exporter(environ: Mapping[str, str], *, texts: bool) -> Exporter | None:
    """Open the way to the collector that the environment names; `None` if that cannot be.

    Args:
        environ: with the variables of OpenTelemetry, that is `wanted`.
        texts: whether prompts and the like may be sent at all; the environment has to ask for
            them too.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        _log.warning(
            "a collector is set, but its packages are not installed: no spans are sent "
            "(pip install 'rlm-mcp[otel]')"
        )
        return None
    asked = environ.get(_CAPTURE, "").strip().lower() in _CAPTURED
    try:
        return Exporter(_quiet(OTLPSpanExporter()), texts=texts and asked)
    except Exception as error:
        # The SDK checks its variables here, and says what is wrong with them.
        _log.warning("no spans are sent to a collector: %s", error)
        return None


def wanted(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a collector that can be used."""
    if not any(environ.get(name) for name in _ENDPOINTS):
        return False
    if environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() not in ("", "otlp"):
        return False
    protocol = next((environ[name] for name in _PROTOCOLS if environ.get(name)), "http/protobuf")
    if protocol != "http/protobuf":
        _log.warning("no spans are sent to a collector: only http/protobuf is, not %s", protocol)
        return False
    return True


def _quiet(sender: SpanExporter) -> SpanExporter:
    """A sender that says once, and not for each batch, that nothing arrives."""
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    for name in ("exporter", "sdk._shared_internal"):
        logging.getLogger(f"opentelemetry.{name}").setLevel(logging.CRITICAL)

    class Quiet(SpanExporter):
        failing = False

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result = sender.export(spans)
            failed = result is not SpanExportResult.SUCCESS
            if failed and not self.failing:
                _log.warning("the collector does not take spans; they are lost until it does")
            self.failing = failed
            return result

        def shutdown(self) -> None:
            sender.shutdown()

    return Quiet()


def _queue() -> int:
    """How many spans may wait to be sent; the SDK's 2,048 are fewer than one map may have."""
    given = os.environ.get("OTEL_BSP_MAX_QUEUE_SIZE", "")
    return int(given) if given.isdecimal() and int(given) >= 512 else 16_384


def _numbers(span: str) -> tuple[int, int]:
    tree, _, number = span.partition("-")
    return int(tree, 16), int(number, 16)


def _described(row: SpanRow, *, texts: bool) -> tuple[str, dict[str, AttributeValue]]:
    """The name and the attributes of a span in the conventions."""
    detail = row.detail
    found: dict[str, AttributeValue] = {
        "rlm_mcp.space": row.space,
        "rlm_mcp.kind": row.kind,
        "rlm_mcp.status": row.status,
    }
    if row.kind == "sub_llm":
        name = _describe_call(detail, found)
    elif row.kind == _AGENT:
        name = f"invoke_agent {_AGENT}"
        found |= {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": _AGENT}
    elif row.kind in _TOOLS:
        tool = _TOOLS[row.kind]
        name = f"execute_tool {tool}"
        found |= {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.type": "function",
        }
    else:
        name = row.kind
    if row.status in _FAILED:
        found["error.type"] = str(detail.get("error_kind") or row.status)
    private = {fact.removesuffix("_chars") for fact in detail if fact.endswith("_chars")}
    for fact, value in detail.items():
        own = row.kind == "sub_llm" and fact in _OWN
        if fact not in private and not own and isinstance(value, str | int | float):
            found[f"rlm_mcp.{fact}"] = value
    if texts:
        found |= _content(row)
    return name, found


def _describe_call(detail: dict[str, Any], found: dict[str, AttributeValue]) -> str:
    full = str(detail.get("model", ""))
    provider, slash, model = full.partition("/")
    found["gen_ai.operation.name"] = "chat"
    found["gen_ai.provider.name"] = _PROVIDERS.get(provider, provider) or "_OTHER"
    if full:
        found["gen_ai.request.model"] = model if slash else full
    for fact, attribute in (
        ("max_tokens", "gen_ai.request.max_tokens"),
        ("input_tokens", "gen_ai.usage.input_tokens"),
        ("output_tokens", "gen_ai.usage.output_tokens"),
    ):
        if isinstance(detail.get(fact), int):
            found[attribute] = detail[fact]
    if detail.get("schema"):
        found["gen_ai.output.type"] = "json"
    return f"chat {model if slash else full}".strip()


def _content(row: SpanRow) -> dict[str, AttributeValue]:
    """What may be private, as the conventions want it: JSON in attributes."""
    detail = row.detail
    if row.kind != "sub_llm":
        given = {name: detail[name] for name in _ARGUMENTS if name in detail}
        came = {name: detail[name] for name in _RESULTS if name in detail}
        content: dict[str, AttributeValue] = {}
        if given:
            content["gen_ai.tool.call.arguments"] = json.dumps(given)
        if came:
            content["gen_ai.tool.call.result"] = json.dumps(came)
        return content
    content = {}
    asked = [detail[name] for name in ("history", "prompt") if name in detail]
    if asked:
        content["gen_ai.input.messages"] = json.dumps([_message("user", text) for text in asked])
    if "answer" in detail:
        message = {**_message("assistant", detail["answer"]), "finish_reason": "stop"}
        if detail.get("truncated"):
            message["finish_reason"] = "length"
        content["gen_ai.output.messages"] = json.dumps([message])
    if "system" in detail:
        instructions = [{"type": "text", "content": detail["system"]}]
        content["gen_ai.system_instructions"] = json.dumps(instructions)
    return content


def _message(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}
