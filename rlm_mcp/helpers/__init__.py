"""Short-lived processes for untrusted data outside of guests, locked down as workers are.

What runs in one is a module named without an underscore: `symbols` parses code, `parse` documents
whose parsers are far too slow in guests, `convert` reads and writes formats that they have none
for, `embed` makes vectors of texts, `search` becomes the search program, `count` counts lines.
`_process` is the server's side: it starts, feeds, bounds and ends one. `_inside` is the helper's:
it gives up its rights before it looks at a byte.

Nothing is imported here: a helper starts in a tenth of a second because it loads its parser and
little else.
"""
