"""Compiling looks for no garbage, and leaves the collector as it was."""

import gc

import numba
import numpy as np
import pytest

from simlib.jit import njit


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_collector_is_off_while_something_is_compiled(is_enabled):
    seen = []

    def told(value):
        raise NotImplementedError  # only compiled code calls it

    @numba.extending.overload(told)
    def look(value):  # runs while types are found
        seen.append(gc.isenabled())
        return lambda value: value + 1.0

    @njit()
    def inner(value):
        return told(value)

    @njit()
    def outer(value):
        return inner(value)

    gc.enable() if is_enabled else gc.disable()
    try:
        assert outer(np.float32(2.0)) == 3.0
        assert gc.isenabled() is is_enabled
    finally:
        gc.enable()
    assert seen and not any(seen)


def test_a_failure_leaves_it_as_it_was():
    @njit()
    def wrong(value):
        return value.no_such_thing

    with pytest.raises(numba.core.errors.TypingError):
        wrong(1.0)
    assert gc.isenabled()
