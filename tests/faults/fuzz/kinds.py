"""All kinds of input, by name."""

from tests.faults.fuzz import text_kinds

KINDS = text_kinds.KINDS
