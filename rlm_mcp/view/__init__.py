"""Looking at what happened in spaces, in a browser or as a file; no store is ever written to.

Everything shown may be an attacker's: it is put into pages as text, never as markup.
"""

from ._file import write_file
from ._home import check_space
from ._serve import serve_view

__all__ = ["check_space", "serve_view", "write_file"]
