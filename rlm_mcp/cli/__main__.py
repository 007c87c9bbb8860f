"""The command without its script: `python -m rlm_mcp.cli`."""

from ._main import main

main(prog_name="rlm-mcp")
