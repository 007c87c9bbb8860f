"""rlm-mcp: a persistent, transactional variable space for coding agents, over MCP."""

__version__ = "0.1.0"

__all__ = ["__version__"]
