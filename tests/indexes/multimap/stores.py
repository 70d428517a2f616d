"""A store of sealed pages in memory that counts reads and can be made to misbehave."""

from __future__ import annotations

from collections.abc import Callable

from indexes.multimap.segment import BuiltSegment


class PageStore:
    """Pages of one segment; `reads` holds the numbers of every call."""

    def __init__(self, built: BuiltSegment) -> None:
        self.pages = dict(built.pages)
        self.reads: list[list[int]] = []
        self.answer: Callable[[list[int]], list[bytes]] | None = None

    def read(self, numbers: list[int]) -> list[bytes]:
        assert numbers == sorted(set(numbers))
        self.reads.append(numbers)
        if self.answer is not None:
            return self.answer(numbers)
        return [self.pages[number] for number in numbers]
