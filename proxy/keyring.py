"""Keyrings: making, finding, opening, exporting and importing the file with a database's root key.

The format of the file, and what a reader of it learns, is in ``keyfile``; where it lies is in
``locations``. A keyring is never overwritten, is created whole with mode 0600, and is not read
through a symbolic link nor, while its key is in clear, when other users could read it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from encdb.errors import KeyringError, err
from indexes.keys import Key
from proxy import keyfile, locations
from proxy.keyfile import (
    DATABASE_ID_BYTES,
    GENESIS_HASH_BYTES,
    MAX_FILE_BYTES,
    KdfParameters,
    KeyringInfo,
)

Passphrase = str | Callable[[], str] | None
"""A passphrase, a function that asks for one, or none given."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """An opened keyring.

    Attributes:
        root: the database's root key; every working key is derived from it.
        database_id: 16 bytes.
        genesis_hash: SHA-256 of the database's first catalog blob.
        path: the file it was read from.
        minimum_format: the oldest store format this client may accept for the database.
        protected: whether a passphrase wraps the root key.
        notices: sentences the caller should show to the user, for instance about the file's mode.
    """

    root: Key
    database_id: bytes
    genesis_hash: bytes
    path: Path
    minimum_format: int
    protected: bool
    notices: tuple[str, ...] = ()


def create(
    database_id: bytes,
    genesis_hash: bytes,
    root: Key,
    passphrase: str | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    minimum_format: int = 1,
    kdf: KdfParameters | None = None,
) -> Path:
    """Write a new keyring file and return its path.

    The file has mode 0600, appears whole or not at all, and never replaces another. Without a
    passphrase it holds the root key in clear and says so.

    Args:
        database_id: 16 bytes.
        genesis_hash: 32 bytes, SHA-256 of the first catalog blob.
        root: the database's root key.
        passphrase: wraps the root key; None leaves it in clear.
        path: where to write; else ``ENCDB_KEYRING``, else the user's configuration folder.
        minimum_format: the oldest store format this database may ever be read in.
        kdf: Argon2id costs; the default takes about 0.25 s and 64 MiB.

    Raises:
        KeyringError: the path is taken or cannot be written, or the passphrase is empty.
    """
    if len(database_id) != DATABASE_ID_BYTES or len(genesis_hash) != GENESIS_HASH_BYTES:
        raise ValueError("a database id has 16 bytes and a genesis hash 32")
    target = locations.keyring_path(database_id, path)
    cost = None if passphrase is None else kdf or KdfParameters()
    if cost is not None and not cost.is_acceptable():
        raise ValueError("these Argon2id costs lie outside the bounds that reading accepts")
    info = KeyringInfo(database_id, genesis_hash, minimum_format, passphrase is not None, cost)
    _place(target, keyfile.render(info, root, passphrase))
    return target


def has_passphrase(path: str | os.PathLike[str]) -> bool:
    """Whether opening this keyring file needs a passphrase.

    Raises:
        KeyringError: the file is missing, damaged or of a newer format.
    """
    return inspect(path).protected


def inspect(path: str | os.PathLike[str]) -> KeyringInfo:
    """Read what a keyring file says about itself, without opening it.

    Nothing here is authenticated until ``load`` has opened the file.

    Raises:
        KeyringError: the file is missing, damaged or of a newer format.
    """
    target = Path(path)
    return keyfile.parse(target, _read(target)[0]).info


def load(
    database_id: bytes | None,
    path: str | os.PathLike[str] | None = None,
    passphrase: Passphrase = None,
) -> Keyring:
    """Open the keyring of a database.

    Args:
        database_id: 16 bytes; the file must be this database's. None, with a path, accepts any.
        path: the file; else ``ENCDB_KEYRING``, else the user's configuration folder.
        passphrase: a string, or a function that asks for one. The function is called only if the
            file needs a passphrase and ``ENCDB_PASSPHRASE`` has none. Ignored for a clear keyring.

    Raises:
        KeyringError: the file is missing, damaged, of a newer format, another database's, readable
            by others while it holds a clear key, or the passphrase is missing or wrong.
    """
    if path is None and database_id is None:
        raise ValueError("either the database id or the path must be given")
    target = locations.keyring_path(database_id or b"", path)
    content, mode = _read(target)
    file = keyfile.parse(target, content)
    if database_id is not None and file.info.database_id != database_id:
        raise err(
            KeyringError,
            "E_KEYRING_OTHER_DATABASE",
            f"The keyring {target} belongs to database {file.info.database_id.hex()}, "
            f"not to {database_id.hex()}",
        )
    notices = _check_exposure(target, mode, file.info.protected)
    root = _open(target, file, passphrase)
    info = file.info
    return Keyring(
        root,
        info.database_id,
        info.genesis_hash,
        target,
        info.minimum_format,
        info.protected,
        notices,
    )


def export_keyring(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    passphrase: Passphrase = None,
    new_passphrase: str | None = None,
) -> Path:
    """Copy a keyring to a new file, for safe keeping or for another machine.

    Without ``new_passphrase`` the copy is the same file: wrapped as it was, or in clear if it was in
    clear. With one, the root key is wrapped afresh; ``passphrase`` then opens the source.

    Raises:
        KeyringError: the source cannot be read or opened, or the destination exists.
    """
    origin, target = Path(source), Path(destination).expanduser()
    content, _ = _read(origin)
    file = keyfile.parse(origin, content)
    if new_passphrase is not None:
        root = _open(origin, file, passphrase)
        old = file.info
        cost = old.kdf or KdfParameters()
        info = KeyringInfo(old.database_id, old.genesis_hash, old.minimum_format, True, cost)
        content = keyfile.render(info, root, new_passphrase)
    _place(target, content)
    return target


def import_keyring(
    source: str | os.PathLike[str],
    path: str | os.PathLike[str] | None = None,
    *,
    database_id: bytes | None = None,
    passphrase: Passphrase = None,
) -> Path:
    """Place a keyring file where ``load`` finds it; return that path.

    The file is checked; if it needs a passphrase and one is given it is opened too. Importing the same
    file twice is harmless; a different one is never overwritten.

    Args:
        source: the file to import.
        path: where to place it; by default the user's configuration folder.
        database_id: if given, the file must belong to this database.
        passphrase: if given, the file must open with it.

    Raises:
        KeyringError: the file is missing, damaged, of a newer format or another database's, or a
            different keyring is there already.
    """
    origin = Path(source).expanduser()
    content, _ = _read(origin)
    file = keyfile.parse(origin, content)
    if database_id is not None and file.info.database_id != database_id:
        raise err(
            KeyringError,
            "E_KEYRING_OTHER_DATABASE",
            f"The keyring {origin} belongs to database {file.info.database_id.hex()}, "
            f"not to {database_id.hex()}",
        )
    if passphrase is not None or not file.info.protected:
        _open(origin, file, passphrase)
    if path is None:
        target = locations.default_keyring_path(file.info.database_id)
    else:
        target = Path(path).expanduser()
    if target.exists() and hmac.compare_digest(_read(target)[0], content):
        return target
    _place(target, content)
    return target


def _open(path: Path, file: keyfile.KeyringFile, passphrase: Passphrase) -> Key:
    """The root key of a parsed file; asks for the passphrase only if it needs one."""
    if not file.info.protected:
        return Key(file.root)
    given = passphrase if isinstance(passphrase, str) else locations.environment_passphrase()
    if given is None and callable(passphrase):
        given = passphrase()
    if given is None:
        raise err(KeyringError, "E_PASSPHRASE_MISSING", f"The keyring {path} needs its passphrase")
    return keyfile.unwrap(path, file, given)


def _read(path: Path) -> tuple[bytes, int]:
    """The bytes and mode of a keyring file."""
    try:
        return locations.read_private(path, MAX_FILE_BYTES)
    except FileNotFoundError:
        raise err(KeyringError, "E_KEYRING_MISSING", f"There is no keyring at {path}") from None
    except ValueError:
        raise keyfile.damaged(path) from None
    except OSError as error:
        if path.is_symlink():
            raise err(
                KeyringError, "E_KEYRING_EXPOSED", f"The keyring {path} is a symbolic link"
            ) from None
        reason = error.strerror or "input/output error"
        raise err(
            KeyringError, "E_KEYRING_FILE", f"The keyring {path} cannot be read: {reason}"
        ) from None


def _place(path: Path, content: bytes) -> None:
    """Create a keyring file; never overwrite one."""
    try:
        locations.make_folder(path.parent)
        if locations.folder_is_open(path.parent):
            raise err(
                KeyringError,
                "E_KEYRING_EXPOSED",
                f"Other users may replace files in the folder {path.parent}",
                f"Run chmod go-w {path.parent}",
            )
        locations.create_private(path, content)
    except FileExistsError:
        raise err(
            KeyringError, "E_KEYRING_EXISTS", f"There is a keyring at {path} already"
        ) from None
    except OSError as error:
        reason = error.strerror or "input/output error"
        raise err(
            KeyringError, "E_KEYRING_FILE", f"The keyring {path} cannot be written: {reason}"
        ) from None


def _check_exposure(path: Path, mode: int, protected: bool) -> tuple[str, ...]:
    """Refuse a clear key that others can read; return a notice about a wrapped one."""
    if not locations.is_exposed(mode):
        return ()
    if protected:
        return (f"Other users may read or write the keyring {path}. Run chmod 600 {path}",)
    raise err(
        KeyringError,
        "E_KEYRING_EXPOSED",
        f"The keyring {path} holds its key in clear and other users may read or write it",
        f"Run chmod 600 {path}",
    )
