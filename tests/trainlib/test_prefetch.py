"""What a thread makes ahead: the same items, never more than asked for, and a clean end."""

import threading

import pytest

from trainlib.training.prefetch import Prefetcher

WAIT_S = 20.0


def is_thread_left() -> bool:
    return any(thread.name == "prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("depth", [1, 3])
def test_items_come_in_order_and_end(depth):
    prefetcher = Prefetcher(range(50), depth)
    assert list(prefetcher) == list(range(50))
    assert list(prefetcher) == []
    prefetcher.close()
    assert not is_thread_left()


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_as_many_as_asked_for_are_made_in_advance_and_no_more(depth):
    made, used, advance = 0, 0, []
    changed = threading.Condition()

    def items():
        nonlocal made
        while True:
            with changed:
                made += 1
                advance.append(made - used)
                changed.notify()
            yield made

    def is_far_ahead():
        return made >= used + depth

    prefetcher = Prefetcher(items(), depth)
    try:
        for _ in range(300):
            with changed:  # it gets as far ahead as it may before the next is used
                assert changed.wait_for(is_far_ahead, WAIT_S)
                used += 1
            assert next(prefetcher) == used
    finally:
        prefetcher.close()
    assert max(advance) == depth
    left = made
    assert not is_thread_left()
    assert made == left


def test_an_error_is_raised_in_the_place_of_its_item_and_again_after_it():
    def items():
        yield 1
        yield 2
        raise ValueError("the third cannot be made")

    prefetcher = Prefetcher(items(), 2)
    assert [next(prefetcher), next(prefetcher)] == [1, 2]
    for _ in range(2):
        with pytest.raises(ValueError, match="the third cannot be made"):
            next(prefetcher)
    prefetcher.close()
    assert not is_thread_left()


def test_closing_waits_for_the_item_in_the_making_and_makes_no_other():
    begun, may_end, made = threading.Event(), threading.Event(), []

    def items():
        while True:
            begun.set()
            assert may_end.wait(WAIT_S)
            made.append(1)
            yield 1

    prefetcher = Prefetcher(items(), 5)
    assert begun.wait(WAIT_S)
    threading.Timer(0.05, may_end.set).start()
    prefetcher.close()
    assert not is_thread_left()
    assert len(made) <= 5
    prefetcher.close()  # harmless when done again


def test_a_thread_that_does_not_end_is_left_behind_with_a_word(monkeypatch, caplog):
    monkeypatch.setattr("trainlib.training.prefetch._FAREWELL_S", 0.05)
    begun, may_end = threading.Event(), threading.Event()

    def items():
        begun.set()
        may_end.wait(WAIT_S)
        yield 1

    prefetcher = Prefetcher(items(), 1)
    assert begun.wait(WAIT_S)
    prefetcher.close()
    assert "left behind" in caplog.text
    may_end.set()


def test_nothing_made_in_time_is_told(monkeypatch):
    monkeypatch.setattr("trainlib.training.prefetch._PATIENCE_S", 0.05)
    may_end = threading.Event()

    def items():
        may_end.wait(WAIT_S)
        yield 1

    prefetcher = Prefetcher(items(), 1)
    with pytest.raises(RuntimeError, match="nothing was made within 0.05 s"):
        next(prefetcher)
    may_end.set()
    prefetcher.close()
