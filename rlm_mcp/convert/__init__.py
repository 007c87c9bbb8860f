"""A helper process for formats that the guest has no parser for: `python -m rlm_mcp.convert`.

It lives for one file, holds two descriptors and nothing else, and gives up every right before it
looks at a byte of the file.
"""
