"""All kinds of input, by name."""

from tests.faults.fuzz import grid_file_kinds, grid_store_kinds, run_kinds, store_kinds, text_kinds

KINDS = (
    text_kinds.KINDS
    | grid_file_kinds.KINDS
    | grid_store_kinds.KINDS
    | store_kinds.KINDS
    | run_kinds.KINDS
)
