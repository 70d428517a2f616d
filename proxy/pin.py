"""The pin: the newest state of one database that this user has verified, kept beside the keyring.

A store that is asked by a client without memory can serve a whole older state, or one of two forks,
and every signature in it verifies. The pin is that memory (as in SUNDR, Li et al., OSDI 2004): the
incarnation, the catalog's version and hash, and per table the manifest's epoch and chain hash and how
far each writer had come. It only moves forward: each component is merged by itself, under a lock that
all processes of the user share, and equal positions with different hashes are a fork.

The file holds no secret. It is authenticated with HMAC-SHA256 under a key derived from the root key,
so that an edited or damaged one is noticed; whoever can write the folder can still delete it or put
back an older copy, which the pin does not defend against. It leaks the number of tables, epochs and
recent writers to a reader of the folder.

Layout: ``magic 9 B | version 1 B | HMAC-SHA256 32 B over magic, version and body | body (CBOR)``.
"""

from __future__ import annotations

import contextlib
import fcntl
import hmac
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from encdb.errors import KeyringError, TamperError, err
from indexes.keys import Key
from proxy import locations
from proxy.pinned import PinState, TablePin, decode, encode, merge, storable

__all__ = ["Pin", "PinState", "TablePin", "merge"]

PIN_VERSION: Final = 1
_MAGIC: Final = b"encdb-pin"
_MAC_BYTES: Final = 32
_HEAD_BYTES: Final = len(_MAGIC) + 1
_MAX_FILE_BYTES: Final = 64 * 1024 * 1024
_LOCK_SECONDS: Final = 10.0
_LOCK_POLL_SECONDS: Final = 0.005


class Pin:
    """The pin file of one database. Safe to share between threads, processes and connections."""

    def __init__(self, path: Path, key: Key) -> None:
        self.path = path
        self._key = key.derive("encdb/pin", PIN_VERSION)
        self._state: PinState | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._written_at = float("-inf")
        self._unsaved = False
        self._mutex = threading.Lock()

    @classmethod
    def load(cls, path: str | os.PathLike[str], key: Key) -> Pin:
        """Read the pin at ``path``. A missing one is a first use and has no state yet.

        Args:
            path: the file, from ``locations.pin_path``.
            key: derived from the root key for this database, the same for every incarnation.

        Raises:
            TamperError: the file is damaged, edited or another database's.
            KeyringError: it cannot be read or is of a newer format.
        """
        pin = cls(Path(path), key)
        pin.refresh()
        return pin

    @property
    def state(self) -> PinState | None:
        """The newest state known here; None before the first use."""
        return self._state

    def refresh(self) -> PinState | None:
        """Take in what other processes have pinned since; costs one stat if that is nothing.

        Raises:
            TamperError: the file is damaged, or the other process has seen another fork.
            KeyringError: it cannot be read.
        """
        with self._mutex:
            self._take_in()
            return self._state

    def advance(self, new: PinState, throttle: float = 0.0) -> None:
        """Merge a newly verified state, and save it.

        A state that adds nothing costs a comparison and touches no file. Otherwise the file is
        replaced and flushed to the disk, unless that happened within the last ``throttle`` seconds;
        then the state is only remembered, until a later ``advance`` or ``flush`` saves it.

        Raises:
            TamperError: the state is of another incarnation or another fork; the pin is unchanged.
            KeyringError: the file cannot be written. The state is remembered, and saved next time.
        """
        with self._mutex:
            merged = new if self._state is None else merge(self._state, new)
            if merged is not self._state:
                self._state, self._unsaved = storable(merged), True
            if self._unsaved and time.monotonic() - self._written_at >= throttle:
                self._save()

    def flush(self) -> None:
        """Save what ``advance`` has not saved yet.

        Raises:
            TamperError: another process has pinned another fork.
            KeyringError: the file cannot be written.
        """
        with self._mutex:
            if self._unsaved:
                self._save()

    def accept(self, new: PinState) -> None:
        """Replace the pin by ``new``, whatever it held: for a restore that the user has accepted.

        Raises:
            KeyringError: the file cannot be written.
        """
        with self._mutex, self._locked():
            self._state = storable(new)
            self._write()

    def _save(self) -> None:
        """Merge with the file and write, under the lock."""
        with self._locked():
            saved = self._take_in()
            if saved is not None and saved == self._state:
                self._written_at, self._unsaved = time.monotonic(), False
            else:
                self._write()

    def _take_in(self) -> PinState | None:
        """Merge the file into the state if it changed; return what it holds if it was read."""
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            self._stamp = None
            return None
        except OSError as error:
            raise self._unusable(error) from None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return None
        saved = self._read()
        self._state = saved if self._state is None else merge(saved, self._state)
        self._stamp = stamp
        return saved

    def _read(self) -> PinState:
        """The state in the file."""
        try:
            content, _ = locations.read_private(self.path, _MAX_FILE_BYTES)
        except ValueError:
            raise self._damaged() from None
        except OSError as error:
            raise self._unusable(error) from None
        head, mac = content[:_HEAD_BYTES], content[_HEAD_BYTES : _HEAD_BYTES + _MAC_BYTES]
        body = content[_HEAD_BYTES + _MAC_BYTES :]
        if hmac.compare_digest(mac, self._mac(head, body)) and head == _head():
            return decode(body)
        if head[:-1] == _MAGIC and head[-1] > PIN_VERSION:
            raise err(
                KeyringError, "E_PIN_NEWER", f"The pin {self.path} is of a newer encdb's format"
            )
        raise self._damaged()

    def _write(self) -> None:
        """Replace the file by the state."""
        assert self._state is not None
        body = encode(self._state)
        try:
            locations.replace_private(self.path, _head() + self._mac(_head(), body) + body)
            status = self.path.lstat()
        except OSError as error:
            raise self._unusable(error) from None
        self._stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        self._written_at, self._unsaved = time.monotonic(), False

    def _mac(self, head: bytes, body: bytes) -> bytes:
        return hmac.digest(self._key.expose(), head + body, "sha256")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock that all processes of the user take to change this pin.

        The lock lies on a file of its own, because replacing the pin replaces its inode. It is
        never removed: a process that waits on a removed file would not exclude the others.
        """
        lock = self.path.with_name(self.path.name + ".lock")
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            locations.make_folder(lock.parent)
            handle = os.open(lock, flags, 0o600)
        except OSError as error:
            raise self._unusable(error) from None
        try:
            give_up = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > give_up:
                        raise err(
                            KeyringError,
                            "E_PIN_LOCKED",
                            f"Another process holds the pin {self.path}",
                        ) from None
                    time.sleep(_LOCK_POLL_SECONDS)
                except OSError as error:
                    raise self._unusable(error) from None
            yield
        finally:
            os.close(handle)

    def _damaged(self) -> TamperError:
        return err(TamperError, "E_PIN_DAMAGED", f"The pin {self.path} is damaged or was changed")

    def _unusable(self, error: OSError) -> KeyringError:
        reason = error.strerror or "input/output error"
        return err(KeyringError, "E_PIN_FILE", f"The pin {self.path} cannot be used: {reason}")


def _head() -> bytes:
    return _MAGIC + bytes([PIN_VERSION])
