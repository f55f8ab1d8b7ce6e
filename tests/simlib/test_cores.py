"""Work shared among cores: in order, with products on one thread each, and never shared twice."""

import threading

import numpy as np
import pytest

from simlib import cores

PARTS = 7


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")


def threads_of_products() -> list[int]:
    return [get() for get, _ in cores._libraries()]


def test_what_is_made_comes_in_the_order_of_the_parts():
    assert list(cores.on_cores(lambda part: part**2, range(PARTS))) == [n**2 for n in range(PARTS)]
    assert list(cores.on_cores(str, [])) == [] and list(cores.on_cores(str, [1])) == ["1"]


def test_as_many_parts_run_at_once_as_there_are_threads_and_share_no_further():
    both = threading.Barrier(2, timeout=20.0)

    def part(_: int) -> tuple[int, int, int]:
        both.wait()  # nobody comes by alone
        inner = set(cores.on_cores(lambda _: threading.get_ident(), range(4)))
        return threading.get_ident(), cores.threads(), len(inner)

    found = list(cores.on_cores(part, range(4)))
    assert cores.threads() == 2
    assert [one[1:] for one in found] == [(1, 1)] * 4
    assert threading.get_ident() not in {one[0] for one in found}


def test_products_within_a_part_stay_on_its_thread_and_are_as_before_afterwards():
    libraries, before = cores._libraries(), threads_of_products()
    if not libraries:
        pytest.skip("products here are not OpenBLAS's")
    try:
        for _, put in libraries:
            put(2)
        within = list(cores.on_cores(lambda _: threads_of_products(), range(PARTS)))
        assert within == [[1] * len(libraries)] * PARTS
        assert threads_of_products() == [2] * len(libraries)
        with pytest.raises(ZeroDivisionError):
            list(cores.on_cores(lambda part: 1 // part, range(PARTS)))
        assert threads_of_products() == [2] * len(libraries) and cores.threads() == 2
    finally:
        for (_, put), count in zip(libraries, before, strict=True):
            put(count)


def test_numbers_are_those_of_the_parts_alone():
    given = np.random.default_rng(0).standard_normal((PARTS, 64, 64)).astype(np.float32)
    together = list(cores.on_cores(lambda part: part @ part.T, given))
    assert all(np.array_equal(made, part @ part.T) for made, part in
               zip(together, given, strict=True))  # fmt: skip
