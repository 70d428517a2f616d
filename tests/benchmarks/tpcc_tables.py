"""The tables of a workload like TPC-C, in reduced scale.

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
from collections.abc import Iterator
from dataclasses import dataclass

from .targets import Client, Row

DISTRICTS = 10
CUSTOMERS, ORDERS, LINES, ITEMS = 100_000, 10_000_000, 100, 1_000_000
"""Factors of the computed keys: more than a district has customers, and so on."""
_SYLLABLES = ["BAR", "OUGHT", "ABLE", "PRI", "PRES", "ESE", "ANTI", "CALLY", "ATION", "EING"]
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

_PLACE = "{0}_street_1 TEXT, {0}_street_2 TEXT, {0}_city TEXT, {0}_state TEXT, {0}_zip TEXT"
DISTRICT_INFO = tuple(f"s_dist_{number:02d}" for number in range(1, DISTRICTS + 1))

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
    + ", ".join(f"{name} TEXT NOT NULL" for name in DISTRICT_INFO)
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
    return district * CUSTOMERS + customer


def order_key(district: int, order: int) -> int:
    """Key of an order of the district with that key."""
    return district * ORDERS + order


def lines_of(order: int) -> tuple[int, int]:
    """The least and the greatest key that a line of an order may have."""
    return order * LINES, order * LINES + LINES - 1


def stock_key(warehouse: int, item: int) -> int:
    """Key of the stock of an item in a warehouse."""
    return warehouse * ITEMS + item


def last_name(number: int) -> str:
    """The last name of that number, 0 … 999 (clause 4.3.2.3)."""
    return "".join(_SYLLABLES[number // power % 10] for power in (100, 10, 1))


def _text(draw: random.Random, low: int, high: int) -> str:
    return "".join(draw.choices(_LETTERS, k=draw.randint(low, high)))


def skewed(draw: random.Random, top: int, hot: int) -> int:
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
    districts = [(w, district_key(w, d)) for w in ids(scale.warehouses) for d in range(DISTRICTS)]
    paid = 1_000  # What each customer has paid at first, in cents.
    year = scale.customers * paid
    yield (
        "warehouse",
        [
            (w, _text(draw, 6, 10), *_place(draw), draw.randrange(2_001), DISTRICTS * year)
            for w in ids(scale.warehouses)
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
            for i in ids(scale.items)
        ],
    )
    yield (
        "stock",
        [
            (
                stock_key(w, i),
                draw.randint(10, 100),
                *(_text(draw, 24, 24) for _ in DISTRICT_INFO),
                *(0, 0, 0),
                _data(draw),
            )
            for w in ids(scale.warehouses)
            for i in ids(scale.items)
        ],
    )
    yield (
        "customer",
        [_customer(draw, d, c, paid) for _, d in districts for c in ids(scale.customers)],
    )
    yield (
        "history",
        [
            (customer_key(d, c), d, 0, paid, _text(draw, 12, 24))
            for _, d in districts
            for c in ids(scale.customers)
        ],
    )
    yield from _orders(draw, scale, districts)


def ids(count: int) -> range:
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
        customers = list(ids(scale.customers))
        draw.shuffle(customers)
        for number, customer in zip(ids(scale.customers), customers, strict=True):
            order, count = order_key(district, number), draw.randint(5, 15)
            new = number > scale.customers - scale.undelivered
            carrier = None if new else draw.randint(1, 10)
            orders.append((order, customer_key(district, customer), 0, carrier, count, 1))
            if new:
                waiting.append((order,))
            for line in ids(count):
                item = draw.randint(1, scale.items)
                lines.append(
                    (
                        order * LINES + line,
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
