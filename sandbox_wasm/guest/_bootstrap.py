# Run as a turn: makes the package `rlm_guest` from the sources that the host hands in, imports
# what every space should find imported, and reports the addresses that `_loop.install` returns.
# It is also run over a space that an older version made, so it replaces what it finds.


def _bootstrap():
    import importlib.abc
    import importlib.util
    import json
    import sys

    import _host

    request = json.loads(_host.call(b"N"))
    sources = request["sources"]

    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        """Finds the modules of the package in the sources."""

        def find_spec(self, name, path=None, target=None):
            if name in sources:
                package = name == "rlm_guest"
                return importlib.util.spec_from_loader(name, self, is_package=package)
            return None

        def exec_module(self, module):
            name = module.__name__
            code = compile(sources[name], f"<{name}>", "exec", dont_inherit=True)
            exec(code, module.__dict__)  # noqa: S102 - the project's own sources

    for name in [n for n in sys.modules if n == "rlm_guest" or n.startswith("rlm_guest.")]:
        del sys.modules[name]
    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        # It tells matplotlib where its data are, which is one of the libraries.
        importlib.import_module("rlm_guest._figures").prepare()
        for library in request["libraries"]:
            importlib.import_module(library)
            _host.call(b"P" + library.encode())
        loop = importlib.import_module("rlm_guest._loop")
    finally:
        sys.meta_path.remove(finder)
    _host.call(b"R" + json.dumps(loop.install(first=bool(request["libraries"]))).encode())


_bootstrap()
del _bootstrap
