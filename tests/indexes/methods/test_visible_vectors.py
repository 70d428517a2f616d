"""The server-visible schemes against tests/vectors/visible.json, which a second implementation computes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from indexes.keys import Key
from indexes.methods import det
from indexes.methods.domain import bits_of
from indexes.methods.ope import SCHEMES, cipher
from indexes.methods.ore import server
from indexes.methods.ore.client import OreCipher
from indexes.types import ColumnType

VECTORS = Path(__file__).resolve().parents[2] / "vectors"
KNOWN = json.loads((VECTORS / "visible.json").read_text(encoding="ascii"))
KEY = Key(bytes.fromhex(KNOWN["key"]))
TYPES = {8: "BOOLEAN", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT", 128: "UUID"}


def keys_of(number, bits):
    """The order key of a number of so many bits."""
    if bits == 128:
        return [number >> 64, number & (1 << 64) - 1]
    offset = 0 if bits in (8, 64) else (1 << 63) - (1 << bits - 1)
    return [number + offset, 0]


def keys_array(number, bits):
    return np.array([keys_of(number, bits)], dtype=np.uint64)


def test_the_second_implementation_still_gives_them():
    path = VECTORS / "make_visible.py"
    source = path.read_text(encoding="utf-8")
    for room in ("indexes", "encdb", "proxy", "numpy"):
        assert f"import {room}" not in source
        assert f"from {room}" not in source
    spec = importlib.util.spec_from_file_location("make_visible", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (VECTORS / "visible.json").read_text(encoding="ascii") == module.render()


@pytest.mark.parametrize("case", KNOWN["ore"], ids=lambda c: f"{c['mask']}-{c['number']}")
def test_ore(case):
    kind, number = ColumnType.parse(TYPES[case["bits"]]), int(case["number"])
    assert bits_of(kind) == case["bits"]
    one = OreCipher(KEY, kind, case["mask"])
    keys = keys_array(number, case["bits"])
    stored = np.frombuffer(bytes.fromhex(case["ciphertext"]), dtype=np.uint8).reshape(1, -1)
    assert one.verify(keys, stored).tolist() == [True]
    token = one.token(tuple(keys_of(number, case["bits"])))
    assert token.hex() == case["token"]
    assert server.compare(token, stored).tolist() == [0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ope(scheme):
    for case in KNOWN[scheme]:
        kind = ColumnType.parse(TYPES[case["bits"]])
        found = cipher(KEY, kind, scheme).encrypt(keys_array(int(case["number"]), case["bits"]))
        assert found.tobytes().hex() == case["ciphertext"]


@pytest.mark.parametrize("case", KNOWN["det"], ids=lambda c: "-".join(c["types"]))
def test_det(case):
    types = [ColumnType.parse(name) for name in case["types"]]
    arrays = [
        pa.array([value], kind.arrow) for value, kind in zip(case["values"], types, strict=True)
    ]
    found, valid = det.tags(det.tag_prf(KEY, types), arrays, types)
    assert valid.tolist() == [True]
    assert found.tobytes().hex() == case["tag"]
