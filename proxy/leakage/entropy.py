"""How much a single guess about a column gets right, and what CREATE INDEX says of it.

A server-visible index shows the store how values are distributed, so how well a value hides among others is
measured before the index is made: by min-entropy, minus the binary logarithm of the commonest value's share
(Dodis, Ostrovsky, Reyzin, Smith, SIAM J. Comput. 38(1), 2008). It bounds the best single guess about one row, and
nothing that many rows or several columns say together. Nothing here keeps, shows or reports a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from encdb.errors import ProgrammingError, err
from indexes.leakage import Leak, Profile
from proxy.arrow import Array, Chunked

LEAST_BITS: Final = 8.0
"""Min-entropy in bits from which on a server-visible index needs no consent."""


@dataclass(frozen=True, slots=True)
class Measured:
    """How the values of a column are distributed.

    Attributes:
        rows: rows with a value; NULLs have no entry in an index.
        nulls: rows without one.
        distinct: different values.
        commonest: rows that hold the commonest value, 0 in an empty column.
    """

    rows: int
    nulls: int
    distinct: int
    commonest: int

    @property
    def share(self) -> float:
        """The commonest value's share of the rows with a value, 1 where there are none."""
        return self.commonest / self.rows if self.rows else 1.0

    @property
    def bits(self) -> float:
        """Min-entropy of the value of a row in bits, 0 where there are none."""
        return math.log2(1 / self.share)


def measure(values: Array | Chunked | Iterable[Array | Chunked]) -> Measured:
    """The distribution of a column.

    Args:
        values: the column, or pieces of it. What counts as equal is what Arrow takes for equal; a column
            of floats, and an index of several columns, are measured by their tags or words instead.
    """
    pieces = [values] if isinstance(values, pa.Array | pa.ChunkedArray) else values
    rows = nulls = 0
    known: pa.Table | None = None
    for piece in pieces:
        nulls += piece.null_count
        rows += len(piece) - piece.null_count
        there: Any = piece.drop_null()
        counted: Any = pc.value_counts(there)
        part = pa.table({"value": counted.field(0), "count": counted.field(1)})
        if known is not None:
            both = pa.concat_tables([known, part]).group_by("value").aggregate([("count", "sum")])
            part = both.rename_columns({"count_sum": "count"})
        known = part
    commonest = pc.max(known.column("count")).as_py() if known is not None and rows else 0
    return Measured(rows, nulls, known.num_rows if known is not None else 0, commonest)


def notice(name: str, profile: Profile, measured: Measured | None = None) -> str:
    """What CREATE INDEX tells the user, on one line.

    Args:
        name: the index's name.
        profile: what it reveals.
        measured: the column's distribution, for server-visible methods.
    """
    parts = [f'index "{name}" ({profile.method}) is {profile.visibility}']
    if profile.hidden:
        each = [f"{moment} {', '.join(leaks)}" for moment, leaks in profile.moments]
        parts.append("the store learns of it no more than " + "; ".join(each))
    else:
        told: set[Leak] = set()
        for moment, leaks in profile.moments:
            fresh = [profile.meaning(leak) for leak in leaks if leak not in told]
            told.update(leaks)
            parts.append(f"{moment} the store learns {'; '.join(fresh) or 'nothing more'}")
    if measured is not None:
        parts.append(_distribution(measured))
    if not profile.verified:
        parts.append("what the store finds by it is not proved to be complete")
    return ". ".join(
        part[0].upper() + part[1:] if place else part for place, part in enumerate(parts)
    )


def require_acceptable(name: str, profile: Profile, measured: Measured, *, accept: bool) -> None:
    """Refuse a server-visible index that would give values away, unless the user has accepted that.

    Args:
        name: the index's name.
        profile: what it reveals.
        measured: the column's distribution.
        accept: whether the index is declared `WITH (accept_leakage = true)`.

    Raises:
        ProgrammingError: E_LEAKAGE.
    """
    if profile.hidden or accept or (measured.rows and measured.bits >= LEAST_BITS):
        return
    raise err(
        ProgrammingError,
        "E_LEAKAGE",
        f'index "{name}" ({profile.method}) would be {profile.visibility}, and {_distribution(measured)}',
    )


def _distribution(measured: Measured) -> str:
    """The distribution in words and numbers; counts and shares only."""
    if not measured.rows:
        return "the column is empty, so what it will show cannot be measured"
    most = math.log2(measured.rows)
    values = "value" if measured.distinct == 1 else "different values"
    return (
        f"the column has {measured.distinct:,} {values} in {measured.rows:,} rows; the commonest "
        f"has {100 * measured.share:.3g} % of them, so a row's min-entropy is {measured.bits:.1f} bits, of "
        f"{most:.1f} possible with as many rows"
    )
