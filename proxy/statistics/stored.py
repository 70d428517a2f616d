"""The statistics of a table where they lie: one sealed segment that the manifest names.

They are read when a statement first has a choice to make, whole, and kept as long as the manifest names
them, so the store learns nothing of the statement by it. ANALYZE writes a successor; merges pass it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from indexes.multimap.segment import SegmentInfo
from indexes.records.statistics import ColumnFigures, StatisticsReader, build

from ..catalog import Table
from ..keyspace import TableKeys
from ..manifest import Manifest
from ..reading import Channel
from .column import ColumnStatistics

if TYPE_CHECKING:
    from ..staging import Staging


class TableStatistics:
    """The statistics of one table, as one segment holds them.

    Attributes:
        figures: by column id, those of every column that was analysed.
        columns: the same for estimates.
    """

    def __init__(self, figures: Iterable[ColumnFigures]) -> None:
        self.figures = {one.column: one for one in figures}
        self.columns = {number: ColumnStatistics(one) for number, one in self.figures.items()}


class StoredStatistics:
    """The statistics that the manifest of one table names, read on demand."""

    def __init__(self, table_id: int, keys: TableKeys, channel: Channel) -> None:
        self._table = table_id
        self._keys = keys
        self._channel = channel
        self._info: SegmentInfo | None = None
        self._read: TableStatistics | None = None

    def stand_on(self, manifest: Manifest) -> None:
        """Follow a new manifest."""
        before, self._info = self._info, manifest.analysis
        # A salt names one build, and comes from verified data.
        if before is None or self._info is None or before.salt != self._info.salt:
            self._read = None

    @property
    def present(self) -> bool:
        """Whether the table was analysed."""
        return self._info is not None

    @property
    def cached(self) -> bool:
        """Whether they can be had without asking the store."""
        return self._info is None or self._read is not None

    def read(self) -> TableStatistics | None:
        """The statistics, or None when the table was not analysed.

        Raises:
            IntegrityFailure: a page was withheld, moved or altered.
        """
        info = self._info
        if info is None:
            return None
        if self._read is None:
            reader = StatisticsReader(
                info, self._keys.statistics, self._table, self._pages_of(info)
            )
            self._read = TableStatistics(reader.figures())
        return self._read

    def _pages_of(self, info: SegmentInfo) -> Callable[[list[int]], list[bytes]]:
        def pages(numbers: list[int]) -> list[bytes]:
            return self._channel.pages(self._table, info.segment, numbers)

        return pages

    def succeed(
        self, staging: Staging, table: Table, figures: Iterable[ColumnFigures]
    ) -> SegmentInfo:
        """Stage a successor: these columns anew, the others as they are.

        Args:
            staging: where its pages go.
            table: the table's schema.
            figures: what was found.
        """
        known = self.read()
        every = {} if known is None else dict(known.figures)
        every.update((one.column, one) for one in figures)
        return stage(staging, table, self._keys, every.values())


def stage(
    staging: Staging, table: Table, keys: TableKeys, figures: Iterable[ColumnFigures]
) -> SegmentInfo:
    """Stage statistics of a table, some of whose columns may have none."""
    ascending = sorted(figures, key=lambda one: one.column)
    built = build(ascending, len(table.columns), keys.statistics, table.id, staging.number())
    return staging.segment(built)
