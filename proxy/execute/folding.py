"""Whether the local engine folds letters as index entries were folded.

An engine that knows letters of a newer Unicode than the table in :mod:`indexes.folding` finds ``lower(column)`` and ILIKE
true of rows that a folded index lists elsewhere. Then no index serves conditions on ``lower()``, and the
answers are right without it.
"""

from __future__ import annotations

from functools import cache

import duckdb
import numpy as np

from indexes.folding import CODE_POINTS, fold_codes


@cache
def engine_folds_alike() -> bool:
    """Ask the engine about every code point, once in the life of the process; it takes about 0.1 s."""
    codes = np.arange(1, CODE_POINTS, dtype=np.uint32)
    codes = codes[(codes < 0xD800) | (codes > 0xDFFF)]
    every = codes.astype("<u4").tobytes().decode("utf-32-le")
    with duckdb.connect(":memory:", config={"threads": 1}) as engine:
        found = engine.execute("SELECT lower(?)", [every]).fetchone()
    assert found is not None
    lowered = np.frombuffer(str(found[0]).encode("utf-32-le"), dtype="<u4")
    return np.array_equal(lowered, fold_codes(codes))
