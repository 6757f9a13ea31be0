"""Reading ahead changes nothing but when items are made."""

from __future__ import annotations

import itertools
import threading

import pytest

from mfp.data.prefetch import ahead


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_same_items_in_the_same_order(size: int, count: int):
    with ahead(range(size), count) as items:
        assert list(items) == list(range(size))


def test_items_are_made_before_they_are_asked_for_and_no_more_than_that():
    made: list[int] = []
    third = threading.Event()

    def making():
        for i in itertools.count():
            made.append(i)
            if i == 2:
                third.set()
            yield i

    with ahead(making(), 2) as items:
        assert next(items) == 0
        assert third.wait(10)
        threading.Event().wait(0.05)  # time enough to make one too many
        assert made == [0, 1, 2]
    assert made == [0, 1, 2]


def test_an_error_is_raised_where_its_item_is_asked_for():
    with ahead((1 // (2 - i) for i in range(5)), 2) as items:
        assert [next(items), next(items)] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            next(items)


def test_the_thread_stops_with_the_context():
    def threads() -> int:
        return sum(thread.name.startswith("read ahead") for thread in threading.enumerate())

    def interrupted():
        with ahead(itertools.count()) as items:
            next(items)
            assert threads() == 1
            raise KeyboardInterrupt

    assert threads() == 0
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threads() == 0
