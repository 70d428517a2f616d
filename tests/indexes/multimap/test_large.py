"""Ten million postings merge within 1 GiB of memory, whatever kind of segment they lie in."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

COUNT = 10**7
GIB = 1 << 20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["unique", "zipf", "plain", "valued"])
def test_ten_million_postings_merge_within_a_gibibyte(tmp_path, kind):
    def run(what: str) -> str:
        command = [sys.executable, "-m", "tests.indexes.multimap.large", what, kind]
        found = subprocess.run(
            [*command, str(COUNT), str(tmp_path)], check=True, capture_output=True, text=True
        )
        return found.stdout

    run("make")
    report = json.loads(run("merge"))
    assert 0.89 * COUNT < report["postings"] < 0.91 * COUNT
    assert report["peak"] < GIB, report
