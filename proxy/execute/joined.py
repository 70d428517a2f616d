"""Semi-join reduction by the store: it compares the tags of two columns of one join group.

Where one side of a join is small, or conditions that server-visible indexes serve make it so, the store is
asked in one message for the rows of both sides that have a partner. Each side is reduced only where rule 8
allows it. What the store knows is the committed state, so a transaction with changes of its own to either table
joins as it would without.
"""

from __future__ import annotations

from dataclasses import dataclass

from encdb import wire
from proxy.arrow import Ordinals
from proxy.catalog import Index

from .view import TableView
from .visible import Conditions, stored_rows


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a join by the store.

    Attributes:
        view: the table, without changes of the transaction.
        index: its ``det`` index.
        conditions: further ones that its rows have to fulfil.
    """

    view: TableView
    index: Index
    conditions: Conditions

    def message(self) -> wire.JoinSide:
        """The side as it is sent."""
        tests = tuple(one.test for one in self.conditions)
        return wire.JoinSide(table=self.view.table.id, index=self.index.id, tests=tests)


def meet(left: Side, right: Side) -> tuple[Ordinals, Ordinals]:
    """The rows of either side, ascending, that have a partner on the other, as the store says.

    Raises:
        TamperError: a label is of no live row.
    """
    request = wire.ReadJoin(left.message(), right.message())
    answer = wire.verified(left.view.state.channel.ask(request), wire.Joined)
    return stored_rows(left.view, answer.left), stored_rows(right.view, answer.right)
