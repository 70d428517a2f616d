"""All 22 queries of TPC-H, loaded through the import API, answer as in plaintext DuckDB.

The queries are those of the test data; the rows come from ``tpchgen-cli``, at scale factor 0.01, or 0.1 in
the slow test. Each query is asked twice: caches are empty the first time.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from indexes.types import ColumnType
from proxy.importing import IndexSpec, import_table
from proxy.loading import read_table
from tests.differential.compare import difference, normal_row, same_rows
from tests.differential.oracle import SETTINGS, normal_rows
from tests.fixtures.databases import Database, check_ok
from tests.fixtures.kinds import StoreKind

pytestmark = [pytest.mark.every_store, pytest.mark.sampled(4)]

MONEY = "DECIMAL(15,2)"
TABLES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "region": ("r_regionkey INT, r_name TEXT, r_comment TEXT", "r_regionkey", ()),
    "nation": (
        "n_nationkey INT, n_name TEXT, n_regionkey INT, n_comment TEXT",
        "n_nationkey",
        ("equality:n_name", "equality:n_regionkey"),
    ),
    "supplier": (
        f"s_suppkey BIGINT, s_name TEXT, s_address TEXT, s_nationkey INT, s_phone TEXT, s_acctbal {MONEY}, s_comment TEXT",
        "s_suppkey",
        ("equality:s_nationkey",),
    ),
    "customer": (
        f"c_custkey BIGINT, c_name TEXT, c_address TEXT, c_nationkey INT, c_phone TEXT, c_acctbal {MONEY}, c_mktsegment TEXT, c_comment TEXT",
        "c_custkey",
        ("equality:c_nationkey", "equality:c_mktsegment", "range:c_acctbal"),
    ),
    "part": (
        f"p_partkey BIGINT, p_name TEXT, p_mfgr TEXT, p_brand TEXT, p_type TEXT, p_size INT, p_container TEXT, p_retailprice {MONEY}, p_comment TEXT",
        "p_partkey",
        ("equality:p_brand", "equality:p_size", "range:p_type", "range:p_name"),
    ),
    "partsupp": (
        f"ps_partkey BIGINT, ps_suppkey BIGINT, ps_availqty INT, ps_supplycost {MONEY}, ps_comment TEXT",
        "ps_partkey,ps_suppkey",
        ("equality:ps_partkey", "equality:ps_suppkey"),
    ),
    "orders": (
        f"o_orderkey BIGINT, o_custkey BIGINT, o_orderstatus TEXT, o_totalprice {MONEY}, o_orderdate DATE, o_orderpriority TEXT, o_clerk TEXT, o_shippriority INT, o_comment TEXT",
        "o_orderkey",
        ("equality:o_custkey", "range:o_orderdate"),
    ),
    "lineitem": (
        f"l_orderkey BIGINT, l_partkey BIGINT, l_suppkey BIGINT, l_linenumber INT, l_quantity {MONEY}, l_extendedprice {MONEY}, l_discount {MONEY}, l_tax {MONEY}, l_returnflag TEXT, l_linestatus TEXT, l_shipdate DATE, l_commitdate DATE, l_receiptdate DATE, l_shipinstruct TEXT, l_shipmode TEXT, l_comment TEXT",
        "l_orderkey,l_linenumber",
        ("equality:l_orderkey", "equality:l_partkey", "range:l_shipdate", "range:l_receiptdate", "equality:l_shipmode"),
    ),
}  # fmt: skip
QUERIES = tuple(range(1, 23))


def generate(folder: Path, scale: str) -> Path:
    """CSV files of all tables."""
    program = shutil.which("tpchgen-cli", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("tpchgen-cli is not installed")
    subprocess.run(
        [program, "csv", "-s", scale, "-o", str(folder)], check=True, capture_output=True
    )
    return folder


def kinds(columns: str) -> dict[str, ColumnType]:
    """Name and type of each column of a definition."""
    pairs = [one.strip().split(" ", 1) for one in columns.replace("15,2", "15;2").split(",")]
    return {name: ColumnType.parse(_long(kind.replace(";", ","))) for name, kind in pairs}


def _long(kind: str) -> str:
    return "INTEGER" if kind == "INT" else kind


class Shop:
    """The eight tables on both sides."""

    def __init__(self, folder: Path, kind: StoreKind, scale: str) -> None:
        files = generate(folder, scale)
        self.database = Database.make(folder, kind)
        self.connection = self.database.connect()
        self.plain = duckdb.connect(":memory:", config=SETTINGS)
        for name, (columns, key, indexes) in TABLES.items():
            path = files / f"{name}.csv"
            loaded = read_table(path, name=name, overrides=kinds(columns))
            specs = [IndexSpec.parse(one) for one in indexes]
            report = import_table(self.connection.session, loaded, name, key.split(","), specs)
            self.plain.execute(f"CREATE TABLE {name} ({columns})")
            self.plain.execute(f"COPY {name} FROM '{path}' (HEADER)")
            ((count,),) = self.plain.execute(f"SELECT count(*) FROM {name}").fetchall()
            assert report.rows == count > 0

    def compare(self, sql: str) -> None:
        """Ask both sides."""
        expected = normal_rows(self.plain.sql(sql).to_arrow_table())
        for _ in range(2):
            found = [normal_row(row) for row in self.connection.execute(sql).fetchall()]
            assert same_rows(found, expected, ordered=False), difference(found, expected)

    def close(self) -> None:
        """Close both sides."""
        self.database.drop()
        self.plain.close()


def question(test_data: Path, number: int) -> str:
    """The text of a query."""
    path = test_data / "tpch" / "queries" / f"q{number:02}.sql"
    return path.read_text(encoding="utf-8").strip().rstrip(";")


@pytest.fixture(scope="module")
def shop(store_kind: StoreKind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    made = Shop(tmp_path_factory.mktemp("tpch"), store_kind, "0.01")
    yield made
    made.close()


@pytest.mark.parametrize("number", QUERIES)
def test_query(shop, test_data, number):
    shop.compare(question(test_data, number))


@pytest.mark.parametrize("number", QUERIES)
def test_query_while_a_change_is_pending(shop, test_data, number):
    """Changes of the last hour, in a transaction that is rolled back on both sides."""
    changes = (
        "UPDATE lineitem SET l_quantity = l_quantity + 1, l_shipdate = DATE '1995-06-17' WHERE l_orderkey < 40",
        "DELETE FROM orders WHERE o_orderkey BETWEEN 100 AND 200",
        "UPDATE part SET p_type = 'PROMO BURNISHED COPPER', p_size = 15 WHERE p_partkey < 20",
        "UPDATE supplier SET s_nationkey = 7 WHERE s_suppkey <= 10",
    )
    shop.connection.execute("BEGIN")
    shop.plain.execute("BEGIN")
    try:
        for sql in changes:
            shop.plain.execute(sql)
            assert shop.connection.execute(sql).rowcount > 0
        shop.compare(question(test_data, number))
    finally:
        shop.connection.execute("ROLLBACK")
        shop.plain.execute("ROLLBACK")


def test_the_store_is_sound(shop):
    check_ok(shop.connection)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_all_queries_at_a_larger_scale(store_kind: StoreKind, test_data, tmp_path):
    large = Shop(tmp_path, store_kind, "0.1")
    try:
        for number in QUERIES:
            large.compare(question(test_data, number))
        check_ok(large.connection)
    finally:
        large.close()
