"""Read ahead: the next items are made in a thread while the caller works on this one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_END = object()


@contextmanager
def ahead(items: Iterable[T], count: int = 2) -> Iterator[Iterator[T]]:
    """The same items in the same order, up to `count` of them made before they are asked for.

    What making an item raises is raised where the item is asked for. Leaving the context stops
    the thread once the item that it is at is made.
    """
    source = iter(items)
    with ThreadPoolExecutor(1, "read ahead") as reader:
        coming = deque(reader.submit(next, source, _END) for _ in range(count))

        def made() -> Iterator[T]:
            while (item := coming.popleft().result()) is not _END:
                coming.append(reader.submit(next, source, _END))
                yield item  # type: ignore[misc]

        try:
            yield made()
        finally:
            reader.shutdown(wait=False, cancel_futures=True)
