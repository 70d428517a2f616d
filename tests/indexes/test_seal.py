from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from hypothesis import given
from hypothesis import strategies as st

from indexes import seal
from indexes.errors import EncodingRefused, IntegrityFailure
from indexes.keys import Key
from indexes.seal import (
    PAGE_SEALED,
    PAGE_USABLE,
    PageSealer,
    RecordSealer,
    pad,
    size_class,
    unpad,
)

KEY = Key(bytes(range(32)))
SALT = bytes(range(32))


def damaged(blob):
    """Every blob with one bit of one byte flipped, and every truncation and extension."""
    for place in range(len(blob)):
        yield blob[:place] + bytes([blob[place] ^ (1 << place % 8)]) + blob[place + 1 :]
    for size in range(len(blob)):
        yield blob[:size]
    yield blob + b"\0"


class TestRecords:
    def test_construction(self):
        # The library's AEAD is tested with the vectors of RFC 8452; this fixes the layout around it.
        blob = RecordSealer(KEY).seal(b"plain", b"address")
        assert len(blob) == 5 + seal.RECORD_OVERHEAD
        assert AESGCMSIV(KEY.expose()).decrypt(blob[:12], blob[12:], b"address") == b"plain"

    @given(st.binary(max_size=200), st.binary(max_size=50))
    def test_round_trip(self, plain, aad):
        sealer = RecordSealer(KEY)
        assert sealer.open(sealer.seal(plain, aad), aad) == plain

    def test_nonces_are_fresh(self):
        sealer = RecordSealer(KEY)
        assert len({sealer.seal(b"x", b"")[:12] for _ in range(100)}) == 100
        assert len({blob[:12] for blob in sealer.seal_many([b"x"] * 100, [b""] * 100)}) == 100

    def test_any_damage(self):
        sealer = RecordSealer(KEY)
        blob = sealer.seal(b"some plaintext", b"address")
        for bad in damaged(blob):
            with pytest.raises(IntegrityFailure):
                sealer.open(bad, b"address")
            with pytest.raises(IntegrityFailure):
                sealer.open_many([blob, bad], [b"address"] * 2)

    def test_another_address_or_key(self):
        blob = RecordSealer(KEY).seal(b"x", b"address")
        with pytest.raises(IntegrityFailure):
            RecordSealer(KEY).open(blob, b"Address")
        with pytest.raises(IntegrityFailure):
            RecordSealer(Key.random()).open(blob, b"address")

    @pytest.mark.parametrize("served", [None, 5, "text", b"", [b"x"]])
    def test_whatever_a_store_serves(self, served):
        with pytest.raises(IntegrityFailure):
            RecordSealer(KEY).open(served, b"")
        with pytest.raises(IntegrityFailure):
            PageSealer(KEY, SALT, b"test", b"").open(0, served)

    def test_many(self):
        sealer = RecordSealer(KEY)
        plains, aads = [b"a", b"", b"ccc"], [b"1", b"2", b"3"]
        blobs = sealer.seal_many(plains, aads)
        assert sealer.open_many(blobs, aads) == plains
        assert [sealer.open(b, a) for b, a in zip(blobs, aads, strict=True)] == plains
        with pytest.raises(IntegrityFailure):
            sealer.open_many(blobs, [b"1", b"3", b"2"])
        with pytest.raises(IntegrityFailure):
            sealer.open_many(blobs[:2], aads)


class TestPages:
    def test_construction(self):
        blob = PageSealer(KEY, SALT, b"kind", b"aad").seal(258, bytes(PAGE_USABLE))
        assert len(blob) == PAGE_SEALED
        cipher = AESGCM(KEY.derive("page", SALT).expose())
        nonce = b"kind" + bytes([0, 0, 0, 0, 0, 0, 1, 2])
        assert cipher.decrypt(nonce, blob, b"aad") == bytes(PAGE_USABLE)

    def test_any_damage(self):
        sealer = PageSealer(KEY, SALT, b"test", b"aad")
        for bad in damaged(sealer.seal(1, b"some plaintext")):
            with pytest.raises(IntegrityFailure):
                sealer.open(1, bad)

    def test_address(self):
        blob = PageSealer(KEY, SALT, b"test", b"aad").seal(1, b"x")
        others = [
            (PageSealer(KEY, SALT, b"test", b"aad"), 2),
            (PageSealer(KEY, SALT, b"tesu", b"aad"), 1),
            (PageSealer(KEY, SALT, b"test", b"aae"), 1),
            (PageSealer(KEY, bytes(32), b"test", b"aad"), 1),
            (PageSealer(Key.random(), SALT, b"test", b"aad"), 1),
        ]
        for sealer, number in others:
            with pytest.raises(IntegrityFailure):
                sealer.open(number, blob)

    def test_misuse(self):
        for salt, kind in ((bytes(31), b"test"), (SALT, b"tes"), (SALT, b"tests")):
            with pytest.raises(ValueError):
                PageSealer(KEY, salt, kind, b"")


class TestPadding:
    def test_classes(self):
        sizes = range(1, 20_000)
        classes = [size_class(size) for size in sizes]
        assert classes[0] == 64
        assert classes == sorted(classes)
        assert all(found >= size for found, size in zip(classes, sizes, strict=True))
        assert all(
            16 * (found - size) < size
            for found, size in zip(classes, sizes, strict=True)
            if size > 64
        )
        assert all(size_class(found) == found for found in classes)
        # Sixteen classes an octave.
        assert len({found for found in classes if 1024 < found <= 2048}) == 16
        assert len({found for found in classes if 64 < found <= 128}) == 16

    @given(st.binary(max_size=3000))
    def test_round_trip(self, data):
        padded = pad(data)
        assert len(padded) == size_class(len(data) + 4)
        assert unpad(padded) == data

    def test_other_classes(self):
        assert len(pad(b"abc", lambda _: 100)) == 100
        assert unpad(pad(b"abc", lambda size: size)) == b"abc"

    @pytest.mark.parametrize(
        "padded", [b"", b"\0\0\0", b"\1\0\0\0", b"\xff\xff\xff\xff" + bytes(60)]
    )
    def test_length_that_does_not_fit(self, padded):
        with pytest.raises(IntegrityFailure):
            unpad(padded)

    def test_too_long(self, monkeypatch):
        monkeypatch.setattr(seal, "MAX_PLAINTEXT", 10)
        with pytest.raises(EncodingRefused):
            pad(bytes(11))
        with pytest.raises(EncodingRefused):
            RecordSealer(KEY).seal(bytes(11), b"")
        with pytest.raises(EncodingRefused):
            RecordSealer(KEY).seal_many([bytes(11)], [b""])
        with pytest.raises(EncodingRefused):
            PageSealer(KEY, SALT, b"test", b"").seal(0, bytes(11))


def test_one_failure_with_one_text():
    texts = set()
    sealer = RecordSealer(KEY)
    for attempt in (
        lambda: sealer.open(b"", b""),
        lambda: sealer.open(bytes(99), b""),
        lambda: unpad(b""),
    ):
        with pytest.raises(IntegrityFailure) as caught:
            attempt()
        texts.add(str(caught.value))
        assert caught.value.__cause__ is None
    assert len(texts) == 1
