"""Writes the known-answer vectors beside this file: ``python tests/vectors/make_vectors.py``.

Every answer is computed here a second time, from the text of ``docs/format.md``, with the standard
library and the bare primitives of ``cryptography`` (AES, AES-GCM, AES-GCM-SIV). Nothing of the product is
imported, values are taken one at a time, and there is no NumPy, Arrow or CBOR library, so that a mistake
is unlikely to be made twice. Nonces and salts are fixed here because answers must not change; the
product draws them at random.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import math
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

HERE = Path(__file__).resolve().parent
FORMAT = "encdb/2"

ROOT = bytes(range(32))
DATABASE = bytes([0x11]) * 16
INCARNATION = bytes([0x22]) * 16
TABLE = 0x00C0FFEE
INDEX = 3
SALT = bytes(range(64, 96))
NONCE = bytes(range(128, 140))
TXN = bytes([0x33]) * 16
WRITER = bytes([0x44]) * 16


# --- The pieces ----------------------------------------------------------------------------------


def context(*parts: str | bytes | int) -> bytes:
    """Type byte, u32 big-endian length, bytes; for each part."""
    packed = b""
    for part in parts:
        if isinstance(part, str):
            tag, data = b"s", part.encode()
        elif isinstance(part, bytes):
            tag, data = b"b", part
        else:
            # The shortest two's complement form that keeps a sign bit.
            size = 1
            while not -(1 << (8 * size - 1)) <= part < 1 << (8 * size - 1):
                size += 1
            # Powers of two at the lower edge (-128, -32768 …) take one byte more than they need.
            if part < 0 and part == -(1 << (8 * size - 1)):
                size += 1
            tag, data = b"i", part.to_bytes(size, "big", signed=True)
        packed += tag + struct.pack(">I", len(data)) + data
    return packed


def derive(key: bytes, *parts: str | bytes | int) -> bytes:
    """One block of HKDF-Expand-SHA256: HMAC(key, info ‖ 01)."""
    return hmac.new(key, context(*parts) + b"\x01", hashlib.sha256).digest()


def table_key(purpose: str, *rest: int) -> bytes:
    return derive(ROOT, FORMAT, DATABASE, INCARNATION, purpose, 1, TABLE, *rest)


def table_aad(purpose: str, *rest: bytes | int) -> bytes:
    return context(FORMAT, DATABASE, INCARNATION, purpose, TABLE, *rest)


def aes(key: bytes, block: bytes) -> bytes:
    return Cipher(AES256(key), ECB()).encryptor().update(block)


def record(key: bytes, kind: int, plaintext: bytes, address: bytes) -> bytes:
    header = struct.pack("<BBH", 2, kind, 1)
    return header + NONCE + AESGCMSIV(key).encrypt(NONCE, plaintext, header + address)


def page(key: bytes, kind: bytes, number: int, plaintext: bytes, address: bytes) -> bytes:
    nonce = kind + struct.pack(">Q", number)
    return AESGCM(derive(key, "page", SALT)).encrypt(nonce, plaintext, address)


def size_class(size: int) -> int:
    """64, then 16 equal steps an octave."""
    if size <= 64:
        return 64
    low = 1 << (size - 1).bit_length() - 1
    return next(low + k * low // 16 for k in range(1, 17) if low + k * low // 16 >= size)


def page_class(count: int) -> int:
    """Every number up to 16, then 16 equal steps an octave."""
    if count <= 16:
        return count
    low = 1 << (count - 1).bit_length() - 1
    return next(low + k * low // 16 for k in range(1, 17) if low + k * low // 16 >= count)


def chain_class(count: int) -> int:
    """1, 2, 3, 4, 6, 8, 12, 16, 24 …"""
    sizes = sorted({1 << k for k in range(33)} | {3 << k for k in range(32)})
    return next(size for size in sizes if size >= count)


def delta_class(size: int) -> int:
    if size <= 4096:
        return max(math.ceil(size / 256), 1) * 256
    return page_class(size)


def padded(data: bytes) -> bytes:
    body = struct.pack("<I", len(data)) + data
    return body.ljust(size_class(len(body)), b"\0")


def leb128(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def cbor(value: Any) -> bytes:
    """The deterministic subset of RFC 8949 that is used: integers, byte strings, arrays, maps."""

    def head(major: int, number: int) -> bytes:
        for limit, form, extra in ((24, "", 0), (1 << 8, ">B", 24), (1 << 16, ">H", 25)):
            if number < limit:
                return bytes([major << 5 | (extra or number)]) + (
                    struct.pack(form, number) if form else b""
                )
        if number < 1 << 32:
            return bytes([major << 5 | 26]) + struct.pack(">I", number)
        return bytes([major << 5 | 27]) + struct.pack(">Q", number)

    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(k) + cbor(v) for k, v in value.items())


# --- Keys, records, pages -----------------------------------------------------------------------


def contexts() -> list[dict[str, Any]]:
    cases: list[list[str | bytes | int]] = [
        [""],
        ["a", "bc"],
        ["ab", "c"],
        ["é", b"\0", -1, 300],
        [0, 127, 128, -127, -128, -129, 255, 65535, 2**31, -(2**63)],
        [FORMAT, DATABASE, INCARNATION, "rows", 1, TABLE],
    ]

    def shown(part: str | bytes | int) -> Any:
        return {"bytes": part.hex()} if isinstance(part, bytes) else part

    return [
        {"parts": [shown(part) for part in case], "packed": context(*case).hex()} for case in cases
    ]


def key_tree() -> dict[str, Any]:
    hashed, index = table_key("hashed"), table_key("sorted", INDEX)
    liveness, packs = table_key("liveness"), table_key("packs")
    statistics = table_key("statistics")
    plain = bytes(range(256)) * 15 + bytes(176)
    row_address = table_aad("row") + struct.pack("<Q", 5) + TXN
    catalog_key = derive(ROOT, FORMAT, DATABASE, "catalog", 1)
    return {
        "root": ROOT.hex(),
        "database": DATABASE.hex(),
        "incarnation": INCARNATION.hex(),
        "table": TABLE,
        "index": INDEX,
        "salt": SALT.hex(),
        "txn": TXN.hex(),
        "writer": WRITER.hex(),
        "keys": {
            "packs": packs.hex(),
            "hashed": hashed.hex(),
            "liveness": liveness.hex(),
            "statistics": statistics.hex(),
            "sorted": index.hex(),
            "place": derive(hashed, "hashed", "place", SALT).hex(),
            "pin": derive(derive(ROOT, "pin"), "encdb/pin", 1).hex(),
        },
        "genesis_chain": hashlib.sha256(table_aad("genesis")).hexdigest(),
        "plaintext": b"known answer".hex(),
        "page_plaintext": hashlib.sha256(plain).hexdigest(),
        "records": {
            "row": record(
                table_key("rows"), 1, b"known answer", struct.pack("<BBH", 2, 1, 1) + row_address
            ).hex(),
            "delta": record(
                table_key("deltas"), 2, b"known answer", table_aad("delta", WRITER, 7)
            ).hex(),
            "manifest": record(
                table_key("manifest"), 3, b"known answer", table_aad("manifest", 9)
            ).hex(),
            "catalog": record(
                catalog_key, 4, b"known answer", context(FORMAT, DATABASE, "catalog", 2)
            ).hex(),
        },
        "pages": {
            "pack": page(packs, b"pack", 17 << 11 | 2, b"known answer", table_aad("pack")).hex(),
            "hashed": hashlib.sha256(
                page(derive(hashed, "hashed", "page"), b"hash", 3, plain, context(TABLE, 8, 1, 20))
            ).hexdigest(),
            "sorted": hashlib.sha256(
                page(
                    derive(index, "sorted", "page", INDEX),
                    b"sort",
                    3,
                    plain,
                    context(TABLE, 8, 2, INDEX, 20),
                )
            ).hexdigest(),
            "liveness": hashlib.sha256(
                page(
                    derive(liveness, "liveness", "page"),
                    b"live",
                    3,
                    plain,
                    context(TABLE, 8, 3, 20),
                )
            ).hexdigest(),
            "statistics": hashlib.sha256(
                page(
                    derive(statistics, "statistics", "page"),
                    b"stat",
                    3,
                    plain,
                    context(TABLE, 8, 4, 20),
                )
            ).hexdigest(),
        },
    }


def classes() -> dict[str, list[list[int]]]:
    sizes = [1, 63, 64, 65, 66, 68, 69, 100, 127, 128, 129, 136, 137, 1000, 4096, 4097, 10**6 + 1]
    pages = [1, 2, 15, 16, 17, 18, 31, 32, 33, 34, 35, 63, 64, 65, 68, 69, 1000, 12345]
    return {
        "record": [[size, size_class(size)] for size in sizes],
        "delta": [[size, delta_class(size)] for size in [1, 255, 256, 257, 4095, *sizes]],
        "pages": [[count, page_class(count)] for count in pages],
        "chain": [[count, chain_class(count)] for count in [*range(1, 14), 16, 17, 24, 25, 97]],
    }


# --- Terms and labels ----------------------------------------------------------------------------


def mac(key: bytes, purpose: str, domain: int, term: bytes, *, fixed: bool) -> bytes:
    parent = derive(key, "prf", purpose)
    if fixed:
        cipher, block = derive(parent, "block"), term
    else:
        cipher = derive(parent, "item")
        block = hashlib.blake2b(term, key=derive(parent, "hash"), digest_size=16).digest()
    first = aes(cipher, block)
    return aes(cipher, first[:15] + bytes([first[15] ^ domain]))


def term_prf() -> dict[str, Any]:
    words, tags = table_key("terms", INDEX), table_key("unique", INDEX)
    items = [b"", b"a", "zürich".encode(), bytes(range(256)) * 5]
    blocks = [bytes(16), bytes(range(16)), b"\x80" + bytes(15), b"\xff" * 16]

    def word(term: bytes, *, fixed: bool) -> str:
        return str(int.from_bytes(mac(words, "words", 0, term, fixed=fixed)[:8], "little"))

    return {
        "items": [
            {
                "term": item.hex(),
                "word": word(item, fixed=False),
                "tag": mac(tags, "tags", 1, item, fixed=False).hex(),
            }
            for item in items
        ],
        "blocks": [
            {
                "term": block.hex(),
                "word": word(block, fixed=True),
                "tag": mac(tags, "tags", 1, block, fixed=True).hex(),
            }
            for block in blocks
        ],
    }


def permutation(key: bytes, block: int) -> list[int]:
    """For each low 12 bits, the rank of AES(block ‖ low) by its first 8 bytes, little-endian."""
    ranks = [
        int.from_bytes(aes(key, struct.pack("<QQ", block, low))[:8], "little")
        for low in range(4096)
    ]
    order = sorted(range(4096), key=lambda low: (ranks[low], low))
    places = [0] * 4096
    for rank, low in enumerate(order):
        places[low] = rank
    return places


def labels() -> list[dict[str, Any]]:
    key = table_key("labels")
    cases = []
    for block in (0, 1, 1 << 20, (1 << 51) - 1):
        places = permutation(key, block)
        whole = b"".join(struct.pack("<q", block << 12 | place) for place in places)
        cases.append(
            {
                "block": block,
                "first": [str(block << 12 | place) for place in places[:8]],
                "sha256": hashlib.sha256(whole).hexdigest(),
            }
        )
    return cases


def placement() -> dict[str, Any]:
    key = derive(table_key("hashed"), "hashed", "place", SALT)
    words = [0, 1, 2**63, 2**64 - 1, 0x0123456789ABCDEF]
    buckets = [1, 7, 1000, 2**31 - 1]
    first = [int.from_bytes(aes(key, struct.pack("<QQ", w, 0))[:8], "little") for w in words]
    shuffling = derive(table_key("hashed"), "hashed", "shuffle", SALT)
    ranks = [
        int.from_bytes(aes(shuffling, struct.pack("<QQ", n, 0))[:8], "little") for n in range(40)
    ]
    return {
        "words": [str(word) for word in words],
        "buckets": {str(count): [u * count >> 64 for u in first] for count in buckets},
        "shuffle": sorted(range(40), key=lambda n: (ranks[n], n)),
    }


# --- Encodings of values -------------------------------------------------------------------------

_DAY = dt.date(1970, 1, 1)
_MICRO = dt.timedelta(microseconds=1)


def scaled(text: str, scale: int) -> int:
    """The value in units of 10⁻ˢᶜᵃˡᵉ, exactly."""
    number = Fraction(text) * 10**scale
    assert number.denominator == 1
    return number.numerator


def number_of(kind: str, value: Any) -> int:
    """The signed integer that a date or time stands for, in days or microseconds."""
    if kind == "DATE":
        return (dt.date.fromisoformat(value) - _DAY).days
    if kind == "TIME":
        moment = dt.datetime.combine(_DAY, dt.time.fromisoformat(value))
        return (moment - dt.datetime.combine(_DAY, dt.time())) // _MICRO
    moment = dt.datetime.fromisoformat(value)
    return (moment.replace(tzinfo=None) - dt.datetime(1970, 1, 1)) // _MICRO


def order_key(kind: str, value: Any) -> tuple[int, int]:
    if kind == "BOOLEAN":
        return int(value), 0
    if kind in ("REAL", "DOUBLE"):
        number = math.nan if value == "nan" else float(value)
        if kind == "REAL":
            (number,) = struct.unpack("<f", struct.pack("<f", number))
        if math.isnan(number):
            bits = 0x7FF8 << 48
        else:
            (bits,) = struct.unpack("<Q", struct.pack("<d", number or 0.0))
        return (bits ^ (2**64 - 1) if bits >> 63 else bits | 1 << 63), 0
    if kind == "UUID":
        raw = bytes.fromhex(value.replace("-", ""))
        return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
    if kind in ("TEXT", "BLOB"):
        raw = value.encode() if kind == "TEXT" else bytes.fromhex(value)
        raw = raw[:16].ljust(16, b"\0")
        return int.from_bytes(raw[:8], "big"), int.from_bytes(raw[8:], "big")
    if kind.startswith("DECIMAL"):
        precision, scale = (int(part) for part in kind[8:-1].split(","))
        number = scaled(value, scale)
        if precision <= 18:
            return number + 2**63, 0
        wide = number + 2**127
        return wide >> 64, wide & 2**64 - 1
    if kind in ("SMALLINT", "INTEGER", "BIGINT"):
        return value + 2**63, 0
    return number_of(kind, value) + 2**63, 0


VALUES: dict[str, list[Any]] = {
    "BOOLEAN": [False, True],
    "SMALLINT": [-32768, -1, 0, 1, 32767],
    "INTEGER": [-(2**31), -1, 0, 2**31 - 1],
    "BIGINT": [-(2**63), -1, 0, 1, 2**63 - 1],
    "DECIMAL(18,2)": ["-9999999999999999.99", "-0.01", "0", "1", "1.00", "9999999999999999.99"],
    "DECIMAL(38,10)": ["-9999999999999999999999999999.9999999999", "-1", "0", "1.5"],
    "REAL": ["-inf", -1.5, -0.0, 0.0, 1.401298464324817e-45, 0.1, "inf", "nan"],
    "DOUBLE": ["-inf", -1.7976931348623157e308, -1.5, -5e-324, -0.0, 0.0, 5e-324, 0.1, "inf", "nan"],
    "TEXT": ["", "a", "a\u0000", "abcdefg", "abcdefgh", "abcdefghi", "sixteen bytes..X",
             "sixteen bytes..XY", "zürich"],
    "BLOB": ["", "00", "00" * 16, "ff", "ff" * 17],
    "DATE": ["0001-01-01", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"],
    "TIME": ["00:00:00", "12:34:56.789012", "23:59:59.999999"],
    "TIMESTAMP": ["0001-01-01T00:00:00", "1970-01-01T00:00:00", "2024-02-29T12:34:56.789012"],
    "TIMESTAMP WITH TIME ZONE": ["1970-01-01T00:00:00+00:00", "2024-02-29T12:34:56.789012+00:00"],
    "UUID": ["00000000-0000-0000-0000-000000000000", "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"],
}  # fmt: skip

TERM_TAGS = {
    "BOOLEAN": "o",
    "SMALLINT": "n",
    "INTEGER": "n",
    "BIGINT": "n",
    "DECIMAL(18,2)": "d",
    "DECIMAL(38,10)": "d",
    "REAL": "f",
    "DOUBLE": "f",
    "TEXT": "t",
    "BLOB": "b",
    "DATE": "D",
    "TIME": "T",
    "TIMESTAMP": "S",
    "TIMESTAMP WITH TIME ZONE": "Z",
    "UUID": "u",
}


def term(kind: str, value: Any) -> bytes:
    """Type byte, u32 big-endian length, value: a part of a tuple's canonical term."""
    if kind == "TEXT":
        data = value.encode()
    elif kind == "BLOB":
        data = bytes.fromhex(value)
    else:
        high, low = order_key(kind, value)
        data = struct.pack(">QQ", high, low)
    return TERM_TAGS[kind].encode() + struct.pack(">I", len(data)) + data


def encodings() -> list[dict[str, Any]]:
    return [
        {
            "type": kind,
            "values": values,
            "order": [[str(half) for half in order_key(kind, value)] for value in values],
            "terms": [term(kind, value).hex() for value in values],
        }
        for kind, values in VALUES.items()
    ]


def tuples() -> list[dict[str, Any]]:
    kinds = ["TEXT", "INTEGER", "TEXT"]
    rows: list[list[Any]] = [["a", 1, "bc"], ["ab", 1, "c"], ["", 0, ""], ["a", None, "b"]]
    return [
        {
            "types": kinds,
            "row": row,
            "term": None
            if None in row
            else b"".join(term(kind, value) for kind, value in zip(kinds, row, strict=True)).hex(),
        }
        for row in rows
    ]


# --- Posting lists -------------------------------------------------------------------------------


def posting_list(postings: list[dict[str, Any]]) -> bytes:
    columns = len(postings[0]["payload"])
    positions = "positions" in postings[0]
    single = len(postings) == 1
    out = bytes([1 << 5 | single << 4 | positions << 3 | columns])
    if not single:
        out += leb128(len(postings))
    before = 0
    for one in postings:
        out += leb128(one["ordinal"] - before)
        before = one["ordinal"]
    for column in range(columns):
        out += b"".join(leb128(one["payload"][column]) for one in postings)
    if positions:
        out += b"".join(leb128(len(one["positions"])) for one in postings)
        for one in postings:
            before = 0
            for position in one["positions"]:
                out += leb128(position - before)
                before = position
    return out


def posting_lists() -> list[dict[str, Any]]:
    plain = [0, 1, 127, 128, 255, 16384, 2**40]
    cases: list[list[dict[str, Any]]] = [
        [{"ordinal": 0, "payload": []}],
        [{"ordinal": 2**62, "payload": []}],
        [{"ordinal": ordinal, "payload": []} for ordinal in plain],
        [{"ordinal": 7, "payload": [0, 3, 250]}],
        [
            {"ordinal": 7, "payload": [0, 1, 12]},
            {"ordinal": 7, "payload": [1, 2, 300]},
            {"ordinal": 9, "payload": [0, 1, 2**32 - 1]},
        ],
        [
            {"ordinal": 5, "payload": [0, 2, 90], "positions": [3, 80]},
            {"ordinal": 6, "payload": [0, 0, 90], "positions": []},
            {"ordinal": 400, "payload": [0, 3, 90], "positions": [0, 0, 200]},
        ],
    ]
    return [{"postings": case, "list": posting_list(case).hex()} for case in cases]


# --- Rows and packs ------------------------------------------------------------------------------

SLOT = {
    "SMALLINT": "<h",
    "INTEGER": "<i",
    "BIGINT": "<q",
    "REAL": "<f",
    "DOUBLE": "<d",
    "DATE": "<i",
}


def slot(kind: str, value: Any) -> bytes:
    """The fixed slot of a value that is not NULL."""
    if kind == "BOOLEAN":
        return bytes([value])
    if kind in ("REAL", "DOUBLE"):
        return struct.pack(SLOT[kind], float(value))
    if kind == "UUID":
        return bytes.fromhex(value.replace("-", ""))
    if kind == "INTERVAL":
        return struct.pack("<iiq", *value)
    if kind.startswith("DECIMAL"):
        precision, scale = (int(part) for part in kind[8:-1].split(","))
        number = scaled(value, scale)
        return number.to_bytes(8 if precision <= 18 else 16, "little", signed=True)
    if kind in ("SMALLINT", "INTEGER", "BIGINT"):
        return struct.pack(SLOT[kind], value)
    return struct.pack(SLOT.get(kind, "<q"), number_of(kind, value))


def width(kind: str) -> int:
    """Bytes of a type's slot; 0 for types of variable length."""
    wide = {"BOOLEAN": 1, "SMALLINT": 2, "INTEGER": 4, "REAL": 4, "DATE": 4, "UUID": 16}
    wide |= {"INTERVAL": 16, "TEXT": 0, "BLOB": 0, "JSON": 0}
    if kind.startswith("DECIMAL"):
        return 8 if int(kind[8:-1].split(",", maxsplit=1)[0]) <= 18 else 16
    return wide.get(kind, 8)


def heap_bytes(kind: str, value: Any) -> bytes:
    if value is None:
        return b""
    return bytes.fromhex(value) if kind == "BLOB" else value.encode()


def row_body(kinds: list[str], row: list[Any], schema: int) -> bytes:
    nulls = sum(1 << place for place, value in enumerate(row) if value is None)
    out = struct.pack("<Q", schema) + nulls.to_bytes(-(-len(row) // 64) * 8, "little")
    for size in (16, 8, 4, 2, 1):
        for kind, value in zip(kinds, row, strict=True):
            if width(kind) == size:
                out += bytes(size) if value is None else slot(kind, value)
    out += bytes(-len(out) % 4)
    heap = b""
    for kind, value in zip(kinds, row, strict=True):
        if not width(kind):
            heap += heap_bytes(kind, value)
            out += struct.pack("<I", len(heap))
    return out + heap


ROW_TYPES = [
    "BOOLEAN", "TEXT", "SMALLINT", "INTEGER", "BIGINT", "DECIMAL(10,2)", "DECIMAL(38,0)", "REAL",
    "DOUBLE", "BLOB", "DATE", "TIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "UUID", "JSON",
    "INTERVAL",
]  # fmt: skip
FULL_ROW: list[Any] = [
    True, "zürich", -2, 3, -4, "12.34", "-5", 1.5, -0.25, "00ff", "2024-02-29", "12:34:56.789012",
    "2024-02-29T12:34:56.789012", "1969-12-31T23:59:59.999999+00:00",
    "f81d4fae-7dec-11d0-a765-00a0c91e6bf6", '{"a": 1}', [1, -2, 3_000_000_000],
]  # fmt: skip


def rows() -> list[dict[str, Any]]:
    cases: list[tuple[list[str], list[Any], int]] = [
        (ROW_TYPES, FULL_ROW, 0),
        (ROW_TYPES, [None] * len(ROW_TYPES), 1),
        (["BIGINT"], [1], 0),
        (["TEXT"], [""], 0),
        (["TEXT", "BOOLEAN", "TEXT"], ["ab", None, "c"], 65535),
        (["SMALLINT"] * 65, [*range(64), None], 0),
    ]
    return [
        {
            "types": kinds,
            "schema": schema,
            "row": row,
            "body": row_body(kinds, row, schema).hex(),
            "padded": len(padded(row_body(kinds, row, schema))),
        }
        for kinds, row, schema in cases
    ]


CODES = {
    name: code
    for code, name in enumerate(
        [
            "BOOLEAN",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "DECIMAL",
            "REAL",
            "DOUBLE",
            "TEXT",
            "BLOB",
            "DATE",
            "TIME",
            "TIMESTAMP",
            "TIMESTAMPTZ",
            "UUID",
            "JSON",
            "INTERVAL",
        ],
        start=1,
    )
}


def bits(flags: list[bool]) -> bytes:
    number = sum(1 << place for place, flag in enumerate(flags) if flag)
    return number.to_bytes(-(-len(flags) // 8), "little")


def pack_column(kind: str, values: list[Any]) -> bytes:
    precision = scale = heap = 0
    name = {"TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ"}.get(kind, kind)
    if kind.startswith("DECIMAL"):
        name = "DECIMAL"
        precision, scale = (int(part) for part in kind[8:-1].split(","))
    parts = [bits([value is not None for value in values])]
    if not width(kind):
        ends, data = [0], b""
        for value in values:
            data += heap_bytes(kind, value)
            ends.append(len(data))
        heap = len(data)
        parts += [struct.pack(f"<{len(ends)}i", *ends), data]
    elif kind == "BOOLEAN":
        parts.append(bits([bool(value) for value in values]))
    else:
        empty = bytes(width(kind))
        parts.append(b"".join(empty if v is None else slot(kind, v) for v in values))
    out = struct.pack("<IBBBBQ", len(values), CODES[name], 0, precision, scale, heap)
    out += b"".join(part + bytes(-len(part) % 16) for part in parts)
    return out.ljust(size_class(len(out)), b"\0")


def packs() -> dict[str, Any]:
    columns = [
        ("BOOLEAN", [True, None, False, True, True, True, True, True, True]),
        ("SMALLINT", [1, -1, None]),
        ("BIGINT", []),
        ("DECIMAL(10,2)", ["12.34", None, "-0.01"]),
        ("DECIMAL(38,4)", ["12.34", None, "-0.0001"]),
        ("TEXT", ["zürich", None, "", "a"]),
        ("BLOB", [None, "00ff"]),
        ("DATE", ["1970-01-01", "2024-02-29"]),
        ("TIMESTAMP WITH TIME ZONE", ["2024-02-29T12:34:56.789012+00:00"]),
        ("INTERVAL", [[1, -2, 3_000_000_000], None]),
    ]
    slots, ids = [0, 5, 4095], [1, 2, 7]
    directory = struct.pack("<II", len(slots), len(ids))
    directory += struct.pack(f"<{len(slots) + len(ids)}H", *slots, *ids)
    return {
        "columns": [
            {"type": kind, "values": values, "blob": pack_column(kind, values).hex()}
            for kind, values in columns
        ],
        "directory": {
            "slots": slots,
            "columns": ids,
            "blob": directory.ljust(size_class(len(directory)), b"\0").hex(),
        },
    }


# --- Deltas --------------------------------------------------------------------------------------


class Columns:
    """Appends integer columns; gives (count, minimum, width) for the head."""

    def __init__(self) -> None:
        self.data = b""

    def add(self, values: list[int]) -> list[int]:
        if not values:
            return [0, 0, 1]
        low = min(values)
        size = next(w for w in (1, 2, 4, 8) if max(values) - low < 1 << 8 * w)
        self.data += b"".join((value - low).to_bytes(size, "little") for value in values)
        return [len(values), low, size]

    def runs(self, ordinals: list[int]) -> list[list[int]]:
        firsts: list[int] = []
        lengths: list[int] = []
        for ordinal in ordinals:
            if firsts and ordinal == firsts[-1] + lengths[-1]:
                lengths[-1] += 1
            else:
                firsts.append(ordinal)
                lengths.append(1)
        return [self.add(firsts), self.add(lengths)] if firsts else []


def delta_body(delta: dict[str, Any]) -> bytes:
    columns = Columns()
    added, removed = columns.runs(delta["added"]), columns.runs(delta["removed"])
    hashed = []
    for batch in delta["hashed"]:
        spec = [
            columns.add([int(word) for word in batch["words"]]),
            columns.add(batch["ordinals"]),
            [columns.add(column) for column in batch["payload"]],
        ]
        if "positions" in batch:
            spec.append(columns.add([len(one) for one in batch["positions"]]))
            spec.append(columns.add([place for one in batch["positions"] for place in one]))
        hashed.append(spec)
    ranges = {
        int(index): [
            columns.add([int(high) for high, _ in keys]),
            columns.add([int(low) for _, low in keys]),
            columns.add(ordinals),
        ]
        for index, (keys, ordinals) in delta["sorted"].items()
    }
    head = cbor(
        [
            1,
            bytes.fromhex(delta["incarnation"]),
            delta["catalog_version"],
            bytes.fromhex(delta["catalog_hash"]),
            bytes.fromhex(delta["txn"]),
            bytes.fromhex(delta["prev"]),
            delta["epoch"],
            bytes.fromhex(delta["chain"]),
            {bytes.fromhex(w): [n, bytes.fromhex(h)] for w, (n, h) in delta["seen"].items()},
            [[table, bytes.fromhex(w), n, at] for table, w, n, at in delta["siblings"]],
            added,
            removed,
            hashed,
            ranges,
            {int(index): stats for index, stats in delta["stats"].items()},
        ]
    )
    inner = struct.pack("<I", len(head)) + head + columns.data
    return (struct.pack("<I", len(inner)) + inner).ljust(delta_class(len(inner) + 4), b"\0")


def deltas() -> list[dict[str, Any]]:
    empty: dict[str, Any] = {
        "incarnation": INCARNATION.hex(),
        "catalog_version": 0,
        "catalog_hash": bytes(32).hex(),
        "txn": TXN.hex(),
        "prev": bytes(32).hex(),
        "epoch": 0,
        "chain": bytes(32).hex(),
        "seen": {},
        "siblings": [],
        "added": [],
        "removed": [],
        "hashed": [],
        "sorted": {},
        "stats": {},
    }
    full = empty | {
        "catalog_version": 300,
        "catalog_hash": hashlib.sha256(b"catalog").hexdigest(),
        "prev": hashlib.sha256(b"previous").hexdigest(),
        "epoch": 5,
        "chain": hashlib.sha256(b"chain").hexdigest(),
        "seen": {bytes([0x55]).hex() * 16: [12, hashlib.sha256(b"seen").hexdigest()]},
        "siblings": [[7, WRITER.hex(), 2, 5]],
        "added": [4096, 4097, 4098, 5000],
        "removed": [1, 3, 4],
        "hashed": [
            {"words": ["18446744073709551615", "5"], "ordinals": [4096, 5000], "payload": []},
            {
                "words": ["9", "9"],
                "ordinals": [4097, 4098],
                "payload": [[0, 1], [2, 1], [70000, 3]],
                "positions": [[1, 500], [2]],
            },
        ],
        "sorted": {"4": [[["9223372036854775808", "0"], ["1", "2"]], [4096, 5000]]},
        "stats": {"5": [-1, [-40, 300]]},
    }
    return [{**case, "body": delta_body(case).hex()} for case in (empty, full)]


def statistics_columns() -> list[dict[str, Any]]:
    """Columns of statistics: the page without the zeros behind it, and the common values by their terms."""
    key = table_key("values")
    empty = {"column": 1, "counts": [0, 0, 0], "means": [0.0, 0.0, 0.0]}
    full = {
        "column": 1600,
        "counts": [10**12, 262144, 30],
        "means": [12.5, 8.0, -0.25],
        "terms": [bytes(16).hex(), (b"\x80" + bytes(15)).hex(), "6162"],
        "shares": [0.5, 0.1, 0.0001],
        "bounds": [["0", "7"], ["0", "7"], ["9223372036854775808", "18446744073709551615"]],
    }
    found = []
    for case in ({**empty, "terms": [], "shares": [], "bounds": []}, full):
        words = [
            int.from_bytes(mac(key, "words", 0, term, fixed=len(term) == 16)[:8], "little")
            for term in map(bytes.fromhex, case["terms"])
        ]
        front = struct.pack("<4H", case["column"], len(words), len(case["bounds"]), 0)
        front += struct.pack("<3Q", *case["counts"]) + struct.pack("<3d", *case["means"])
        front += b"".join(struct.pack("<Q", word) for word in words)
        front += b"".join(struct.pack("<d", share) for share in case["shares"])
        for high, low in case["bounds"]:
            front += struct.pack("<2Q", int(high), int(low))
        found.append({**case, "words": list(map(str, words)), "page": front.hex()})
    return found


FILES = {
    "contexts.json": contexts,
    "keys.json": key_tree,
    "classes.json": classes,
    "prf.json": term_prf,
    "labels.json": labels,
    "placement.json": placement,
    "encodings.json": encodings,
    "tuples.json": tuples,
    "postings.json": posting_lists,
    "rows.json": rows,
    "packs.json": packs,
    "deltas.json": deltas,
    "statistics.json": statistics_columns,
}
"""File name to the function that computes its content."""


def render(content: Any) -> str:
    """The text of a file."""
    return json.dumps(content, indent=1, ensure_ascii=True) + "\n"


def main() -> None:
    """Write all files."""
    for name, make in FILES.items():
        (HERE / name).write_text(render(make()), encoding="ascii")


if __name__ == "__main__":
    main()
