"""Amounts as a person reads them."""


def counted(count: int, one: str, more: str = "") -> str:
    """Return how many there are of something; more: its plural, where that is not with an s."""
    return f"{count:,} {one if count == 1 else more or f'{one}s'}"


def size_text(count: float) -> str:
    """Return bytes as a person reads them."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def time_text(seconds: float) -> str:
    """Return a time as a person reads it."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{max(seconds, 1.0):.3g} s"
