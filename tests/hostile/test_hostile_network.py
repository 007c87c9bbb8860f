# ruff: noqa: E501 - code in one piece
"""The network: there is none, whatever is used to reach it."""

from __future__ import annotations

import socket

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio

WAYS = (
    "import socket; socket.create_connection(('127.0.0.1', PORT), 1)",
    "import socket; s = socket.socket(); s.connect(('127.0.0.1', PORT))",
    "import _socket; _socket.socket().connect(('127.0.0.1', PORT))",
    "import socket; socket.socket(fileno=3).send(b'x')",
    "import socket; socket.getaddrinfo('localhost', PORT)",
    "import socket; socket.socket().bind(('0.0.0.0', 0))",
    "from urllib.request import urlopen; urlopen('http://127.0.0.1:PORT/', timeout=1)",
    "from urllib.request import urlopen; urlopen('file:///etc/passwd')",
    "from urllib.request import urlopen; urlopen('ftp://127.0.0.1:PORT/')",
    "import http.client; http.client.HTTPConnection('127.0.0.1', PORT).request('GET', '/')",
    "import pandas; pandas.read_csv('http://127.0.0.1:PORT/')",
    "from lxml import etree; etree.parse('http://127.0.0.1:PORT/')",
    "from lxml import etree\np = etree.XMLParser(load_dtd=True, no_network=False, resolve_entities=True)\n"
    "t = etree.fromstring(b'<!DOCTYPE a [<!ENTITY e SYSTEM \"http://127.0.0.1:PORT/\">]><a>&e;</a>', p)\n"
    "assert t.text, t",
    "import asyncio\nasyncio.run(asyncio.open_connection('127.0.0.1', PORT))",
    "import subprocess; subprocess.run(['true'])",
    "import os; os.system('true') and 1 / 0",
    "import os; os.fork()",
    "import threading; threading.Thread(target=print).start()",
    "import multiprocessing; multiprocessing.Process(target=print).start()",
    "import ctypes; ctypes.CDLL('libc.so.6')",
)


async def test_nothing_is_connected(agent: Agent) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.3)
        port = str(listener.getsockname()[1])
        for way in WAYS:
            code = way.replace("PORT", port)
            text = await agent.fails("exec_code", code=code)
            assert "Error" in text, code
            assert "LOST" not in text, code
        with pytest.raises(TimeoutError):
            listener.accept()
    assert "=> 1" in await agent.run("1")
