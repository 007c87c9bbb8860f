import pytest
from .conftest import Agent
pytestmark=[pytest.mark.anyio]
@pytest.mark.parametrize("n", range(20))
async def test_one(agent: Agent, n: int) -> None:
    assert "=> 2" in await agent.run("1 + 1")
@pytest.mark.parametrize("n", range(1))
async def test_none(n: int) -> None:
    pass
