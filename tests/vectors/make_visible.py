"""Writes ``visible.json`` beside this file: ``python tests/vectors/make_visible.py``.

Tags, ore ciphertexts and tokens, and clww ciphertexts, computed a second time from the text of
``docs/format.md``, one value, one block and one bit at a time, from the bare AES, SHA-256, BLAKE2b and HMAC.
Nothing of the product is imported, and no NumPy. The scheme boldyreva is recorded from the library pyope 0.2.2,
called by itself as the text says: these answers show that what the library computes has not changed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from pyope.ope import OPE, ValueRange

HERE = Path(__file__).resolve().parent
KEY = bytes(range(32))
NONCE = bytes(range(0x60, 0x70))


def derive(key: bytes, *parts: str | int) -> bytes:
    """One block of HKDF-Expand-SHA256 over length-prefixed parts."""
    packed = b""
    for part in parts:
        if isinstance(part, str):
            tag, data = b"s", part.encode()
        else:
            tag, data = b"i", part.to_bytes(part.bit_length() // 8 + 1, "big", signed=True)
        packed += tag + struct.pack(">I", len(data)) + data
    return hmac.new(key, packed + b"\x01", hashlib.sha256).digest()


def aes(key: bytes, block: bytes) -> bytes:
    """One block of AES."""
    encryptor = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    return encryptor.update(block)


def xor(one: bytes, two: bytes) -> bytes:
    """Byte by byte."""
    return bytes(a ^ b for a, b in zip(one, two, strict=True))


class Ore:
    """FORMAT, section ore."""

    def __init__(self, mask: str, bits: int) -> None:
        self.mask, self.bits = mask, bits
        self.width = {"aes": 6, "sha256": 4}[mask]
        self.blocks = -(-bits // self.width)
        own = derive(KEY, "ore", mask, bits)
        self.k1, self.k2 = derive(own, "slots"), derive(own, "order")

    def prf(self, key: bytes, prefix: int, block: int, number: int) -> bytes:
        """E(E(P) xor (i ‖ s ‖ 0…))."""
        second = bytes((block, number)) + bytes(14)
        return aes(key, xor(aes(key, prefix.to_bytes(16, "big")), second))

    def order(self, prefix: int, block: int) -> list[int]:
        """The values of a block in the order of their slots."""

        def rank(value: int) -> int:
            output = self.prf(self.k2, prefix, block, value)
            return int.from_bytes(output[:8], "little") >> self.width << self.width | value

        return sorted(range(1 << self.width), key=rank)

    def cut(self, number: int, block: int) -> tuple[int, int]:
        """The blocks before block i, and block i."""
        after = (self.blocks - block) * self.width
        return number >> after, number >> after - self.width & (1 << self.width) - 1

    def masked(self, key: bytes) -> int:
        """Two bits."""
        if self.mask == "aes":
            return (aes(bytes(16), xor(key, NONCE))[0] ^ key[0]) & 3
        return hashlib.sha256(b"encdb-ore1" + key + NONCE).digest()[0] & 3

    def ciphertext(self, number: int) -> bytes:
        """Under the fixed nonce."""
        found = NONCE
        for block in range(self.blocks):
            prefix, digit = self.cut(number, block)
            packed = 0
            for slot, value in enumerate(self.order(prefix, block)):
                cell = 0 if value == digit else 1 if value < digit else 2
                cell ^= self.masked(self.prf(self.k1, prefix, block, slot))
                packed |= cell << 2 * slot
            found += packed.to_bytes((1 << self.width) // 4, "little")
        return found

    def token(self, number: int) -> bytes:
        """What a store is sent."""
        found = bytes((1, ("aes", "sha256").index(self.mask), self.width, self.bits))
        for block in range(self.blocks):
            prefix, digit = self.cut(number, block)
            slot = self.order(prefix, block).index(digit)
            found += bytes((slot,)) + self.prf(self.k1, prefix, block, slot)
        return found


def clww(number: int, bits: int) -> bytes:
    """One byte a bit."""
    key, found = derive(KEY, "ope", "clww", bits), b""
    for place in range(bits):
        prefix = number >> bits - place
        block = (prefix << 1 | 1) << 127 - place
        output = aes(key, block.to_bytes(16, "big"))
        bit = number >> bits - 1 - place & 1
        found += bytes((int.from_bytes(output[:8], "little") % 255 + bit,))
    return found


def boldyreva(number: int, bits: int) -> bytes:
    """What pyope makes of a number."""
    plain, shown = ValueRange(0, (1 << bits) - 1), ValueRange(1 << 32, (1 << 32) + (1 << 44) - 1)
    found = OPE(derive(KEY, "ope", "boldyreva", bits), plain, shown).encrypt(number)
    return int(found - (1 << 32)).to_bytes(6, "big")


def tag(families: list[str], block: bytes | None, item: bytes | None) -> bytes:
    """128 bits of the two-block CBC-MAC, of a fixed-width block or of an item of any length."""
    parent = derive(derive(KEY, "det", *families), "prf", "tags")
    if block is not None:
        key = derive(parent, "block")
    else:
        assert item is not None
        key = derive(parent, "item")
        digest = hashlib.blake2b(item, key=derive(parent, "hash"), digest_size=16)
        block = digest.digest()
    return aes(key, xor(aes(key, block), bytes(15) + b"\x01"))


def content() -> dict[str, Any]:
    """Everything in the file; numbers beyond 2⁵³ as text."""
    numbers = {
        8: [0, 1],
        16: [0, 40_000, 65_535],
        32: [0, 1, 0x80000007, (1 << 32) - 1],
        64: [0, 0x8000000000000001, (1 << 64) - 1],
        128: [0, int.from_bytes(b"a text of many bytes"[:16], "big"), (1 << 128) - 1],
    }
    ore = [
        {
            "mask": mask,
            "bits": bits,
            "number": str(number),
            "ciphertext": Ore(mask, bits).ciphertext(number).hex(),
            "token": Ore(mask, bits).token(number).hex(),
        }
        for mask in ("aes", "sha256")
        for bits, known in numbers.items()
        for number in known
    ]
    ope = [
        {"bits": bits, "number": str(number), "ciphertext": clww(number, bits).hex()}
        for bits, known in numbers.items()
        for number in known
    ]
    library = [
        {"bits": bits, "number": str(number), "ciphertext": boldyreva(number, bits).hex()}
        for bits in (16, 32)
        for number in numbers[bits]
    ]
    five = (1 << 63 | 5).to_bytes(8, "big") + bytes(8)
    text = b"t" + struct.pack(">I", 5) + b"06920"
    det = [
        {"types": ["INTEGER"], "values": [5], "tag": tag(["integer"], five, None).hex()},
        {"types": ["BIGINT"], "values": [5], "tag": tag(["integer"], five, None).hex()},
        {"types": ["TEXT"], "values": ["06920"], "tag": tag(["text"], None, text).hex()},
        {
            "types": ["TEXT", "SMALLINT"],
            "values": ["06920", 5],
            "tag": tag(["text", "integer"], None, text + b"n" + struct.pack(">I", 16) + five).hex(),
        },
    ]
    return {
        "key": KEY.hex(),
        "nonce": NONCE.hex(),
        "det": det,
        "ore": ore,
        "clww": ope,
        "boldyreva": library,
    }


def render() -> str:
    """The text of the file."""
    return json.dumps(content(), indent=1, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    (HERE / "visible.json").write_text(render(), encoding="ascii")
