"""Spans at a collector: the real exporter, and what arrives decoded."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rlm_mcp.errors import SubLLMError
from rlm_mcp.lm import Request, ScriptedModel

from ..conftest import Connect
from .conftest import Recorded

pytestmark = pytest.mark.anyio

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class Collector:
    """Takes spans over HTTP, as a real one does."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.paths: set[str] = set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                collector.paths.add(self.path)
                collector.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def spans(self) -> list[dict[str, Any]]:
        """What arrived, in the order in which it began."""
        found = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                names = {item.key: item.value.string_value for item in resource.resource.attributes}
                assert names["service.name"] == "rlm-mcp"
                for scope in resource.scope_spans:
                    found += [_plain(span) for span in scope.spans]
        return sorted(found, key=lambda span: str(span["id"]))


def _plain(span: Any) -> dict[str, Any]:
    values = {
        item.key: getattr(item.value, item.value.WhichOneof("value")) for item in span.attributes
    }
    return {
        "id": span.span_id.hex(), "trace": span.trace_id.hex(),
        "parent": span.parent_span_id.hex() or None, "name": span.name, "kind": span.kind,
        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        "failed": span.status.code == 2, "attributes": values,
    }  # fmt: skip


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """A collector that the environment names."""
    collector = Collector()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.close()


def answer(request: Request) -> str | SubLLMError:
    if request.prompt.text == "bad":
        return SubLLMError("no, private", kind="rate_limit", model="gemini/flash")
    return "a private answer"


CODE = "private = sub_llm('a private prompt', model='openai/gpt-x', max_tokens=50)"


async def test_spans_arrive_with_the_conventions_and_without_texts(
    connect: Connect, recorded: Recorded, collector: Collector
) -> None:
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run(CODE)
        await agent.fails("exec_code", code="sub_llm('bad')")
    first, call, second, failed = collector.spans()
    assert collector.paths == {"/v1/traces"}
    stored = recorded()
    assert [s["id"] for s in stored] == [s["id"] for s in (first, call, second, failed)]
    assert [s["trace"] for s in stored] == [s["trace"] for s in (first, call, second, failed)]
    assert first["name"] == "execute_tool exec_code"
    assert first["parent"] is None and call["parent"] == first["id"]
    assert first["attributes"]["gen_ai.operation.name"] == "execute_tool"
    assert first["attributes"]["rlm_mcp.space"] == "main"
    assert first["attributes"]["rlm_mcp.calls"] == 1
    assert call["name"] == "chat gpt-x"
    assert call["kind"] == 3  # client
    assert abs(call["seconds"] - stored[1]["seconds"]) < 0.001
    assert call["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-x",
        "gen_ai.request.max_tokens": 50,
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 3,
        "rlm_mcp.space": "main",
        "rlm_mcp.kind": "sub_llm",
        "rlm_mcp.status": "ok",
        "rlm_mcp.cached": False,
        "rlm_mcp.usd": 0.0,
        "rlm_mcp.prompt_chars": 16,
        "rlm_mcp.answer_chars": 16,
    }
    assert failed["failed"] and second["failed"] and not call["failed"]
    assert failed["attributes"]["error.type"] == "rate_limit"
    assert failed["attributes"]["gen_ai.provider.name"] == "gcp.gemini"
    assert not any(b"private" in body for body in collector.bodies)


@pytest.mark.parametrize(("record", "sent"), [("full", True), ("shape", False), ("off", False)])
async def test_texts_are_sent_where_both_settings_say_so(
    connect: Connect, collector: Collector, monkeypatch: pytest.MonkeyPatch, record: str, sent: bool
) -> None:
    monkeypatch.setenv(CAPTURE, "true")
    async with connect(ScriptedModel(answer), record=record) as agent:
        await agent.run(CODE)
    assert any(b"private" in body for body in collector.bodies) is sent
    if record == "off":
        assert collector.bodies == []
    if sent:
        execution, call = (span["attributes"] for span in collector.spans())
        (message,) = json.loads(call["gen_ai.input.messages"])
        assert message == {
            "role": "user", "parts": [{"type": "text", "content": "a private prompt"}],
        }  # fmt: skip
        (message,) = json.loads(call["gen_ai.output.messages"])
        assert message["parts"] == [{"type": "text", "content": "a private answer"}]
        assert json.loads(execution["gen_ai.tool.call.arguments"])["code"] == CODE


async def test_a_call_is_part_of_the_trace_of_its_client(
    connect: Connect, collector: Collector
) -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    async with connect(ScriptedModel(answer)) as agent:
        meta: Any = {"traceparent": f"00-{trace}-{span}-01"}
        await agent.client.call_tool("exec_code", {"code": "sub_llm('x')"}, meta=meta)
    execution, call = collector.spans()
    assert (execution["trace"], execution["parent"]) == (trace, span)
    assert (call["trace"], call["parent"]) == (trace, execution["id"])


async def test_a_collector_that_is_not_there_costs_one_line(
    connect: Connect,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    caplog.set_level(logging.WARNING)
    async with connect(ScriptedModel(answer)) as agent:
        for _ in range(3):
            await agent.run(CODE)
    assert len(recorded()) == 6
    said = [f"{record.name}: {record.getMessage()}" for record in caplog.records]
    assert [text for text in said if "collector" in text or "opentelemetry" in text] == [
        "rlm_mcp.trajectory._otel: the collector does not take spans; they are lost until it does"
    ]


async def test_missing_packages_are_named_once(
    connect: Connect,
    recorded: Recorded,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(
        __import__("sys").modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None
    )
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run(CODE)
        await agent.run(CODE)
    said = [record.getMessage() for record in caplog.records if "rlm-mcp[otel]" in record.msg]
    assert len(said) == 1
    assert len(recorded()) == 4
    assert collector.bodies == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ],
)
async def test_the_environment_can_turn_it_off(
    connect: Connect, collector: Collector, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    async with connect(ScriptedModel(answer)) as agent:
        await agent.run(CODE)
    assert collector.bodies == []
