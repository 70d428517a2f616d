"""Accepting a restored backup: replacing the pin, once, by what a store serves now.

To a client, a store that was put back from a backup is the same as one that cheats. Only the user knows, so the user
is shown what the pin has seen and what the store serves. The store must be this database's and hold together in
itself, every record and page of it; what cannot be checked is that it is the newest state, which is the point.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from encdb.errors import TamperError, err
from encdb.stores import open_store
from encdb.stores.base import Store

from . import checkpoint
from . import keyring as keyrings
from .check import check
from .opening import check_format, identity_of, load_pin
from .pin import Pin
from .pinned import PinState, TablePin, merge
from .session import Session

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """What the pin has seen of one thing, and what the store serves of it.

    Attributes:
        what: ``catalog`` or a table, by name where the store still has it.
        seen: version or epoch that the pin holds, None for nothing.
        served: version or epoch that the store serves, None for nothing.
        note: what it means; empty when nothing that was seen is missing.
    """

    what: str
    seen: int | None
    served: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """A store that holds together in itself, beside the pin.

    Attributes:
        pin: the pin as it is.
        served: what the store serves, verified.
        refusal: why the pin refuses it; None when there is nothing to accept.
        differences: one entry for the catalog and for each table.
        notices: what the keyring has to say.
    """

    pin: Pin
    served: PinState
    refusal: TamperError | None
    differences: tuple[Difference, ...]
    notices: tuple[str, ...]

    def accept(self) -> None:
        """Replace the pin by what the store serves.

        Raises:
            KeyringError: the pin cannot be written.
        """
        self.pin.accept(self.served)


def inspect(
    url: str,
    keyring: str | os.PathLike[str] | None = None,
    passphrase: keyrings.Passphrase = None,
    *,
    expect: str | None = None,
    progress: Progress | None = None,
) -> Inspection:
    """Check a whole store without the pin, and compare it with the pin. Nothing is changed.

    Args:
        url: the store.
        keyring: as for ``opening.open_session``.
        passphrase: the same.
        expect: a checkpoint that the store has to continue all the same.
        progress: is told how far the check is.

    Raises:
        TamperError: the store does not verify in itself, or does not continue the checkpoint.
        KeyringError: the keyring is missing, locked or another database's.
    """
    with closing(open_store(url)) as store:
        database = identity_of(store)
        opened = keyrings.load(database, keyring, passphrase)
        check_format(opened.minimum_format)
        pin = load_pin(opened, database)
        demanded = None
        if expect is not None:
            state = checkpoint.open_checkpoint(expect, opened.root, database)
            demanded = checkpoint.UnsavedPin(state)
        session = Session(store, opened.root, database, opened.genesis_hash, demanded)
        report = check(session, progress)
        if not report.ok:
            raise err(TamperError, "E_TAMPERED", report.problems[0])
        assert session.database.catalog is not None
        names = {table.id: table.name for table in session.database.catalog.tables}
        served = session.database.pin()
        return Inspection(
            pin=pin,
            served=served,
            refusal=_refusal(store, opened, database, pin),
            differences=tuple(_differences(pin.state, served, names)),
            notices=opened.notices,
        )


def _refusal(
    store: Store, opened: keyrings.Keyring, database: bytes, pin: Pin
) -> TamperError | None:
    """What a client with the pin makes of the store."""
    session = Session(store, opened.root, database, opened.genesis_hash, pin)
    try:
        with session.reading(everything=True):
            if pin.state is not None:
                merge(pin.state, session.database.pin())
    except TamperError as refusal:
        return refusal
    return None


def _differences(
    seen: PinState | None, served: PinState, names: dict[int, str]
) -> list[Difference]:
    version = seen.catalog_version if seen is not None else None
    note = ""
    if seen is not None:
        if seen.incarnation != served.incarnation:
            note = "another incarnation"
        elif (older := seen.catalog_version - served.catalog_version) > 0:
            note = f"{_many(older, 'schema change')} missing"
        elif older == 0 and seen.catalog_hash != served.catalog_hash:
            note = "another history"
    found = [Difference("catalog", version, served.catalog_version, note)]
    before = dict(seen.tables) if seen is not None else {}
    for table in sorted(before.keys() | served.tables.keys(), key=lambda one: names.get(one, "")):
        old, new = before.get(table), served.tables.get(table)
        name = f'table "{names[table]}"' if table in names else f"a table (number {table})"
        found.append(
            Difference(
                name,
                old.epoch if old is not None else None,
                new.epoch if new is not None else None,
                _table_note(old, new),
            )
        )
    return found


def _table_note(old: TablePin | None, new: TablePin | None) -> str:
    if old is None:
        return "not seen before"
    if new is None:
        return "not there"
    if new.epoch < old.epoch:
        return f"{_many(old.epoch - new.epoch, 'merge')} missing"
    if new.epoch == old.epoch and new.chain != old.chain:
        return "another history"
    missing = 0
    for writer, (number, link) in old.frontier.items():
        position = new.frontier.get(writer, (new.folded.get(writer, 0), link))
        if position[0] == number and position[1] != link:
            return "another history"
        missing += max(number - position[0], 0)
    return f"{_many(missing, 'change')} missing" if missing else ""


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
