"""Where a user's key material lies, and how files of that kind are read and written safely.

A keyring is looked for in this order: the path the caller gave (``--keyring``), the path in
``ENCDB_KEYRING``, and ``<database id>.keyring`` in the user's configuration folder. The pin of a
database lies beside its keyring as ``<database id>.pin``.

The configuration folder follows the platform (``platformdirs``; the XDG base directories on Linux).
File names reveal the database id to whoever can list the folder; they reveal no key.

Files are written whole under a temporary name, flushed to the disk and only then given their name,
with mode 0600. A crash leaves the old file or the new one, never half of one. Symbolic links are
refused as the last part of a path, because whoever can plant one chooses what is read or written.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

KEYRING_VARIABLE = "ENCDB_KEYRING"
PASSPHRASE_VARIABLE = "ENCDB_PASSPHRASE"  # noqa: S105 - a name, not a passphrase

KEYRING_SUFFIX = ".keyring"
PIN_SUFFIX = ".pin"

_FILE_MODE = 0o600
_FOLDER_MODE = 0o700
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def configuration_folder() -> Path:
    """The user's encdb folder, which need not exist yet; ``~/.config/encdb`` on Linux."""
    # platformdirs is imported here because `import encdb` must stay cheap.
    from platformdirs import user_config_path

    return user_config_path("encdb", appauthor=False)


def default_keyring_path(database_id: bytes) -> Path:
    """The keyring of a database in the configuration folder, whatever the environment says."""
    return configuration_folder() / f"{database_id.hex()}{KEYRING_SUFFIX}"


def keyring_path(database_id: bytes, given: str | os.PathLike[str] | None = None) -> Path:
    """The one path at which this database's keyring is looked for or created.

    An explicit path wins over ``ENCDB_KEYRING``, which wins over the configuration folder. A
    leading ``~`` is the home folder. An empty variable counts as unset.
    """
    if given is not None:
        return Path(given).expanduser()
    named = os.environ.get(KEYRING_VARIABLE)
    if named:
        return Path(named).expanduser()
    return default_keyring_path(database_id)


def pin_path(keyring: Path, database_id: bytes) -> Path:
    """The pin file that belongs beside a keyring file."""
    return keyring.parent / f"{database_id.hex()}{PIN_SUFFIX}"


def environment_passphrase() -> str | None:
    """The passphrase in ``ENCDB_PASSPHRASE``; None when it is unset or empty."""
    return os.environ.get(PASSPHRASE_VARIABLE) or None


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents, each with mode 0700; existing ones stay as they are."""
    missing = []
    current = folder
    while not current.exists():
        missing.append(current)
        current = current.parent
    for part in reversed(missing):
        with contextlib.suppress(FileExistsError):
            part.mkdir(mode=_FOLDER_MODE)


def is_exposed(mode: int) -> bool:
    """Whether a file of this mode can be read or written by anyone but its owner."""
    return bool(mode & _OTHERS)


def folder_is_open(folder: Path) -> bool:
    """Whether others may replace files in a folder: writable for them and without a sticky bit."""
    mode = folder.stat().st_mode
    return bool(mode & _OTHERS_WRITE) and not mode & stat.S_ISVTX


def read_private(path: Path, limit: int) -> tuple[bytes, int]:
    """Read a regular file of at most ``limit`` bytes; return its content and its mode.

    Raises:
        OSError: it is missing, cannot be read, or its last part is a symbolic link.
        ValueError: it is not a regular file or is longer than ``limit``.
    """
    # O_NONBLOCK keeps a planted FIFO from stopping the program before fstat can refuse it.
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        mode = os.fstat(handle).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("not a regular file")
        with os.fdopen(handle, "rb", closefd=False) as file:
            content = file.read(limit + 1)
    finally:
        os.close(handle)
    if len(content) > limit:
        raise ValueError("longer than any such file")
    return content, mode


def _write_temporary(path: Path, content: bytes) -> Path:
    """Write and flush ``content`` to a new file beside ``path``; return its path."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, _FILE_MODE)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(folder: Path) -> None:
    """Flush a folder, so that a new name in it survives a power failure."""
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_private(path: Path, content: bytes) -> None:
    """Create a file with mode 0600 and flush it to the disk; never overwrite one.

    Raises:
        FileExistsError: something, even a dangling symbolic link, has this name already.
        OSError: it cannot be written.
    """
    make_folder(path.parent)
    temporary = _write_temporary(path, content)
    try:
        # A hard link appears whole or not at all and, unlike a rename, fails if the name is taken.
        os.link(temporary, path, follow_symlinks=False)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def replace_private(path: Path, content: bytes) -> None:
    """Write a file with mode 0600 in place of an older one, atomically.

    Raises:
        OSError: it cannot be written; the older file is then unchanged.
    """
    make_folder(path.parent)
    temporary = _write_temporary(path, content)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
