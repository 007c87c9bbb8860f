"""Trajectories: what happened in spaces, recorded as trees of spans and handed to collectors."""

from ._otel import Exporter, open_exporter, wanted
from ._recorded import Recorded
from ._recorder import NOTHING, Recorder, Span
from ._text import FIELD_CHARS
from ._tree import Node, export_line, read_trees, spans_of
from ._words import TEXTS, facts_of, label_of, spent_texts, title_of

__all__ = [
    "FIELD_CHARS",
    "NOTHING",
    "TEXTS",
    "Exporter",
    "Node",
    "Recorded",
    "Recorder",
    "Span",
    "export_line",
    "facts_of",
    "label_of",
    "open_exporter",
    "read_trees",
    "spans_of",
    "spent_texts",
    "title_of",
    "wanted",
]
