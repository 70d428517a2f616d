"""The five transactions of a workload like TPC-C (clause 2), on the tables of :mod:`.tpcc_tables`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from .targets import Client
from .tpcc_tables import (
    DISTRICT_INFO,
    DISTRICTS,
    LINES,
    ORDERS,
    Scale,
    customer_key,
    district_key,
    ids,
    last_name,
    lines_of,
    order_key,
    skewed,
    stock_key,
)

MIX = {"new-order": 45, "payment": 43, "order-status": 4, "delivery": 4, "stock-level": 4}
READ_ONLY = ("order-status", "stock-level")


class Unused(Exception):  # noqa: N818 - it is what the specification plans for, and no error.
    """An order names an item that does not exist, and is rolled back, as one in a hundred must be."""


Body = Callable[[Client], None]


@dataclass(slots=True)
class Terminal:
    """Draws transactions of the mix for one client.

    Attributes:
        scale: how much there is to choose from.
        draw: where its choices come from.
        home: the warehouse that it belongs to.
    """

    scale: Scale
    draw: random.Random
    home: int
    _deck: list[str] = field(default_factory=list)

    def next(self) -> tuple[str, Body]:
        """Name and body of the next transaction of the mix."""
        if not self._deck:
            self._deck = self._shuffled()
        kind = self._deck.pop()
        return kind, self.make(kind)

    def make(self, kind: str) -> Body:
        """The body of a transaction, which may be run again with the same choices."""
        made: dict[str, Callable[[], Body]] = {
            "new-order": self._new_order,
            "payment": self._payment,
            "order-status": self._order_status,
            "delivery": self._delivery,
            "stock-level": self._stock_level,
        }
        return made[kind]()

    def _shuffled(self) -> list[str]:
        """A hundred cards, the rare ones spread evenly, so that short runs have about the same mix."""
        common = [kind for kind in MIX for _ in range(MIX[kind]) if MIX[kind] > 4]
        self.draw.shuffle(common)
        deck: list[str] = []
        for start in range(0, len(common), len(common) // 4):
            part = common[start : start + len(common) // 4]
            part += [kind for kind, share in MIX.items() if share == 4]
            self.draw.shuffle(part)
            deck += part
        return deck

    def _district(self) -> int:
        return district_key(self.home, self.draw.randrange(DISTRICTS))

    def _customer(self, district: int) -> int:
        return customer_key(district, skewed(self.draw, self.scale.customers, 3))

    def _find_customer(self, district: int) -> Callable[[Client], int]:
        """Chooses a customer, by last name in 60 of 100 cases, and finds the key when it is run."""
        if self.draw.random() >= 0.6:
            chosen = self._customer(district)
            return lambda _: chosen
        names = min(1_000, self.scale.customers)
        name = last_name(skewed(self.draw, names, 4) - 1)

        def find(client: Client) -> int:
            found = client.run(
                "SELECT c_key FROM customer WHERE c_d_key = ? AND c_last = ? ORDER BY c_first",
                (district, name),
            )
            return int(found[(len(found) - 1) // 2][0])

        return find

    def _remote(self, share: float) -> int:
        """Another warehouse in that share of cases, if there is one."""
        others = [w for w in ids(self.scale.warehouses) if w != self.home]
        return self.draw.choice(others) if others and self.draw.random() < share else self.home

    def _new_order(self) -> Body:
        draw, home = self.draw, self.home
        number = draw.randrange(DISTRICTS)
        district = district_key(home, number)
        customer = self._customer(district)
        # In the order of their keys, so that two orders do not wait for each other's stock.
        lines = sorted(
            (self._remote(0.01), skewed(draw, self.scale.items, 12), draw.randint(1, 10))
            for _ in range(draw.randint(5, 15))
        )
        if draw.random() < 0.01:
            lines[-1] = (home, self.scale.items + 1, 1)
        stock = f"SELECT s_quantity, {DISTRICT_INFO[number]}, s_data FROM stock WHERE s_key = ?"

        def body(client: Client) -> None:
            now = _now()
            ((_,),) = client.run("SELECT w_tax FROM warehouse WHERE w_id = ?", (home,))
            ((following, _),) = client.run(
                "UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_key = ?"
                " RETURNING d_next_o_id, d_tax",
                (district,),
            )
            order = order_key(district, following - 1)
            ((_, _, _),) = client.run(
                "SELECT c_discount, c_last, c_credit FROM customer WHERE c_key = ?", (customer,)
            )
            local = int(all(supply == home for supply, _, _ in lines))
            client.run(
                "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
                (order, customer, now, None, len(lines), local),
            )
            client.run("INSERT INTO new_order VALUES (?)", (order,))
            for line, (supply, item, quantity) in enumerate(lines, 1):
                found = client.run(
                    "SELECT i_price, i_name, i_data FROM item WHERE i_id = ?", (item,)
                )
                if not found:
                    raise Unused
                price = found[0][0]
                place = stock_key(supply, item)
                ((left, info, _),) = client.run(stock, (place,))
                rest = left - quantity if left >= quantity + 10 else left - quantity + 91
                client.run(
                    "UPDATE stock SET s_quantity = ?, s_ytd = s_ytd + ?,"
                    " s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + ?"
                    " WHERE s_key = ?",
                    (rest, quantity, int(supply != home), place),
                )
                client.run(
                    "INSERT INTO order_line VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        order * LINES + line,
                        item,
                        supply,
                        stock_key(home, item),
                        None,
                        quantity,
                        quantity * price,
                        info,
                    ),
                )

        return body

    def _payment(self) -> Body:
        home, district = self.home, self._district()
        theirs = self._remote(0.15)
        of = district if theirs == home else district_key(theirs, self.draw.randrange(DISTRICTS))
        find, amount = self._find_customer(of), self.draw.randint(100, 500_000)

        def body(client: Client) -> None:
            ((warehouse_name,),) = client.run(
                "UPDATE warehouse SET w_ytd = w_ytd + ? WHERE w_id = ? RETURNING w_name",
                (amount, home),
            )
            ((district_name,),) = client.run(
                "UPDATE district SET d_ytd = d_ytd + ? WHERE d_key = ? RETURNING d_name",
                (amount, district),
            )
            customer = find(client)
            ((credit, data),) = client.run(
                "UPDATE customer SET c_balance = c_balance - ?, c_ytd_payment = c_ytd_payment + ?,"
                " c_payment_cnt = c_payment_cnt + 1 WHERE c_key = ? RETURNING c_credit, c_data",
                (amount, amount, customer),
            )
            if credit == "BC":
                more = f"{customer} {district} {amount} | {data}"[:500]
                client.run("UPDATE customer SET c_data = ? WHERE c_key = ?", (more, customer))
            client.run(
                "INSERT INTO history VALUES (?, ?, ?, ?, ?)",
                (customer, district, _now(), amount, f"{warehouse_name}    {district_name}"),
            )

        return body

    def _order_status(self) -> Body:
        find = self._find_customer(self._district())

        def body(client: Client) -> None:
            customer = find(client)
            client.run(
                "SELECT c_balance, c_first, c_middle, c_last FROM customer WHERE c_key = ?",
                (customer,),
            )
            ((order, _, _),) = client.run(
                "SELECT o_key, o_entry_d, o_carrier_id FROM orders WHERE o_c_key = ?"
                " ORDER BY o_key DESC LIMIT 1",
                (customer,),
            )
            assert client.run(
                "SELECT ol_i_id, ol_supply_w_id, ol_quantity, ol_amount, ol_delivery_d"
                " FROM order_line WHERE ol_key BETWEEN ? AND ?",
                lines_of(order),
            )

        return body

    def _delivery(self) -> Body:
        home, carrier = self.home, self.draw.randint(1, 10)

        def body(client: Client) -> None:
            now = _now()
            for number in range(DISTRICTS):
                _deliver(client, district_key(home, number), carrier, now)

        return body

    def _stock_level(self) -> Body:
        district, threshold = self._district(), self.draw.randint(10, 20)

        def body(client: Client) -> None:
            ((following,),) = client.run(
                "SELECT d_next_o_id FROM district WHERE d_key = ?", (district,)
            )
            first, last = order_key(district, following - 20), order_key(district, following - 1)
            client.run(
                "SELECT count(DISTINCT s_key) FROM order_line JOIN stock ON s_key = ol_home_s_key"
                " WHERE ol_key BETWEEN ? AND ? AND s_quantity < ?",
                (lines_of(first)[0], lines_of(last)[1], threshold),
            )

        return body


def _deliver(client: Client, district: int, carrier: int, now: int) -> None:
    """Deliver the oldest order of one district, if any waits."""
    ((order,),) = client.run(
        "SELECT min(no_o_key) FROM new_order WHERE no_o_key BETWEEN ? AND ?",
        (order_key(district, 0), order_key(district, ORDERS - 1)),
    )
    if order is None:
        return
    client.run("DELETE FROM new_order WHERE no_o_key = ?", (order,))
    ((customer,),) = client.run(
        "UPDATE orders SET o_carrier_id = ? WHERE o_key = ? RETURNING o_c_key", (carrier, order)
    )
    client.run(
        "UPDATE order_line SET ol_delivery_d = ? WHERE ol_key BETWEEN ? AND ?",
        (now, *lines_of(order)),
    )
    ((amount,),) = client.run(
        "SELECT sum(ol_amount) FROM order_line WHERE ol_key BETWEEN ? AND ?", lines_of(order)
    )
    client.run(
        "UPDATE customer SET c_balance = c_balance + ?, c_delivery_cnt = c_delivery_cnt + 1"
        " WHERE c_key = ?",
        (int(amount), customer),
    )


def _now() -> int:
    return int(time.time() * 1000)
