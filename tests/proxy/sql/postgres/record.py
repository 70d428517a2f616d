"""Asks a PostgreSQL server for the answers that test_dialect.py compares with: python record.py URL.

Needs psycopg; the last answers are PostgreSQL 18's.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import psycopg

sys.path.insert(0, str(Path(__file__).parent))

from normal import normal

HERE = Path(__file__).parent


def main() -> None:
    answers = {}
    lines = (HERE / "queries.sql").read_text(encoding="utf-8").splitlines()
    with psycopg.connect(sys.argv[1], autocommit=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for sql in lines:
            if not sql or sql.startswith("#"):
                continue
            try:
                cursor = connection.execute(sql)
            except psycopg.Error as error:
                print(sql, error, file=sys.stderr)
                continue
            names = [column.name for column in cursor.description]
            answers[sql] = [names, [normal(row) for row in cursor.fetchall()]]
    text = json.dumps(answers, ensure_ascii=False, indent=1)
    (HERE / "answers.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
