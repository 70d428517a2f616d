"""EXPLAIN and EXPLAIN ANALYZE as text."""

from indexes.types import ColumnType
from proxy.catalog import Catalog, Column, Index, Table
from proxy.sql.explain import AccessStats, explain, explain_analyze
from proxy.sql.parse import parse_one
from proxy.sql.plan import plan_query
from proxy.sql.write import plan_delete, plan_insert, plan_update

PATIENTS = Table(
    1,
    "patients",
    tuple(
        Column(number, name, ColumnType.parse(kind))
        for number, (name, kind) in enumerate(
            [("id", "BIGINT"), ("zip", "TEXT"), ("age", "INTEGER"), ("notes", "TEXT")], start=1
        )
    ),
    (
        Index(1, "patients_pkey", "equality", (1,), unique=True, primary=True),
        Index(2, "patients_zip_idx", "equality", (2,)),
        Index(3, "patients_age_idx", "range", (3,)),
        Index(4, "patients_notes_idx", "keyword", (4,)),
    ),
)
CATALOG = Catalog(tables=(PATIENTS,))


def plan(sql):
    return plan_query(parse_one(sql), CATALOG)


def test_explain():
    found = explain(
        plan(
            "SELECT zip, avg(age) FROM patients WHERE age BETWEEN 30 AND 40 AND notes @@ 'asthma -smoker' GROUP BY zip"
        )
    )
    assert found == [
        "table patients",
        "  fetch: age >= 30 AND age <= 40 AND notes @@ 'asthma -smoker'",
        "  indexes: patients_age_idx (range), patients_notes_idx (keyword)",
        "  columns: zip, age",
        "store: 1 round trip for what has changed, at most 9 more for what is not cached",
        "local engine: runs the whole query over the rows fetched",
    ]


def test_explain_analyze():
    stats = AccessStats(
        ("patients_zip_idx",), 2, 14, 5120, 1.25, 0.5, 3, ("patients_zip_idx: 14 rows",)
    )
    choice = ["choice: patients_zip_idx (about 12)", "estimate: about 12 of 900 rows"]
    found = explain_analyze(
        plan("SELECT id FROM patients WHERE zip = $1 AND age > 3"), [stats], 0.75, [choice]
    )
    assert found[:2] == ["table patients", "  fetch: zip = $1 AND age > 3"]
    assert found[3:5] == [f"  {line}" for line in choice]
    place = found.index("  used: patients_zip_idx")
    assert found[place + 1] == "    patients_zip_idx: 14 rows"
    assert "  pages 2, rows 14, bytes 5120, round trips 3, store 1.2 ms, opening 0.5 ms" in found
    assert "store: 1 round trip for what has changed, 3 more" in found
    assert found[-1] == "local engine: 0.8 ms"


def test_explain_of_changes():
    insert = plan_insert(parse_one("INSERT INTO patients (id) VALUES (1), (2)"), CATALOG)
    assert explain(insert) == ["insert into patients", "  rows: 2, without the local engine"]
    update = plan_update(parse_one("UPDATE patients SET age = age + 1 WHERE id = 3"), CATALOG)
    assert explain(update)[:3] == ["update patients", "table patients", "  fetch: id = 3"]
    delete = plan_delete(parse_one("DELETE FROM patients WHERE zip = '06920' OR age < 3"), CATALOG)
    assert explain(delete)[1:4] == [
        "table patients",
        "  fetch: zip = '06920' OR age < 3",
        "  indexes: patients_zip_idx (equality), patients_age_idx (range)",
    ]


def test_order_and_extremes():
    found = explain(
        plan("SELECT id FROM patients WHERE age > $1 ORDER BY age DESC LIMIT $2 OFFSET 5")
    )
    assert "  order: age descending, NULL first, the first $2 after 5 and ties" in found
    assert "  only the least age" in explain(plan("SELECT min(age) FROM patients"))
