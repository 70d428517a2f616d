"""Access tokens: who may use which store, and for what.

A token is 32 random bytes. The file keeps its SHA-256 and not the token: with 256 bits of entropy no
guess comes near it, so a plain hash is as good as a slow password hash and costs microseconds. Who
reads the file learns names and rights and cannot use them; who writes it can admit himself, which is
why a file that others could write is refused.

The file holds one JSON object a line. It is replaced in one step and never changed in place, so that a
running server, which looks at it before every request, sees either the old state or the new one.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from encdb.errors import OperationalError, UsageError, err

Rights: TypeAlias = Literal["read", "write", "metrics"]

PREFIX: Final = "encdb_"
"""Begins every token, so that scanners for leaked secrets recognise one."""
_TOKEN_BYTES: Final = 32
_NAME: Final = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
_FILE_LIMIT: Final = 4 << 20
_RIGHTS: Final = ("read", "write", "metrics")


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of one token.

    Attributes:
        name: who it belongs to; appears in logs.
        rights: ``read``, ``write`` (which includes reading) or ``metrics`` (nothing else).
        stores: names of the stores it may use; ``None`` for all.
        created: when, ISO 8601 in UTC.
        expires: from when on it is refused; ``None`` for never.
        revoked: since when it is refused; ``None`` if it is not.
        sha256: of the token's text, in hexadecimal.
    """

    name: str
    rights: Rights
    stores: tuple[str, ...] | None
    created: str
    expires: str | None
    revoked: str | None
    sha256: str

    def admitted(self, now: datetime) -> bool:
        """Whether it is neither revoked nor expired."""
        if self.revoked is not None:
            return False
        return self.expires is None or now < datetime.fromisoformat(self.expires)

    def may_use(self, store: str) -> bool:
        """Whether it is good for a store of this name."""
        return self.rights != "metrics" and (self.stores is None or store in self.stores)

    @property
    def state(self) -> str:
        """For listings: ``valid``, ``expired`` or ``revoked``."""
        if self.revoked is not None:
            return "revoked"
        return "valid" if self.admitted(datetime.now(UTC)) else "expired"


def _failed(path: Path, what: str, fix: str | None = None) -> OperationalError:
    return err(OperationalError, "E_TOKEN_FILE", f"the token file {path} {what}", fix)


def digest_of(token: str) -> str:
    """What the file keeps of a token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(path: Path) -> tuple[Token, ...]:
    """All tokens of a file.

    Raises:
        OperationalError: it is missing, unreadable, malformed, or others could write it
            (``E_TOKEN_FILE``).
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _failed(path, "is no file")
            if status.st_mode & 0o022:
                raise _failed(path, "can be written by others", f"Use: chmod 600 {path}")
            data = file.read(_FILE_LIMIT + 1)
    except OSError as error:
        reason = (error.strerror or "input or output error").lower()
        raise _failed(path, f"cannot be read: {reason}") from None
    if len(data) > _FILE_LIMIT:
        raise _failed(path, "is too large")
    tokens = []
    for number, line in enumerate(data.splitlines(), start=1):
        try:
            tokens.append(_parse(json.loads(line)))
        except (ValueError, TypeError, KeyError):
            raise _failed(path, f"is malformed in line {number}") from None
    if len({token.name for token in tokens}) != len(tokens):
        raise _failed(path, "names a token twice")
    return tuple(tokens)


def _parse(fields: Any) -> Token:
    stores = fields["stores"]
    token = Token(**{**fields, "stores": None if stores is None else tuple(stores)})
    texts = [token.name, token.rights, token.created, token.sha256, *(token.stores or ())]
    texts += [one for one in (token.expires, token.revoked) if one is not None]
    if not all(type(one) is str for one in texts) or token.rights not in _RIGHTS:
        raise ValueError
    if not _NAME.fullmatch(token.name) or not re.fullmatch("[0-9a-f]{64}", token.sha256):
        raise ValueError
    if token.expires is not None and datetime.fromisoformat(token.expires).tzinfo is None:
        raise ValueError
    return token


def _write(path: Path, tokens: Sequence[Token]) -> None:
    """Replace the file in one step, readable by its owner alone."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")
    text = "".join(json.dumps(asdict(token)) + "\n" for token in tokens)
    try:
        handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        reason = (error.strerror or "input or output error").lower()
        raise _failed(path, f"cannot be written: {reason}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep two commands from changing the file at once; the lock is on its folder."""
    try:
        folder = os.open(path.absolute().parent, os.O_RDONLY)
    except OSError:
        raise _failed(path, "has no folder", "Make the folder first") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def add_token(
    path: Path,
    name: str,
    *,
    rights: Rights = "write",
    stores: Sequence[str] = (),
    expires: datetime | None = None,
) -> str:
    """Make a token and note it in the file, which is made if it is not there.

    Args:
        path: the file.
        name: who it is for; no other token of the file has this name.
        rights: what it allows.
        stores: names of stores it is good for; none for all.
        expires: when it ends, with a time zone; ``None`` for never.

    Returns:
        The token, which is kept nowhere else.

    Raises:
        OperationalError: the file cannot be used (``E_TOKEN_FILE``), or the name is taken
            (``E_TOKEN_NAME``).
        UsageError: the name is malformed.
    """
    if not _NAME.fullmatch(name):
        raise err(
            UsageError,
            "E_USAGE",
            "a token's name is malformed",
            "Use up to 64 letters, digits and the characters _ . @ -",
        )
    text = PREFIX + base64.urlsafe_b64encode(secrets.token_bytes(_TOKEN_BYTES)).decode().rstrip("=")
    token = Token(
        name=name,
        rights=rights,
        stores=tuple(sorted(set(stores))) or None,
        created=_stamp(datetime.now(UTC)),
        expires=None if expires is None else _stamp(expires),
        revoked=None,
        sha256=digest_of(text),
    )
    with _locked(path):
        known = read_tokens(path) if os.path.lexists(path) else ()
        if any(one.name == name for one in known):
            raise err(OperationalError, "E_TOKEN_NAME", f"there is a token named {name} already")
        _write(path, (*known, token))
    return text


def revoke_token(path: Path, name: str) -> None:
    """Refuse a token from now on. Its line stays, so that logs keep their meaning.

    Raises:
        OperationalError: the file cannot be used, or holds no such token (``E_TOKEN_NAME``).
    """
    with _locked(path):
        known = read_tokens(path)
        if all(one.name != name for one in known):
            raise err(OperationalError, "E_TOKEN_NAME", f"there is no token named {name}")
        now = _stamp(datetime.now(UTC))
        _write(
            path,
            [
                replace(one, revoked=now) if one.name == name and one.revoked is None else one
                for one in known
            ],
        )


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")


class TokenBook:
    """The tokens that a running server admits, always those that the file names now.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, ...] | None = None
        self._tokens: tuple[tuple[bytes, Token], ...] = ()
        self.refresh()

    def refresh(self) -> bool:
        """Read the file again if it was changed; whether it was.

        Raises:
            OperationalError: it can no longer be used. Nobody is admitted until it can.
        """
        try:
            status = self._path.stat()
        except OSError:
            self._stamp = None
            raise _failed(self._path, "cannot be read") from None
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)
        if stamp == self._stamp:
            return False
        self._stamp = None
        tokens = read_tokens(self._path)
        self._tokens = tuple((bytes.fromhex(one.sha256), one) for one in tokens)
        self._stamp = stamp
        return True

    def find(self, presented: bytes) -> Token | None:
        """The admitted token with this text; every known one is compared, in constant time."""
        digest = hashlib.sha256(presented).digest()
        found: Token | None = None
        for known, token in self._tokens:
            if hmac.compare_digest(known, digest):
                found = token
        return found if found is not None and found.admitted(datetime.now(UTC)) else None

    def still_admits(self, name: str) -> bool:
        """Whether the token of this name is neither gone nor revoked nor expired."""
        now = datetime.now(UTC)
        return any(token.name == name and token.admitted(now) for _, token in self._tokens)
