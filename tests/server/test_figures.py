"""Figures: drawn in the sandbox, shown in the reply when code asks, and saved as files."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import pytest

from ..conftest import Agent

pytestmark = pytest.mark.anyio

DRAW = (
    "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 3, 2])\n"
    "ax.set_title('Ünï $x^2$')\n"
)


async def images(agent: Agent, code: str) -> tuple[str, list[bytes]]:
    result = await agent.client.call_tool("exec_code", {"code": code})
    text, *rest = result.content
    assert text.type == "text"
    assert not result.is_error, text.text
    found = []
    for part in rest:
        assert part.type == "image"
        assert part.mime_type == "image/png"
        found.append(base64.b64decode(part.data))
    return text.text, found


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


async def test_a_figure_is_an_image_in_the_reply_only_when_asked(agent: Agent, work: Path) -> None:
    text, shown = await images(agent, DRAW)
    assert shown == []
    assert "Warn" not in text
    text, shown = await images(agent, "fig")
    assert [size(png) for png in shown] == [(640, 480)]
    assert len(shown[0]) > 5000, "axes, labels and a line were drawn"
    _, shown = await images(agent, "show(fig); show(ax); None")
    assert len(shown) == 2
    text, shown = await images(agent, "plt.show()\nplt.get_fignums()")
    assert len(shown) == 1
    assert "=> []" in text, "what was shown is closed"
    _, shown = await images(agent, "import pandas as pd\npd.DataFrame({'a': [1, 2]}).plot()")
    assert len(shown) == 1
    _, shown = await images(agent, "1 + 1")
    assert shown == []
    for name, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        reply = await agent.call("save_variable", name="fig", path=f"a.{name}")
        assert not reply.failed, reply.text
        assert (work / f"a.{name}").read_bytes().startswith(start)
    assert "no figure" in await agent.fails("save_variable", name="ax.title", path="b.png")


async def test_images_are_bounded_in_number_and_size(agent: Agent) -> None:
    text, shown = await images(
        agent, DRAW + "for _ in range(7): show(fig)\nbig = plt.figure(figsize=(300, 300))\nNone"
    )
    assert len(shown) == 4
    assert "3 more images" in text
    _, shown = await images(agent, "show(big)")
    width, height = size(shown[0])
    assert width * height <= 2_100_000
    _, shown = await images(
        agent,
        "import numpy as np, PIL.Image\n"
        "noise = np.random.default_rng(1).integers(0, 255, (2000, 2000, 3))\n"
        "show(PIL.Image.fromarray(noise.astype('uint8')))",
    )
    assert len(shown[0]) <= 1 << 20
    reply = await agent.call("exec_code", code="show(5)")
    assert "no figure" in reply.text


async def test_figures_survive_a_restart_of_their_space(agent: Agent) -> None:
    await images(agent, DRAW + "fig")  # which opens fonts
    await agent.call("spaces", action="close")
    await agent.call("spaces", action="open", space="main")
    _, shown = await images(agent, "ax.set_xlabel('spät $y_3$ QXZ'); fig")
    assert len(shown) == 1


async def test_an_image_that_is_forged_is_no_part_of_the_reply(agent: Agent) -> None:
    code = (
        "import rlm_guest._figures as f\n"
        "f._shown += [b'<script>', b'\\x89PNG\\r\\n\\x1a\\n' + bytes(2 << 20)]\nNone"
    )
    _, shown = await images(agent, code)
    assert shown == []


async def test_the_guest_sees_the_data_of_matplotlib_and_nothing_more(agent: Agent) -> None:
    text = await agent.run(
        "import os, matplotlib\nd = matplotlib.get_data_path()\n"
        "def attempt(f):\n    try:\n        return f()\n"
        "    except OSError as e:\n        return type(e).__name__\n"
        "print(sorted(os.listdir(d))[:3], len(os.listdir(d + '/fonts/ttf')) > 20)\n"
        "print(open(d + '/matplotlibrc').readline()[:4])\n"
        "print(attempt(lambda: open(d + '/../../../etc/passwd')),"
        " attempt(lambda: open(d + '/x', 'w')),"
        " attempt(lambda: os.mkdir(d + '/y')), attempt(lambda: os.listdir(d + '/..')))\n"
    )
    assert "['fontlist-v3.11.0.json', 'fonts', 'images'] True" in text
    assert "####" in text or "#" in text
    assert "FileNotFoundError OSError OSError FileNotFoundError" in text
