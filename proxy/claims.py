"""Rights on a table that the store grants to one connection at a time, to spare others work.

A merge claim keeps two connections from building the same merge. A write claim makes the commits of
others wait while a change that needs the table to stand still, such as a new index, is built among busy
writers. Claims are a courtesy of the store, which is not trusted: what they spare is work, and what they
protect is checked again by the commit. A claim that is not renewed ends by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from encdb import wire
from encdb.errors import ConflictError, EncdbError, err
from encdb.stores.base import Store

CLAIM_SECONDS = 15
"""A merge or held change that died stands in nobody's way for longer."""
PATIENCE_SECONDS = 60.0
FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.2


class Claims:
    """The claims of one connection.

    Attributes:
        holder: 16 random bytes, under which this connection claims and commits.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.holder = os.urandom(16)
        self._held: dict[tuple[int, wire.ClaimKind], float] = {}

    def take(self, table: int, kind: wire.ClaimKind) -> bool:
        """Whether the store grants a claim, for :data:`CLAIM_SECONDS` from now on."""
        request = wire.Claim(table, kind, self.holder, CLAIM_SECONDS)
        granted = wire.verified(self._store.claim(request), wire.Claimed).granted
        if granted:
            self._held[table, kind] = time.monotonic()
        return granted

    def renew(self) -> None:
        """Ask for more time for what is held, once a third of it has passed."""
        for (table, kind), since in list(self._held.items()):
            if time.monotonic() - since > CLAIM_SECONDS / 3:
                self.take(table, kind)

    def release(self, table: int, kind: wire.ClaimKind) -> None:
        """Give a claim back, if it is held; a store that fails now lets it end by itself."""
        if self._held.pop((table, kind), None) is None:
            return
        try:
            self._store.claim(wire.Claim(table, kind, self.holder, 0))
        except EncdbError:
            return

    @contextmanager
    def merging(self, table: int, patience: float = 0.0) -> Iterator[bool]:
        """The right to merge a table for the length of a block; False when another has it.

        Args:
            table: the table's id.
            patience: seconds to wait for it.
        """
        pauses = Pauses(patience)
        granted = self.take(table, "merge")
        while not granted and pauses.pause():
            granted = self.take(table, "merge")
        try:
            yield granted
        finally:
            self.release(table, "merge")

    @contextmanager
    def holding(self) -> Iterator[Callable[[Iterable[int]], None]]:
        """A function that claims the writes of tables until the end of the block, if they can be had.

        It asks in the order of the tables and ends at the first that another connection has: two that each
        held what the other one lacks would keep each other waiting.
        """
        held: set[int] = set()

        def hold(tables: Iterable[int]) -> None:
            for table in sorted(tables):
                if not self.take(table, "write"):
                    return
                held.add(table)

        try:
            yield hold
        finally:
            for table in held:
                self.release(table, "write")


class Pauses:
    """Longer and longer pauses, up to a number of seconds in all."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._next = FIRST_PAUSE

    def pause(self) -> bool:
        """Wait a moment; False, at once, when the time is over."""
        left = self._until - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(self._next, left))
        self._next = min(2 * self._next, LONGEST_PAUSE)
        return True


def commit_patiently(store: Store, commit: wire.Commit, pauses: Pauses) -> object:
    """The answer to a commit, which is sent again for as long as another's write claim holds it up.

    Nothing was written then, and nothing has to be built anew before something was.
    """
    answer: object = store.commit(commit)
    while _is_held(answer) and pauses.pause():
        answer = store.commit(commit)
    return answer


def require_free(answer: object) -> None:
    """Give up on a commit that was held up until the last.

    Raises:
        ConflictError: it has been held up for :data:`PATIENCE_SECONDS`.
    """
    if _is_held(answer):
        raise err(
            ConflictError, "E_CONFLICT", "another connection kept the table from being written"
        )


def _is_held(answer: object) -> bool:
    return isinstance(answer, wire.Stale) and answer.what == "held"
