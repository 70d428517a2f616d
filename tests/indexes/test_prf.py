from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import ECB

from indexes.keys import Key
from indexes.prf import BlockCipher, TermPrf

KEY = Key(bytes(range(32)))


def aes(key: Key, block: bytes) -> bytes:
    return Cipher(AES256(key.expose()), ECB()).encryptor().update(block)


def reference(purpose: str, domain: int, term: bytes, *, fixed: bool) -> bytes:
    parent = KEY.derive("prf", purpose)
    if fixed:
        key, block = parent.derive("block"), term
    else:
        key = parent.derive("item")
        block = blake2b(term, key=parent.derive("hash").expose(), digest_size=16).digest()
    first = bytearray(aes(key, block))
    first[15] ^= domain
    return aes(key, bytes(first))


def test_block_cipher_is_aes_256():
    # FIPS 197, appendix C.3.
    cipher = BlockCipher(Key(bytes(range(32))))
    plain = bytes.fromhex("00112233445566778899aabbccddeeff")
    wanted = bytes.fromhex("8ea2b7ca516745bfeafc49904b496089")
    assert cipher.encrypt_bytes(plain) == wanted
    many = np.frombuffer(plain * 3, dtype=np.uint8).reshape(3, 16)
    assert cipher.encrypt(many).tobytes() == wanted * 3


def test_block_cipher_crosses_its_chunk_boundary(monkeypatch):
    monkeypatch.setattr("indexes.prf._CHUNK", 64)
    blocks = np.random.default_rng(1).integers(0, 256, (11, 16)).astype(np.uint8)
    cipher = BlockCipher(KEY)
    assert cipher.encrypt(blocks).tobytes() == cipher.encrypt_bytes(blocks.tobytes())


@pytest.mark.parametrize("blocks", [np.zeros((2, 8), np.uint8), np.zeros(16, np.uint8)])
def test_block_cipher_refuses_other_shapes(blocks):
    with pytest.raises(ValueError, match="uint8"):
        BlockCipher(KEY).encrypt(blocks)


def test_block_cipher_refuses_part_of_a_block():
    with pytest.raises(ValueError, match="whole blocks"):
        BlockCipher(KEY).encrypt_bytes(b"short")


def test_words_and_tags_follow_the_written_construction():
    prf = TermPrf(KEY)
    terms = [b"", b"a", b"x" * 1000]
    fixed = [bytes(16), bytes(range(16))]
    blocks = np.frombuffer(b"".join(fixed), dtype=np.uint8).reshape(-1, 16)
    assert prf.items(terms).tolist() == [
        int.from_bytes(reference("words", 0, t, fixed=False)[:8], "little") for t in terms
    ]
    assert prf.blocks(blocks).tolist() == [
        int.from_bytes(reference("words", 0, t, fixed=True)[:8], "little") for t in fixed
    ]
    assert [tag.tobytes() for tag in prf.tag_items(terms)] == [
        reference("tags", 1, t, fixed=False) for t in terms
    ]
    assert [tag.tobytes() for tag in prf.tag_blocks(blocks)] == [
        reference("tags", 1, t, fixed=True) for t in fixed
    ]


def test_a_batch_does_not_change_a_term():
    prf = TermPrf(KEY)
    terms = [b"%d" % i for i in range(50)]
    assert prf.items(terms).tolist() == [int(prf.items([term])[0]) for term in terms]


def test_words_tags_forms_and_keys_are_unrelated():
    term = bytes(range(16))
    block = np.frombuffer(term, dtype=np.uint8).reshape(1, 16)
    one, other = TermPrf(KEY), TermPrf(KEY.derive("other index"))
    outputs = {
        one.items([term])[0].tobytes(),
        one.blocks(block)[0].tobytes(),
        one.tag_items([term])[0, :8].tobytes(),
        one.tag_blocks(block)[0, :8].tobytes(),
        other.items([term])[0].tobytes(),
        other.blocks(block)[0].tobytes(),
    }
    assert len(outputs) == 6


def test_empty_batches():
    prf = TermPrf(KEY)
    assert prf.items([]).shape == (0,)
    assert prf.blocks(np.zeros((0, 16), np.uint8)).shape == (0,)
    assert prf.tag_items([]).shape == (0, 16)
