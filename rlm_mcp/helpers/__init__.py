"""Short-lived processes that parse untrusted data outside of a guest, locked down as workers are.

`_process` starts one and bounds it; a module such as `symbols` is what runs in it, by `_serve`.
Nothing is imported here: a helper starts in a tenth of a second because it loads its parser and
little else.
"""
