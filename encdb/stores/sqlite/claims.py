"""Claims: rights that one client at a time has on a table, until a deadline.

They spare work and promise nothing, so they are neither sealed nor verified. A store made before there
were claims gets their relation with the first connection that writes.
"""

from __future__ import annotations

import sqlite3
import time

from encdb import wire

from . import schema
from .writing import transaction


def prepare(connection: sqlite3.Connection) -> None:
    """Make the relation where it is missing."""
    there = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'claims'"
    if connection.execute(there).fetchone() is None:
        with transaction(connection):
            if connection.execute(there).fetchone() is None:
                connection.execute(schema.create_shared_relation("claims"))


def claim(connection: sqlite3.Connection, request: wire.Claim) -> wire.Claimed:
    """Grant a claim unless somebody else holds it and its deadline has not passed."""
    now = int(time.time())
    address = (request.table, request.kind)
    with transaction(connection):
        row = connection.execute(
            "SELECT holder, deadline FROM claims WHERE tbl = ? AND kind = ?", address
        ).fetchone()
        free = row is None or row[0] == request.holder or row[1] <= now
        if request.seconds == 0:
            if row is not None and row[0] == request.holder:
                connection.execute("DELETE FROM claims WHERE tbl = ? AND kind = ?", address)
            return wire.Claimed(granted=True)
        if free:
            connection.execute(
                "INSERT OR REPLACE INTO claims (tbl, kind, holder, deadline) VALUES (?, ?, ?, ?)",
                (*address, request.holder, now + request.seconds),
            )
    return wire.Claimed(granted=free)
