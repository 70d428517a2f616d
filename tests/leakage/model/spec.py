"""Sizes, encodings and key derivation, written down once more from docs/format.md and from nothing else.

The leakage model computes with these, so an error in the code under test is not repeated in what it is
compared with. Only the number of the storage format is taken from the wire.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from encdb.wire import FORMAT_VERSION

FORMAT = f"encdb/{FORMAT_VERSION}"
KEY_VERSION = 1
BLOCK = 4096
"""Ordinals of a block."""
USABLE = 4016
SEALED_PAGE = 4032
WHOLE = 16
RECORD_OVERHEAD = 32
TAG = 16


# --- Sizes -----------------------------------------------------------------------------------------


def step_class(size: int, least: int) -> int:
    """The class of a size: multiples of one sixteenth of an octave, ``least`` at least."""
    if size <= least:
        return least
    step = 2 ** ((size - 1).bit_length() - 5)
    return -(-size // step) * step


def record(plain: int) -> int:
    """Bytes of a sealed row, manifest or catalog."""
    return RECORD_OVERHEAD + step_class(4 + plain, 64)


def column_blob(plain: int) -> int:
    """Bytes of a sealed column or directory of a pack."""
    return TAG + step_class(plain, 64)


def delta(plain: int) -> int:
    """Bytes of a sealed delta."""
    size = 4 + plain
    if size <= 4096:
        return RECORD_OVERHEAD + max(1, -(-size // 256)) * 256
    return RECORD_OVERHEAD + step_class(size, 16)


def page_class(pages: int) -> int:
    """Pages of a segment with dummies."""
    return pages if pages <= 16 else step_class(pages, 16)


def chain_class(pages: int) -> int:
    """Pages of a chain: 1, 2, 3, 4, 6, 8, 12, 16, 24 …"""
    sizes = [1, 2, 3, 4]
    while sizes[-1] < pages:
        sizes.append(sizes[-2] * 2)
    return next(one for one in sizes if one >= pages)


def leb128(value: int) -> int:
    """Bytes of one unsigned number."""
    return max(1, -(-value.bit_length() // 7))


def zigzag(value: int) -> int:
    """A signed number as an unsigned one."""
    return value * 2 if value >= 0 else -value * 2 - 1


def packed(values: Sequence[int]) -> tuple[list[int], int]:
    """One column of a delta: how the head names it, and its bytes."""
    if not values:
        return [0, 0, 1], 0
    low, high = min(values), max(values)
    width = next(one for one in (1, 2, 4, 8) if (high - low) >> (8 * one) == 0)
    return [len(values), low, width], len(values) * width


# --- Keys and functions ------------------------------------------------------------------------------


def context(*parts: str | bytes | int) -> bytes:
    """A packed context."""
    out = b""
    for part in parts:
        if isinstance(part, str):
            kind, raw = b"s", part.encode()
        elif isinstance(part, bytes):
            kind, raw = b"b", part
        else:
            kind, raw = b"i", part.to_bytes(part.bit_length() // 8 + 1, "big", signed=True)
        out += kind + struct.pack(">I", len(raw)) + raw
    return out


@lru_cache(maxsize=4096)
def kdf(key: bytes, *parts: str | bytes | int) -> bytes:
    """HKDF-Expand-SHA256 to one block."""
    return HKDFExpand(algorithm=SHA256(), length=32, info=context(*parts)).derive(key)


@lru_cache(maxsize=256)
def _aes(key: bytes) -> Cipher[ECB]:
    return Cipher(AES256(key), ECB())


def aes(key: bytes, blocks: bytes) -> bytes:
    """AES-256 of each block of 16 bytes."""
    return _aes(key).encryptor().update(blocks)


def ranks(key: bytes, inputs: Iterable[bytes]) -> np.ndarray:
    """Places of inputs in the order of the first 8 bytes of their AES, as numbers."""
    first = np.frombuffer(aes(key, b"".join(inputs)), dtype="<u8")[::2]
    places = np.empty(len(first), dtype=np.int64)
    places[np.argsort(first, kind="stable")] = np.arange(len(first))
    return places


def mac(key: bytes, number: int, term: bytes, *, fixed: bool) -> bytes:
    """16 bytes for a term: the CBC-MAC of two blocks."""
    if fixed:
        head, under = term, kdf(key, "block")
    else:
        head = hashlib.blake2b(term, key=kdf(key, "hash"), digest_size=16).digest()
        under = kdf(key, "item")
    first = bytearray(aes(under, head))
    first[15] ^= number
    return aes(under, bytes(first))


def open_record(key: bytes, kind: int, blob: bytes, address: bytes) -> bytes:
    """The data of a sealed, padded record."""
    header = struct.pack("<BBH", FORMAT_VERSION, kind, KEY_VERSION)
    assert blob[:4] == header
    plain = AESGCMSIV(key).decrypt(blob[4:16], blob[16:], header + address)
    return plain[4 : 4 + int.from_bytes(plain[:4], "little")]
