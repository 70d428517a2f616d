"""What holds in a database of the TPC-C-like workload at any time (clause 3.3.2)."""

from __future__ import annotations

from .targets import Client
from .tpcc_tables import LINES, ORDERS


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
    by_order = f"SELECT o_key / {ORDERS}, max(o_key) - min(o_key / {ORDERS}) * {ORDERS}"
    same(
        "condition 2, the last number and the last order",
        last,
        numbers(f"{by_order} FROM orders GROUP BY o_key / {ORDERS}"),
    )
    same(
        "the last number and the count of orders",
        last,
        numbers(f"SELECT o_key / {ORDERS}, count(*) FROM orders GROUP BY o_key / {ORDERS}"),
    )
    by_wait = f"FROM new_order GROUP BY no_o_key / {ORDERS}"
    same(
        "condition 3, the span and the count of waiting orders",
        numbers(f"SELECT no_o_key / {ORDERS}, max(no_o_key) - min(no_o_key) + 1 {by_wait}"),
        numbers(f"SELECT no_o_key / {ORDERS}, count(*) {by_wait}"),
    )
    same(
        "condition 6, lines of the order, said and counted",
        numbers("SELECT o_key, o_ol_cnt FROM orders"),
        numbers(f"SELECT ol_key / {LINES}, count(*) FROM order_line GROUP BY ol_key / {LINES}"),
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
                f" JOIN order_line ON o_key = ol_key / {LINES}"
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
