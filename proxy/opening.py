"""Making and opening databases: store, keyring and pin together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from encdb import wire
from encdb.errors import FormatError, err
from encdb.stores import create_store, open_store
from encdb.stores.base import Store
from encdb.trace import Recorder
from indexes.keys import Key

from . import catalog as schema
from . import checkpoint
from . import keyring as keyrings
from .keyspace import CatalogSealer, sha256
from .locations import pin_path
from .pin import Pin, PinState
from .session import Session
from .snapshot import seal_catalog

IDENTITY_BYTES = 16


@dataclass(frozen=True, slots=True)
class InitReport:
    """What :func:`create` made.

    Attributes:
        url: where the store is, without credentials.
        database_id: 16 bytes, the database's identity.
        keyring_path: where the only copy of the key is.
        protected: whether a passphrase protects it.
    """

    url: str
    database_id: bytes
    keyring_path: Path
    protected: bool


def create(
    url: str, keyring: str | os.PathLike[str] | None = None, passphrase: str | None = None
) -> InitReport:
    """Make an empty database and its keyring.

    The keyring is made first and removed again when the store cannot be made, so a store without a
    key never exists.
    """
    database, incarnation = os.urandom(IDENTITY_BYTES), os.urandom(IDENTITY_BYTES)
    root = Key.random()
    blob = seal_catalog(CatalogSealer(root, database), schema.Catalog(incarnation=incarnation))
    link = sha256(blob)
    path = keyrings.create(database, link, root, passphrase, keyring)
    try:
        made = create_store(
            url,
            wire.Genesis(
                database=database,
                incarnation=incarnation,
                format=wire.FORMAT_VERSION,
                catalog=blob,
                link=link,
            ),
        )
        made.close()
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return InitReport(made.url, database, path, passphrase is not None)


def open_session(
    url: str,
    keyring: str | os.PathLike[str] | None = None,
    passphrase: keyrings.Passphrase = None,
    *,
    pin: bool = True,
    expect: str | None = None,
    record: bool = False,
) -> Session:
    """Open a database.

    Args:
        url: the store, as a path or URL.
        keyring: the keyring file; by default found by the database's identity.
        passphrase: the passphrase, or a function that asks for it when one is needed.
        pin: remember the last state seen, and refuse an older one.
        expect: a checkpoint, which the store has to continue; with a pin it is remembered.
        record: keep a trace of every message to the store in ``Session.trace``.
    """
    store: Store = open_store(url)
    recorder: Recorder | None = None
    try:
        if record:
            store = recorder = Recorder(store)
        database = identity_of(store)
        opened = keyrings.load(database, keyring, passphrase)
        check_format(opened.minimum_format)
        memory = load_pin(opened, database) if pin else None
        if expect is not None:
            memory = expecting(memory, checkpoint.open_checkpoint(expect, opened.root, database))
        session = Session(store, opened.root, database, opened.genesis_hash, memory, recorder)
        session.notices = opened.notices
        if expect is not None:
            # What it demands of tables that no statement asks about counts too.
            with session.reading(everything=True):
                pass
    except BaseException:
        store.close()
        raise
    return session


def load_pin(opened: keyrings.Keyring, database: bytes) -> Pin:
    """The pin beside a keyring."""
    return Pin.load(pin_path(opened.path, database), opened.root.derive("pin"))


def expecting(memory: Pin | None, expected: PinState) -> Pin:
    """A pin that holds what a checkpoint demands.

    Raises:
        TamperError: the checkpoint is of another history than the pin (``E_FORK``, ``E_INCARNATION``).
    """
    if memory is None:
        return checkpoint.UnsavedPin(expected)
    memory.advance(expected)
    return memory


def check_format(minimum: int) -> None:
    """FormatError when a keyring asks for a newer storage format than this version knows."""
    if minimum > wire.FORMAT_VERSION:
        raise err(FormatError, "E_FORMAT_NEWER", f"the keyring asks for format {minimum} or newer")


def identity_of(store: Store) -> bytes:
    """The identity that a store claims; it is believed only as far as the right keyring opens it."""
    with store.snapshot() as snapshot:
        heads = snapshot.read(wire.ReadHeads(wire.NO_CATALOG, (), if_changed=False))
    return wire.verified(heads, wire.Heads).database
