"""The keyring file's format: what it holds, and how a passphrase wraps the root key in it.

The file is JSON. It names the database (16 bytes), the hash of its genesis catalog (32 bytes) and
the oldest store format a client may accept, and holds the 32-byte root key either

* wrapped: Argon2id (RFC 9106; 64 MiB, 3 passes, 4 lanes) makes a 32-byte key-encryption key (KEK)
  from the passphrase. ``HKDF(KEK, 'commit')`` is stored and compared first, in constant time, so
  that a file has one passphrase only (AES-GCM-SIV alone does not commit to its key). The root key
  is sealed by AES-256-GCM-SIV (RFC 8452) under ``HKDF(KEK, 'wrap')``; the associated data holds
  every other field, the cost parameters included, so that none can be changed; or
* in clear, where the user asked for no passphrase; the file then says so in words.

A SHA-256 checksum tells a damaged file from a wrong passphrase. It authenticates nothing.

What it leaks: a reader of the wrapped form learns the database id, the genesis hash and the cost
parameters, and may guess passphrases at Argon2id's price. A reader of the clear form has all.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from encdb.errors import KeyringError, err
from indexes.keys import Key, pack_context

KEYRING_VERSION: Final = 1
DATABASE_ID_BYTES: Final = 16
GENESIS_HASH_BYTES: Final = 32
ROOT_BYTES: Final = 32
SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_WRAPPED_BYTES: Final = _NONCE_BYTES + ROOT_BYTES + 16
_CHECKSUM_BYTES: Final = 16
MAX_FILE_BYTES: Final = 64 * 1024

_COMMON_FIELDS: Final = frozenset(
    {
        "encdb",
        "version",
        "note",
        "database",
        "genesis",
        "minimum_format",
        "protection",
        "root",
        "checksum",
    }
)
_WRAPPED_FIELDS: Final = _COMMON_FIELDS | {"kdf", "commitment"}

_NOTE_WRAPPED: Final = (
    "This file and its passphrase are the only way to read the database. Keep a copy of both: "
    "losing either loses the data."
)
_NOTE_CLEAR: Final = (
    "THE ROOT KEY BELOW IS IN CLEAR: whoever can read this file can read the whole database. "
    "Keep a copy: losing it loses the data."
)


@dataclass(frozen=True, slots=True)
class KdfParameters:
    """The cost of one guess at a passphrase.

    Reading accepts only costs between ``WEAKEST`` and ``DEAREST``: a lower one would make guessing
    cheap for whoever rewrote the file, a higher one would stop the program that opens it.
    """

    memory_kib: int = 64 * 1024
    iterations: int = 3
    lanes: int = 4

    def is_acceptable(self) -> bool:
        """Whether every parameter lies within the bounds."""
        return (
            WEAKEST.memory_kib <= self.memory_kib <= DEAREST.memory_kib
            and WEAKEST.iterations <= self.iterations <= DEAREST.iterations
            and WEAKEST.lanes <= self.lanes <= DEAREST.lanes
        )


# The lower bound is the least that OWASP's password storage advice accepts for Argon2id.
WEAKEST: Final = KdfParameters(memory_kib=19 * 1024, iterations=2, lanes=1)
DEAREST: Final = KdfParameters(memory_kib=1024 * 1024, iterations=16, lanes=16)


@dataclass(frozen=True, slots=True)
class KeyringInfo:
    """What a keyring file says without its passphrase."""

    database_id: bytes
    genesis_hash: bytes
    minimum_format: int
    protected: bool
    kdf: KdfParameters | None


@dataclass(frozen=True, slots=True)
class KeyringFile:
    """The checked content of a keyring file. ``root`` is the wrapped form or the key in clear."""

    info: KeyringInfo
    root: bytes = field(repr=False)
    salt: bytes = b""
    commitment: bytes = b""


def render(info: KeyringInfo, root: Key, passphrase: str | None) -> bytes:
    """The bytes of a keyring file."""
    fields: dict[str, Any] = {
        "encdb": "keyring",
        "version": KEYRING_VERSION,
        "note": _NOTE_CLEAR if passphrase is None else _NOTE_WRAPPED,
        "database": info.database_id.hex(),
        "genesis": info.genesis_hash.hex(),
        "minimum_format": info.minimum_format,
        "protection": "none" if passphrase is None else "passphrase",
    }
    if passphrase is None:
        fields["root"] = root.expose().hex()
    else:
        assert info.kdf is not None
        salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
        kek = _derive_kek(passphrase, salt, info.kdf)
        wrap = AESGCMSIV(kek.derive("wrap").expose())
        sealed = wrap.encrypt(nonce, root.expose(), _associated_data(info, salt))
        fields["kdf"] = {
            "name": "argon2id",
            "memory_kib": info.kdf.memory_kib,
            "iterations": info.kdf.iterations,
            "lanes": info.kdf.lanes,
            "salt": salt.hex(),
        }
        fields["commitment"] = kek.derive("commit").expose().hex()
        fields["root"] = (nonce + sealed).hex()
    fields["checksum"] = _checksum(fields)
    return json.dumps(fields, indent=2).encode("ascii") + b"\n"


def unwrap(path: Path, file: KeyringFile, passphrase: str) -> Key:
    """The root key of a wrapped keyring file.

    Raises:
        KeyringError: the passphrase is empty or wrong, or a field was changed.
    """
    assert file.info.kdf is not None
    kek = _derive_kek(passphrase, file.salt, file.info.kdf)
    # The commitment comes first: it is the one check whose failure means a wrong passphrase.
    if not hmac.compare_digest(kek.derive("commit").expose(), file.commitment):
        raise err(
            KeyringError, "E_PASSPHRASE_WRONG", f"This is not the passphrase of the keyring {path}"
        )
    nonce, sealed = file.root[:_NONCE_BYTES], file.root[_NONCE_BYTES:]
    try:
        wrap = AESGCMSIV(kek.derive("wrap").expose())
        root = wrap.decrypt(nonce, sealed, _associated_data(file.info, file.salt))
    except InvalidTag:
        raise damaged(path) from None
    return Key(root)


def _derive_kek(passphrase: str, salt: bytes, cost: KdfParameters) -> Key:
    """The key-encryption key. The passphrase is normalised to NFC, as RFC 8265 prescribes."""
    try:
        material = unicodedata.normalize("NFC", passphrase).encode("utf-8")
    except UnicodeEncodeError:
        material = b""
    if not material:
        raise err(
            KeyringError, "E_PASSPHRASE_MISSING", "A passphrase is a non-empty Unicode text"
        ) from None
    kdf = Argon2id(
        salt=salt,
        length=32,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    return Key(kdf.derive(material))


def _associated_data(info: KeyringInfo, salt: bytes) -> bytes:
    """Every field of a wrapped keyring but the wrapped key and what is derived from it."""
    assert info.kdf is not None
    return pack_context(
        "encdb/keyring",
        KEYRING_VERSION,
        info.database_id,
        info.genesis_hash,
        info.minimum_format,
        "argon2id",
        info.kdf.memory_kib,
        info.kdf.iterations,
        info.kdf.lanes,
        salt,
    )


def _checksum(fields: dict[str, Any]) -> str:
    """Hexadecimal checksum (16 bytes) over every field but itself."""
    covered = {name: value for name, value in fields.items() if name != "checksum"}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":")).encode("ascii")
    return hashlib.sha256(canonical).digest()[:_CHECKSUM_BYTES].hex()


def parse(path: Path, content: bytes) -> KeyringFile:
    """Check the structure of a keyring file, strictly: one valid form per version."""
    try:
        fields = json.loads(content, object_pairs_hook=_unique)
    except (ValueError, RecursionError):
        raise damaged(path) from None
    if not isinstance(fields, dict) or fields.get("encdb") != "keyring":
        raise err(KeyringError, "E_KEYRING_DAMAGED", f"The file {path} is not an encdb keyring")
    version = fields.get("version")
    if type(version) is int and version > KEYRING_VERSION:
        raise err(
            KeyringError,
            "E_KEYRING_NEWER",
            f"The keyring {path} has format {version}; this encdb reads {KEYRING_VERSION}",
        )
    try:
        return _parse_version_1(fields)
    except (ValueError, TypeError, KeyError):
        raise damaged(path) from None


def _parse_version_1(fields: dict[str, Any]) -> KeyringFile:
    """The content of a version 1 file; ValueError, TypeError or KeyError if it is not one."""
    wrapped = {"passphrase": True, "none": False}[fields["protection"]]
    _require(fields.keys() == (_WRAPPED_FIELDS if wrapped else _COMMON_FIELDS))
    _require(fields["version"] == KEYRING_VERSION)
    _require(hmac.compare_digest(_checksum(fields), str(fields["checksum"])))
    database_id = _hex(fields["database"], DATABASE_ID_BYTES)
    genesis_hash = _hex(fields["genesis"], GENESIS_HASH_BYTES)
    minimum_format = _natural(fields["minimum_format"])
    if not wrapped:
        info = KeyringInfo(database_id, genesis_hash, minimum_format, False, None)
        return KeyringFile(info, _hex(fields["root"], ROOT_BYTES))
    kdf = fields["kdf"]
    _require(isinstance(kdf, dict))
    _require(kdf.keys() == {"name", "memory_kib", "iterations", "lanes", "salt"})
    _require(kdf["name"] == "argon2id")
    cost = KdfParameters(
        _natural(kdf["memory_kib"]), _natural(kdf["iterations"]), _natural(kdf["lanes"])
    )
    _require(cost.is_acceptable())
    return KeyringFile(
        KeyringInfo(database_id, genesis_hash, minimum_format, True, cost),
        _hex(fields["root"], _WRAPPED_BYTES),
        _hex(kdf["salt"], SALT_BYTES),
        _hex(fields["commitment"], 32),
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse JSON objects that name a member twice, since parsers differ on which one counts."""
    fields = dict(pairs)
    _require(len(fields) == len(pairs))
    return fields


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError


def _hex(value: object, size: int) -> bytes:
    """Decode exactly ``size`` bytes of lowercase hexadecimal."""
    if not isinstance(value, str):
        raise TypeError
    decoded = bytes.fromhex(value)
    _require(len(decoded) == size and decoded.hex() == value)
    return decoded


def _natural(value: object) -> int:
    """A whole number that fits 32 bits; a JSON ``true`` is not one."""
    if type(value) is not int or not 0 <= value < 1 << 32:
        raise ValueError
    return value


def damaged(path: Path) -> KeyringError:
    """The error that says that the file at ``path`` is not as it was written."""
    return err(KeyringError, "E_KEYRING_DAMAGED", f"The keyring {path} is damaged")
