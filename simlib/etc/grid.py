"""The grid of terms over observing conditions, all its verbs in one place.

Made in `grid_build`, kept in `terms_store`, brought to a condition in `grid_interpolate`, measured
against direct evaluation in `grid_check`.
"""

from simlib.etc.grid_build import build_terms_grid, terms_fingerprint
from simlib.etc.grid_check import check_terms_grid
from simlib.etc.grid_interpolate import interpolate_terms
from simlib.etc.terms_store import (
    ensure_terms_grid,
    is_published,
    open_terms_grid,
    publish_terms_grid,
    terms_folder,
)

__all__ = [
    "build_terms_grid",
    "check_terms_grid",
    "ensure_terms_grid",
    "interpolate_terms",
    "is_published",
    "open_terms_grid",
    "publish_terms_grid",
    "terms_fingerprint",
    "terms_folder",
]
