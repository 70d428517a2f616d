"""A workload like TPC-C: its tables in reduced scale, its five transactions, its consistency conditions.

It follows the TPC-C standard specification, revision 5.11, clauses 1 to 3 and 5.2.3, with these
differences, so that **its figures are no TPC-C results** and compare with none: fewer customers,
items and orders; no terminals, keying or thinking times; amounts in cents and rates in basis points
as integers, so that every database adds them up exactly; the key of each table is one computed
BIGINT, such as ``(warehouse * 10 + district) * 100,000 + customer``, instead of several columns; and
an order line names the stock of its home warehouse, by which stock-level joins.

Every statement runs unchanged on encdb, PostgreSQL and SQLite.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from .targets import Client, Row

DISTRICTS = 10
MIX = {"new-order": 45, "payment": 43, "order-status": 4, "delivery": 4, "stock-level": 4}
READ_ONLY = ("order-status", "stock-level")
_CUSTOMERS, _ORDERS, _LINES, _ITEMS = 100_000, 10_000_000, 100, 1_000_000
"""Factors of the computed keys: more than a district has customers, and so on."""
_SYLLABLES = ["BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"]
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

_PLACE = "{0}_street_1 TEXT, {0}_street_2 TEXT, {0}_city TEXT, {0}_state TEXT, {0}_zip TEXT"
_DISTRICT_INFO = tuple(f"s_dist_{number:02d}" for number in range(1, DISTRICTS + 1))

TABLES: dict[str, str] = {
    "warehouse": "w_id BIGINT PRIMARY KEY, w_name TEXT NOT NULL, "
    + _PLACE.format("w")
    + ", w_tax INTEGER NOT NULL, w_ytd BIGINT NOT NULL",
    "district": "d_key BIGINT PRIMARY KEY, d_w_id BIGINT NOT NULL, d_name TEXT NOT NULL, "
    + _PLACE.format("d")
    + ", d_tax INTEGER NOT NULL, d_ytd BIGINT NOT NULL, d_next_o_id BIGINT NOT NULL",
    "customer": "c_key BIGINT PRIMARY KEY, c_d_key BIGINT NOT NULL, c_first TEXT NOT NULL,"
    " c_middle TEXT NOT NULL, c_last TEXT NOT NULL, "
    + _PLACE.format("c")
    + ", c_phone TEXT, c_since BIGINT NOT NULL, c_credit TEXT NOT NULL,"
    " c_credit_lim BIGINT NOT NULL, c_discount INTEGER NOT NULL, c_balance BIGINT NOT NULL,"
    " c_ytd_payment BIGINT NOT NULL, c_payment_cnt INTEGER NOT NULL,"
    " c_delivery_cnt INTEGER NOT NULL, c_data TEXT NOT NULL",
    "history": "h_c_key BIGINT NOT NULL, h_d_key BIGINT NOT NULL, h_date BIGINT NOT NULL,"
    " h_amount BIGINT NOT NULL, h_data TEXT NOT NULL",
    "item": "i_id BIGINT PRIMARY KEY, i_im_id INTEGER NOT NULL, i_name TEXT NOT NULL,"
    " i_price BIGINT NOT NULL, i_data TEXT NOT NULL",
    "stock": "s_key BIGINT PRIMARY KEY, s_quantity INTEGER NOT NULL, "
    + ", ".join(f"{name} TEXT NOT NULL" for name in _DISTRICT_INFO)
    + ", s_ytd BIGINT NOT NULL, s_order_cnt INTEGER NOT NULL, s_remote_cnt INTEGER NOT NULL,"
    " s_data TEXT NOT NULL",
    "orders": "o_key BIGINT PRIMARY KEY, o_c_key BIGINT NOT NULL, o_entry_d BIGINT NOT NULL,"
    " o_carrier_id INTEGER, o_ol_cnt INTEGER NOT NULL, o_all_local INTEGER NOT NULL",
    "new_order": "no_o_key BIGINT PRIMARY KEY",
    "order_line": "ol_key BIGINT PRIMARY KEY, ol_i_id BIGINT NOT NULL,"
    " ol_supply_w_id BIGINT NOT NULL, ol_home_s_key BIGINT NOT NULL, ol_delivery_d BIGINT,"
    " ol_quantity INTEGER NOT NULL, ol_amount BIGINT NOT NULL, ol_dist_info TEXT NOT NULL",
}
INDEXES = (
    "CREATE INDEX customer_name ON customer USING equality (c_d_key, c_last)",
    "CREATE INDEX orders_customer ON orders USING equality (o_c_key)",
    "CREATE INDEX new_order_range ON new_order USING range (no_o_key)",
    "CREATE INDEX order_line_range ON order_line USING range (ol_key)",
)


@dataclass(frozen=True, slots=True)
class Scale:
    """How much there is; the specification has 3,000 customers a district and 100,000 items."""

    warehouses: int = 2
    customers: int = 300
    items: int = 1_000

    @property
    def undelivered(self) -> int:
        """Orders of a district that wait for delivery at first, the newest 30 % as specified."""
        return self.customers * 3 // 10


# --- Keys and random values -----------------------------------------------------------------------------


def district_key(warehouse: int, district: int) -> int:
    """Key of a district, 0 … 9, of a warehouse, from 1."""
    return warehouse * DISTRICTS + district


def customer_key(district: int, customer: int) -> int:
    """Key of a customer of the district with that key."""
    return district * _CUSTOMERS + customer


def order_key(district: int, order: int) -> int:
    """Key of an order of the district with that key."""
    return district * _ORDERS + order


def stock_key(warehouse: int, item: int) -> int:
    """Key of the stock of an item in a warehouse."""
    return warehouse * _ITEMS + item


def last_name(number: int) -> str:
    """The last name of that number, 0 … 999 (clause 4.3.2.3)."""
    return "".join(_SYLLABLES[number // power % 10] for power in (100, 10, 1))


def _text(draw: random.Random, low: int, high: int) -> str:
    return "".join(draw.choices(_LETTERS, k=draw.randint(low, high)))


def _skewed(draw: random.Random, top: int, hot: int) -> int:
    """A number of 1 … top, some much more often than others (clause 2.1.6).

    The specification has constants for its own numbers of customers and items; ``hot`` stands for about
    the same share of them.
    """
    mask = (1 << max(1, (top // hot).bit_length() - 1)) - 1
    return (draw.randint(0, mask) | draw.randint(1, top)) % top + 1


# --- Loading ------------------------------------------------------------------------------------------------


def _place(draw: random.Random) -> Row:
    return (
        _text(draw, 10, 20),
        _text(draw, 10, 20),
        _text(draw, 10, 20),
        _text(draw, 2, 2).upper(),
        f"{draw.randrange(10_000):04d}11111",
    )


def _data(draw: random.Random) -> str:
    text = _text(draw, 26, 50)
    return text[:8] + "ORIGINAL" + text[16:] if draw.random() < 0.1 else text


def tables(scale: Scale) -> Iterator[tuple[str, list[Row]]]:
    """Names and rows of all tables (clause 4.3.3), always the same for a scale."""
    draw = random.Random(scale.warehouses)
    districts = [(w, district_key(w, d)) for w in _ids(scale.warehouses) for d in range(DISTRICTS)]
    paid = 1_000  # What each customer has paid at first, in cents.
    year = scale.customers * paid
    yield (
        "warehouse",
        [
            (w, _text(draw, 6, 10), *_place(draw), draw.randrange(2_001), DISTRICTS * year)
            for w in _ids(scale.warehouses)
        ],
    )
    yield (
        "district",
        [
            (
                d,
                w,
                _text(draw, 6, 10),
                *_place(draw),
                draw.randrange(2_001),
                year,
                scale.customers + 1,
            )
            for w, d in districts
        ],
    )
    yield (
        "item",
        [
            (
                i,
                draw.randint(1, 10_000),
                _text(draw, 14, 24),
                draw.randint(100, 10_000),
                _data(draw),
            )
            for i in _ids(scale.items)
        ],
    )
    yield (
        "stock",
        [
            (
                stock_key(w, i),
                draw.randint(10, 100),
                *(_text(draw, 24, 24) for _ in _DISTRICT_INFO),
                *(0, 0, 0),
                _data(draw),
            )
            for w in _ids(scale.warehouses)
            for i in _ids(scale.items)
        ],
    )
    yield (
        "customer",
        [_customer(draw, d, c, paid) for _, d in districts for c in _ids(scale.customers)],
    )
    yield (
        "history",
        [
            (customer_key(d, c), d, 0, paid, _text(draw, 12, 24))
            for _, d in districts
            for c in _ids(scale.customers)
        ],
    )
    yield from _orders(draw, scale, districts)


def _ids(count: int) -> range:
    return range(1, count + 1)


def _customer(draw: random.Random, district: int, customer: int, paid: int) -> Row:
    name = customer - 1 if customer <= 1_000 else draw.randrange(1_000)
    return (
        customer_key(district, customer),
        district,
        _text(draw, 8, 16),
        "OE",
        last_name(name),
        *_place(draw),
        f"{draw.randrange(10**16):016d}",
        0,
        "BC" if draw.random() < 0.1 else "GC",
        5_000_000,
        draw.randrange(5_001),
        -paid,
        paid,
        1,
        0,
        _text(draw, 300, 500),
    )


def _orders(
    draw: random.Random, scale: Scale, districts: list[tuple[int, int]]
) -> Iterator[tuple[str, list[Row]]]:
    orders: list[Row] = []
    lines: list[Row] = []
    waiting: list[Row] = []
    for warehouse, district in districts:
        customers = list(_ids(scale.customers))
        draw.shuffle(customers)
        for number, customer in zip(_ids(scale.customers), customers, strict=True):
            order, count = order_key(district, number), draw.randint(5, 15)
            new = number > scale.customers - scale.undelivered
            carrier = None if new else draw.randint(1, 10)
            orders.append((order, customer_key(district, customer), 0, carrier, count, 1))
            if new:
                waiting.append((order,))
            for line in _ids(count):
                item = draw.randint(1, scale.items)
                lines.append(
                    (
                        order * _LINES + line,
                        item,
                        warehouse,
                        stock_key(warehouse, item),
                        None if new else 0,
                        5,
                        draw.randint(1, 999_999) if new else 0,
                        _text(draw, 24, 24),
                    )
                )
    yield "orders", orders
    yield "new_order", waiting
    yield "order_line", lines


def load(client: Client, scale: Scale) -> None:
    """Make and fill all tables."""
    for name, rows in tables(scale):
        client.define(f"CREATE TABLE {name} ({TABLES[name]})")
        places = ", ".join("?" for _ in rows[0])
        client.load(f"INSERT INTO {name} VALUES ({places})", rows)
    for index in INDEXES:
        client.define(index)
    client.settle()


# --- The transactions (clause 2) ----------------------------------------------------------------------------


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
        return customer_key(district, _skewed(self.draw, self.scale.customers, 3))

    def _find_customer(self, district: int) -> Callable[[Client], int]:
        """Chooses a customer, by last name in 60 of 100 cases, and finds the key when it is run."""
        if self.draw.random() >= 0.6:
            chosen = self._customer(district)
            return lambda _: chosen
        names = min(1_000, self.scale.customers)
        name = last_name(_skewed(self.draw, names, 4) - 1)

        def find(client: Client) -> int:
            found = client.run(
                "SELECT c_key FROM customer WHERE c_d_key = ? AND c_last = ? ORDER BY c_first",
                (district, name),
            )
            return int(found[(len(found) - 1) // 2][0])

        return find

    def _remote(self, share: float) -> int:
        """Another warehouse in that share of cases, if there is one."""
        others = [w for w in _ids(self.scale.warehouses) if w != self.home]
        return self.draw.choice(others) if others and self.draw.random() < share else self.home

    def _new_order(self) -> Body:
        draw, home = self.draw, self.home
        number = draw.randrange(DISTRICTS)
        district = district_key(home, number)
        customer = self._customer(district)
        # In the order of their keys, so that two orders do not wait for each other's stock.
        lines = sorted(
            (self._remote(0.01), _skewed(draw, self.scale.items, 12), draw.randint(1, 10))
            for _ in range(draw.randint(5, 15))
        )
        if draw.random() < 0.01:
            lines[-1] = (home, self.scale.items + 1, 1)
        stock = f"SELECT s_quantity, {_DISTRICT_INFO[number]}, s_data FROM stock WHERE s_key = ?"

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
                        order * _LINES + line,
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
                _lines_of(order),
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
                (_lines_of(first)[0], _lines_of(last)[1], threshold),
            )

        return body


def _lines_of(order: int) -> tuple[int, int]:
    """The least and the greatest key that a line of an order may have."""
    return order * _LINES, order * _LINES + _LINES - 1


def _deliver(client: Client, district: int, carrier: int, now: int) -> None:
    """Deliver the oldest order of one district, if any waits."""
    ((order,),) = client.run(
        "SELECT min(no_o_key) FROM new_order WHERE no_o_key BETWEEN ? AND ?",
        (order_key(district, 0), order_key(district, _ORDERS - 1)),
    )
    if order is None:
        return
    client.run("DELETE FROM new_order WHERE no_o_key = ?", (order,))
    ((customer,),) = client.run(
        "UPDATE orders SET o_carrier_id = ? WHERE o_key = ? RETURNING o_c_key", (carrier, order)
    )
    client.run(
        "UPDATE order_line SET ol_delivery_d = ? WHERE ol_key BETWEEN ? AND ?",
        (now, *_lines_of(order)),
    )
    ((amount,),) = client.run(
        "SELECT sum(ol_amount) FROM order_line WHERE ol_key BETWEEN ? AND ?", _lines_of(order)
    )
    client.run(
        "UPDATE customer SET c_balance = c_balance + ?, c_delivery_cnt = c_delivery_cnt + 1"
        " WHERE c_key = ?",
        (int(amount), customer),
    )


def _now() -> int:
    return int(time.time() * 1000)


# --- Consistency (clause 3.3.2) -----------------------------------------------------------------------------


def violations(client: Client) -> list[str]:
    """The consistency conditions that do not hold, in words; and that all sums are those of history."""
    wrong: list[str] = []

    def same(what: str, left: dict[int, int], right: dict[int, int]) -> None:
        for key in sorted(left.keys() | right.keys()):
            one, other = left.get(key), right.get(key)
            if one != other:
                wrong.append(f"{what} of {key}: {one} and {other}")

    def numbers(sql: str) -> dict[int, int]:
        return {int(key): int(value) for key, value in client.run(sql)}

    client.begin(write=False)
    warehouses = numbers("SELECT w_id, w_ytd FROM warehouse")
    same(
        "condition 1, payments to the warehouse and to its districts",
        warehouses,
        numbers("SELECT d_w_id, sum(d_ytd) FROM district GROUP BY d_w_id"),
    )
    last = numbers("SELECT d_key, d_next_o_id - 1 FROM district")
    by_order = f"SELECT o_key / {_ORDERS}, max(o_key) - min(o_key / {_ORDERS}) * {_ORDERS}"
    same(
        "condition 2, the last number and the last order",
        last,
        numbers(f"{by_order} FROM orders GROUP BY o_key / {_ORDERS}"),
    )
    same(
        "the last number and the count of orders",
        last,
        numbers(f"SELECT o_key / {_ORDERS}, count(*) FROM orders GROUP BY o_key / {_ORDERS}"),
    )
    by_wait = f"FROM new_order GROUP BY no_o_key / {_ORDERS}"
    same(
        "condition 3, the span and the count of waiting orders",
        numbers(f"SELECT no_o_key / {_ORDERS}, max(no_o_key) - min(no_o_key) + 1 {by_wait}"),
        numbers(f"SELECT no_o_key / {_ORDERS}, count(*) {by_wait}"),
    )
    same(
        "condition 6, lines of the order, said and counted",
        numbers("SELECT o_key, o_ol_cnt FROM orders"),
        numbers(f"SELECT ol_key / {_LINES}, count(*) FROM order_line GROUP BY ol_key / {_LINES}"),
    )
    undelivered = client.run("SELECT o_key FROM orders WHERE o_carrier_id IS NULL")
    waiting = client.run("SELECT no_o_key FROM new_order")
    if set(undelivered) != set(waiting):
        wrong.append("condition 5, orders without a carrier are not those that wait")
    same(
        "condition 9, payments to the district and its history",
        numbers("SELECT d_key, d_ytd FROM district"),
        numbers("SELECT h_d_key, sum(h_amount) FROM history GROUP BY h_d_key"),
    )
    same(
        "condition 12, balance and payments of a customer, and what was delivered",
        {
            key: paid
            for key, paid in numbers(
                "SELECT c_key, c_balance + c_ytd_payment FROM customer"
            ).items()
            if paid
        },
        {
            key: amount
            for key, amount in numbers(
                "SELECT o_c_key, sum(ol_amount) FROM orders"
                f" JOIN order_line ON o_key = ol_key / {_LINES}"
                " WHERE ol_delivery_d IS NOT NULL GROUP BY o_c_key"
            ).items()
            if amount
        },
    )
    client.rollback()
    return wrong


def counts(client: Client) -> dict[str, int]:
    """Orders and payments that are in the database."""
    ((orders,),) = client.run("SELECT count(*) FROM orders")
    ((payments,),) = client.run("SELECT count(*) FROM history")
    return {"new-order": int(orders), "payment": int(payments)}
