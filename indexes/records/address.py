"""The address that a row record is sealed under, as associated data.

A record opens only where and for the attempt it was written: moving it to another ordinal or table, or
putting back an older one of a repeated attempt, fails its authentication.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

FORMAT: Final = 2
ROW_KIND: Final = 1
TXN_BYTES: Final = 16


def row_aad(context: bytes, ordinal: int, txn: bytes, key_id: int = 1) -> bytes:
    """Associated data of one row record.

    `format u8 | kind u8 | key id u16 | context | ordinal u64 | txn (16)`; everything but the context
    has a fixed length, so different arguments give different bytes.

    Args:
        context: the address that all rows of a table share.
        ordinal: 0 ≤ ordinal < 2⁶³.
        txn: 16 random bytes of the transaction attempt that wrote the row.
        key_id: version of the table's row key.

    Raises:
        ValueError: `txn` has another length.
    """
    return _aad_head(context, key_id) + _aad_tail(ordinal, txn)


def row_aads(
    context: bytes, ordinals: Sequence[int], txns: Sequence[bytes], key_id: int = 1
) -> list[bytes]:
    """`row_aad` for each ordinal and the transaction at the same place."""
    head = _aad_head(context, key_id)
    return [head + _aad_tail(ordinal, txn) for ordinal, txn in zip(ordinals, txns, strict=True)]


def _aad_head(context: bytes, key_id: int) -> bytes:
    return struct.pack("<BBH", FORMAT, ROW_KIND, key_id) + context


def _aad_tail(ordinal: int, txn: bytes) -> bytes:
    if len(txn) != TXN_BYTES:
        raise ValueError("a transaction attempt is named by 16 bytes")
    return ordinal.to_bytes(8, "little") + txn
