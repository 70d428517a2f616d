"""A trace of one statement, on a connection that keeps none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

from encdb.stores.base import Store, StoreSnapshot
from encdb.trace import Recorder


class _Held:
    """A store of which nothing is used but a snapshot that is open already."""

    def __init__(self, snapshot: StoreSnapshot) -> None:
        self._snapshot = snapshot

    @contextmanager
    def snapshot(self) -> Iterator[StoreSnapshot]:
        """The snapshot; it stays open."""
        yield self._snapshot


def recorder_of(snapshot: StoreSnapshot) -> Recorder:
    """A recorder whose snapshot records what is read of an open one."""
    return Recorder(cast("Store", _Held(snapshot)))
