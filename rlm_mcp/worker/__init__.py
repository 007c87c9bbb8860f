"""What runs in a worker process, `python -m rlm_mcp.worker`, and what it shares with the server.

Nothing is imported here: a worker starts in a fraction of a second because it loads wasmtime
and these modules only.
"""
