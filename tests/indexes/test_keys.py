from __future__ import annotations

import copy
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.keys import Key, pack_context

parts = st.lists(st.text(max_size=5) | st.binary(max_size=5) | st.integers(-(2**70), 2**70))


@given(parts, parts)
def test_contexts_are_unambiguous(left, right):
    same = [(type(x), x) for x in left] == [(type(x), x) for x in right]
    assert (pack_context(*left) == pack_context(*right)) == same


def test_known_ambiguities():
    groups = [("a", "bc"), ("ab", "c"), ("abc",), ("abc", ""), (b"abc",), (1,), ("1",), (b"\x01",)]
    groups += [(0,), (-1,), (255,), (127,), (128,), (-128,), ()]
    assert len({pack_context(*group) for group in groups}) == len(groups)


def test_context_bytes():
    assert pack_context("é", b"\0", -1, 300) == bytes.fromhex(
        "73 00000002 c3a9  62 00000001 00  69 00000001 ff  69 00000002 012c"
    )


@pytest.mark.parametrize("part", [True, None, 1.0, bytearray(b"x"), ("a",)])
def test_other_parts_are_refused(part):
    with pytest.raises(TypeError):
        pack_context(part)


def test_lone_surrogate():
    with pytest.raises(ValueError):
        pack_context("\ud800")


def test_derivation_is_hkdf_expand():
    # RFC 5869, section 2.3, for one block of output: T(1) = HMAC(PRK, info ‖ 0x01).
    key = Key(bytes(range(32)))
    info = pack_context("rows", 7, b"\xff")
    wanted = hmac.digest(key.expose(), info + b"\x01", "sha256")
    assert key.derive("rows", 7, b"\xff").expose() == wanted


def test_derived_keys_differ():
    key = Key.random()
    assert key.derive("a") == key.derive("a")
    assert key.derive("a") != key.derive("b")
    assert key.derive("a") != key
    assert key != key.expose()
    with pytest.raises(ValueError):
        key.derive()


def test_secrets_do_not_slip_out():
    key = Key(b"\x5a" * 32)
    for text in (repr(key), str(key), f"{key}", f"{[key]}"):
        assert "Z" not in text
        assert "5a" not in text
    for attempt in (copy.copy, copy.deepcopy, pickle.dumps, hash, vars):
        with pytest.raises(TypeError):
            attempt(key)


@pytest.mark.parametrize("secret", [b"", bytes(31), bytes(33)])
def test_length(secret):
    with pytest.raises(ValueError):
        Key(secret)


@pytest.mark.parametrize("secret", ["x" * 32, bytearray(32), None, 32])
def test_type(secret):
    with pytest.raises(TypeError):
        Key(secret)


def test_random_keys_differ():
    assert Key.random() != Key.random()
