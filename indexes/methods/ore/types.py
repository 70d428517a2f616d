"""Sizes and layouts of ore ciphertexts and tokens.

    ciphertext   r (16 random bytes) | per block 2^w slots of 2 bits, lowest bits first
    token        version u8 | mask u8 | w u8 | n u8 | per block: slot u8 | key of the slot (16 bytes)

A slot, unmasked, is 0 when the token's block equals the stored one, 1 when it is less and 2 when it is
greater; 3 never occurs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

VERSION: Final = 1
NONCE_BYTES: Final = 16
KEY_BYTES: Final = 16
HEAD_BYTES: Final = 4
STEP_BYTES: Final = 1 + KEY_BYTES
EQUAL, LESS, GREATER = 0, 1, 2

AES, SHA256 = "aes", "sha256"
MASKS: Final = (AES, SHA256)
"""How slots are masked, in the order of their numbers in tokens: by AES where the store runs our code, by
SHA-256 where PostgreSQL computes it."""

WIDTHS: Final = {AES: 6, SHA256: 4}
"""Bits of a block, by mask: wide blocks make fewer steps, narrow ones fewer hashes to write."""

SHA256_PREFIX: Final = b"encdb-ore1"
BITS: Final = (8, 16, 32, 64, 128)


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides the sizes of an index's ciphertexts.

    Args:
        bits: of a number, n: 8, 16, 32, 64 or 128.
        mask: `aes` or `sha256`.

    Raises:
        ValueError: something else.
    """

    bits: int
    mask: str

    def __post_init__(self) -> None:
        if self.bits not in BITS or self.mask not in MASKS:
            raise ValueError("an ore ciphertext has 8 to 128 bits and a known mask")

    @property
    def width(self) -> int:
        """Bits of a block, w."""
        return WIDTHS[self.mask]

    @property
    def blocks(self) -> int:
        """Blocks of a number; zero bits in front fill the first one."""
        return -(-self.bits // self.width)

    @property
    def slots(self) -> int:
        """Values that a block can have, 2^w."""
        return 1 << self.width

    @property
    def block_bytes(self) -> int:
        """Bytes of one block's slots."""
        return self.slots // 4

    @property
    def ciphertext_bytes(self) -> int:
        """Bytes of a ciphertext: 48 and 80 for 32 and 64 bits under `sha256`, 112 and 192 under `aes`."""
        return NONCE_BYTES + self.blocks * self.block_bytes

    @property
    def token_bytes(self) -> int:
        """Bytes of a token."""
        return HEAD_BYTES + self.blocks * STEP_BYTES

    @property
    def head(self) -> bytes:
        """The first bytes of every token of this shape."""
        return bytes((VERSION, MASKS.index(self.mask), self.width, self.bits))
