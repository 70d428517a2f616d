"""Writes ``wire.json`` beside this file: ``python tests/vectors/make_wire.py``.

The bytes of messages between client and server, computed a second time from the text of
``docs/protocol.md`` with a CBOR encoder of forty lines. Nothing of the product is imported, and no CBOR
library.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FORMAT = "encdb-protocol/1"

WRITER = bytes(range(0x10, 0x20))
HOLDER = bytes(range(0x20, 0x30))
DATABASE = bytes([0x11]) * 16
INCARNATION = bytes([0x22]) * 16
LINK = bytes(range(32))
DIGEST = bytes(range(32, 64))
TABLE = 0x00C0FFEE
TAG = bytes(range(0xA0, 0xAC))
LAST = (1 << 63) - 1
SESSION = bytes(range(0x40, 0x50))
REQUEST = bytes(range(0x50, 0x60))


def head(major: int, number: int) -> bytes:
    """RFC 8949, section 3: the shortest form."""
    for limit, code, size in (
        (1 << 8, 24, 1),
        (1 << 16, 25, 2),
        (1 << 32, 26, 4),
        (1 << 64, 27, 8),
    ):
        if number < 24:
            return bytes([major << 5 | number])
        if number < limit:
            return bytes([major << 5 | code]) + number.to_bytes(size, "big")
    raise ValueError(number)


def cbor(value: Any) -> bytes:
    """One value."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bool):
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    return head(4, len(value)) + b"".join(map(cbor, value))


def framed(body: bytes) -> bytes:
    """A short body in its frame, and the end mark."""
    return len(body).to_bytes(4, "big") + body + bytes(4)


DELTA = [WRITER, 1, b"delta"]
SWAP = [
    1, b"manifest", LINK, [7], [[WRITER, 2]], [[WRITER, 1], [WRITER, 2]], [3, 4], [[TAG, 3]], [5],
    [1], [2],
]  # fmt: skip
CHANGE = [
    TABLE, 0, [[1, b"row"], [LAST, b""]], [2], [8192], [[TAG, 1]], [[TAG[::-1], 2]],
    [[3, "tag", [[1, TAG]]]], [(3 << 44) + 2], [4], DELTA, SWAP,
]  # fmt: skip
LAYOUT = [
    DATABASE, 1, INCARNATION, 1, b"catalog 1", [LINK, DIGEST],
    [[TABLE, 1, b"manifest", [LINK], 12288, 9, [[WRITER, 2, DIGEST, 20000]], [8], [3]]],
]  # fmt: skip

TEST = [3, "tag", [TAG], False, False]
RANGE = [4, "order", [b"", TAG], False, True]

# Class, its number, and its fields in order.
MESSAGES: tuple[tuple[str, int, list[Any]], ...] = (
    ("ReadHeads", 1, [-1, [[TABLE, -1, 0, [[WRITER, 3]]]], False]),
    ("ReadPages", 2, [TABLE, [1 << 32, (1 << 32) + 23, (1 << 32) + 24]]),
    ("ReadRows", 3, [TABLE, None]),
    ("ReadRows", 3, [TABLE, [0, 23, 24, 255, 256, 65535, 65536, LAST]]),
    ("ReadPacks", 4, [TABLE, [2048, 2049]]),
    ("ReadKeys", 5, [TABLE, [TAG]]),
    ("ListIds", 6, [TABLE, "tombstones"]),
    ("ReadLayout", 7, []),
    ("Describe", 8, []),
    ("ReadVisible", 9, [TABLE, [TEST, RANGE], -1, False, 0]),
    ("ReadVisible", 9, [TABLE, [], 4, True, 10]),
    ("ReadGroups", 10, [TABLE, 3, [RANGE]]),
    ("ReadJoin", 11, [[TABLE, 3, []], [1, 5, [TEST]]]),
    ("ReadEntries", 12, [TABLE, [3 << 44, (3 << 44) + 1]]),
    ("Commit", 21, [REQUEST, 0, [CHANGE], [1, b"catalog 1", LINK, [TABLE], []], HOLDER]),
    ("Commit", 21, [REQUEST, 5, [], None, b""]),
    ("Lease", 17, [TABLE, "ordinal", 4096]),
    (
        "Stage",
        22,
        [TABLE, 7, [[1 << 32, b"page"]], [[2048, b"column"]], [[3, "compare", [[1, TAG]]]]],
    ),
    ("Sweep", 19, [TABLE]),
    ("Claim", 20, [TABLE, "merge", HOLDER, 60]),
    ("Genesis", 24, [DATABASE, INCARNATION, 1, b"catalog 0", LINK]),
    ("Put", 25, [TABLE, "packs", [[2048, b"column"]], [4096]]),
    ("Finish", 26, [LAYOUT, [[TABLE, [DELTA], [[TAG, 1]], [8192]]]]),
    (
        "Heads",
        64,
        [
            False,
            DATABASE,
            1,
            INCARNATION,
            1,
            None,
            [LINK],
            [[TABLE, 1, b"manifest", [LINK], [DELTA], [[WRITER, 1, 1]]]],
        ],
    ),
    ("Blobs", 65, [TABLE, [1, 2], [b"one", b"x" * 300]]),
    ("Keys", 66, [TABLE, [[TAG, 1]]]),
    ("Ids", 67, [TABLE, [0, 1, LAST]]),
    ("Layout", 68, LAYOUT),
    ("Described", 69, ["SQLite", [3, 40, 1], 1 << 40, 0, True]),
    ("Groups", 70, [TABLE, [[TAG, 3, 1]]]),
    ("Joined", 71, [[1, 2], [LAST]]),
    ("Committed", 80, [True]),
    ("Stale", 81, ["epoch", TABLE]),
    ("Conflict", 82, ["key", TABLE, [], [TAG]]),
    ("Leased", 83, [4096, 8192]),
    ("Claimed", 84, [False]),
    ("Staged", 85, []),
    ("Swept", 86, [[7, 8]]),
)


def plain(value: Any) -> Any:
    """Fields as JSON: bytes as an object that holds them in hexadecimal."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return list(map(plain, value)) if isinstance(value, list) else value


def wire() -> dict[str, Any]:
    """The content of the file."""
    return {
        "format": FORMAT,
        "messages": [
            {
                "class": name,
                "fields": plain(fields),
                "body": cbor([[number, *fields]]).hex(),
            }
            for name, number, fields in MESSAGES
        ],
        "call": {
            "session": SESSION.hex(),
            "number": 7,
            "snapshot": 3,
            "head": (b"\x01" + SESSION + (7).to_bytes(8, "big") + (3).to_bytes(8, "big")).hex(),
        },
        "answer": {
            "request": REQUEST.hex(),
            "session": SESSION.hex(),
            "head": (b"\x01" + REQUEST + SESSION + b"\x00").hex(),
        },
        "error": {
            "class": "StoreUnavailable",
            "code": "E_STORE_LOCKED",
            "message": "the store vault is locked",
            "framed": framed(
                cbor(["StoreUnavailable", "E_STORE_LOCKED", "the store vault is locked"])
            ).hex(),
        },
        "framed": framed(cbor([[85], [84, True]])).hex(),
    }


def main() -> None:
    """Write the file."""
    text = json.dumps(wire(), indent=1) + "\n"
    (HERE / "wire.json").write_text(text, encoding="ascii")


if __name__ == "__main__":
    main()
