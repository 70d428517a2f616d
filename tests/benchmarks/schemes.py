"""The schemes of server-visible indexes alone, beside pyope and libmongocrypt's explicit encryption.

Microseconds a value, nanoseconds a comparison, and bytes of what is stored. Ours work on batches, as indexes
use them; the peers' interfaces take one value at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from indexes.keys import Key
from indexes.methods import det
from indexes.methods.ope import cipher
from indexes.methods.ore import server
from indexes.methods.ore.client import OreCipher
from indexes.methods.ore.types import MASKS
from indexes.types import ColumnType
from tests.benchmarks import data
from tests.benchmarks.measure import Figure, Report, stopwatch
from tests.benchmarks.mongocrypt import MongoCrypt

SECTION = "Schemes of server-visible indexes"
TYPES = {32: ColumnType.parse("INTEGER"), 64: ColumnType.parse("BIGINT")}
BATCH = 100_000
SLOW_BATCH = 5_000
PEER_VALUES = 300
OPE_BAR, ORE_BARS = 5.0, {"aes": 20.0, "sha256": 200.0}


def values(bits: int, count: int) -> np.ndarray[Any, Any]:
    """Distinct-looking signed integers of so many bits."""
    random = np.random.default_rng(data.SEED)
    return random.integers(-(1 << (bits - 1)), 1 << (bits - 1), count, dtype=np.int64)


def keys_of(numbers: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Their order keys."""
    keys = np.zeros((len(numbers), 2), dtype=np.uint64)
    keys[:, 0] = numbers.view(np.uint64) ^ np.uint64(1 << 63)
    return keys


def micros(call: Callable[[], object], count: int) -> float:
    """Microseconds a value of the fastest of three calls, after one to warm up."""
    call()
    taken = []
    for _ in range(3):
        with stopwatch() as watch:
            call()
        taken.append(watch.seconds)
    return min(taken) / count * 1e6


def run(report: Report) -> None:
    """Every scheme at 32 and 64 bits."""
    peer = pyope_micros()
    mongo = MongoCrypt()
    for bits, kind in TYPES.items():
        _ope(report, bits, kind, peer)
        _ore(report, bits, kind, mongo)
    _boldyreva(report, peer)
    _det(report, mongo)


def pyope_micros() -> float:
    """Microseconds a value of pyope itself, from 31 to 47 bits, every value another one."""
    from pyope.ope import OPE, ValueRange

    peer = OPE(b"k" * 32, ValueRange(0, (1 << 31) - 1), ValueRange(0, (1 << 47) - 1))
    numbers = (values(32, PEER_VALUES) & ((1 << 31) - 1)).tolist()
    with stopwatch() as watch:
        for number in numbers:
            peer.encrypt(number)
    return watch.seconds / PEER_VALUES * 1e6


def _ope(report: Report, bits: int, kind: ColumnType, peer: float) -> None:
    one, keys = cipher(Key.random(), kind, "clww"), keys_of(values(bits, BATCH))
    taken = micros(lambda: one.encrypt(keys), BATCH)
    bar = f"at most {OPE_BAR:.0f} us"
    _add(
        report, f"ope clww: encrypt {bits} bits", taken, "us", "pyope", peer, bar, taken <= OPE_BAR
    )
    _add(report, f"ope clww: {bits} bits", one.width, "bytes")


def _boldyreva(report: Report, peer: float) -> None:
    one = cipher(Key.random(), TYPES[32], "boldyreva")
    keys = keys_of(values(32, PEER_VALUES))
    with stopwatch() as watch:
        one.encrypt(keys)
    taken = watch.seconds / PEER_VALUES * 1e6
    _add(report, "ope boldyreva: encrypt 32 bits, all distinct", taken, "us", "pyope", peer)
    few = keys[np.random.default_rng(1).integers(0, 100, BATCH)]
    _add(
        report,
        "ope boldyreva: 100 values in 10⁵ rows",
        micros(lambda: one.encrypt(few), BATCH),
        "us",
    )
    _add(report, "ope boldyreva", one.width, "bytes")


def _ore(report: Report, bits: int, kind: ColumnType, mongo: MongoCrypt) -> None:
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    numbers = values(bits, 200).tolist()
    with stopwatch() as watch:
        sizes = [len(mongo.ranged(number, low, high)) for number in numbers]
    peer, size = watch.seconds / len(numbers) * 1e6, float(np.mean(sizes))
    for mask in MASKS:
        one, count = OreCipher(Key.random(), kind, mask), BATCH if mask == "aes" else SLOW_BATCH
        keys = keys_of(values(bits, count))
        taken = micros(lambda one=one, keys=keys: one.encrypt(keys), count)
        bar, met = f"at most {ORE_BARS[mask]:.0f} us", taken <= ORE_BARS[mask]
        name = f"ore {mask}, {bits} bits"
        _add(report, f"{name}: encrypt", taken, "us", "libmongocrypt range", peer, bar, met)
        stored = np.resize(one.encrypt(keys), (BATCH, one.shape.ciphertext_bytes))
        token = one.token((int(keys[0, 0]), 0))
        compared = micros(lambda t=token, s=stored: server.compare(t, s), BATCH)
        _add(report, f"{name}: compare", compared * 1000, "ns")
        stored_bytes = one.shape.ciphertext_bytes
        _add(report, f"{name}: ciphertext", stored_bytes, "bytes", "libmongocrypt range", size)


def _det(report: Report, mongo: MongoCrypt) -> None:
    numbers, kind = values(64, BATCH), TYPES[64]
    array: Any = pa.array(numbers)
    prf = det.tag_prf(Key.random(), [kind])
    taken = micros(lambda: det.tags(prf, [array], [kind]), BATCH)
    texts: Any = pa.array([f"person {number}" for number in numbers.tolist()])
    text = ColumnType.parse("TEXT")
    text_prf = det.tag_prf(Key.random(), [text])
    text_taken = micros(lambda: det.tags(text_prf, [texts], [text]), BATCH)
    some = numbers[:1_000].tolist()
    for name, call in (("deterministic", mongo.deterministic), ("indexed", mongo.indexed)):
        with stopwatch() as watch:
            sizes = [len(call(number)) for number in some]
        peer = watch.seconds / len(some) * 1e6
        _add(report, "det: tag of an integer", taken, "us", f"libmongocrypt {name}", peer)
        size = float(np.mean(sizes))
        _add(report, "det: tag", det.TAG_BYTES, "bytes", f"libmongocrypt {name}", size)
    _add(report, "det: tag of a text, all distinct", text_taken, "us")


def _add(
    report: Report,
    what: str,
    ours: float,
    unit: str,
    peer: str = "",
    theirs: float | None = None,
    bar: str = "",
    met: bool | None = None,
) -> None:
    report.add(Figure(SECTION, what, BATCH, unit, ours, peer, theirs, bar=bar, met=met))
