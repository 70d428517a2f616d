"""Whatever was done to an encrypted store, its answers are those of plaintext DuckDB.

Random tables of all types, indexes of all methods, histories of changes, transactions, merges and
restarts on two connections, and queries of all shapes. The quick test draws the same histories each time;
the deep ones draw new ones, and a failure prints every statement that led to it.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.differential.chooser import Chooser
from tests.differential.compare import same_rows
from tests.differential.histories import run
from tests.differential.kinds import normal
from tests.fixtures.kinds import StoreKind

QUICK_SEEDS = range(10)
DEEP_HISTORIES = int(os.environ.get("ENCDB_TEST_HISTORIES", "400"))


def folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for one history: a test of hypothesis runs many."""
    return tempfile.TemporaryDirectory(prefix="encdb-history-")


@settings(max_examples=20, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])
@given(data=st.data())
def test_answers_are_those_of_plaintext(store_kind: StoreKind, data):
    with folder() as name:
        run(store_kind, Chooser.drawing(data), Path(name), tables=2, steps=10, queries=5)


@pytest.mark.stores("postgres", "remote")
@settings(max_examples=4, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])
@given(data=st.data())
def test_answers_are_those_of_plaintext_on_other_stores(store_kind: StoreKind, data):
    with folder() as name:
        run(store_kind, Chooser.drawing(data), Path(name), tables=2, steps=10, queries=5)


@pytest.mark.every_store
@pytest.mark.sampled(4)
@pytest.mark.parametrize("seed", QUICK_SEEDS)
def test_answers_after_a_longer_history(store_kind: StoreKind, seed: int, tmp_path: Path):
    history = run(store_kind, Chooser.seeded(seed), tmp_path, tables=3, steps=40, queries=15)
    assert history.skipped <= 5 + history.asked // 4


@pytest.mark.slow
@pytest.mark.every_store
@pytest.mark.timeout(3600)
@settings(max_examples=DEEP_HISTORIES)
@given(data=st.data())
def test_answers_are_those_of_plaintext_deep(store_kind: StoreKind, data):
    with folder() as name:
        run(store_kind, Chooser.drawing(data), Path(name), tables=3, steps=16, queries=8)


@pytest.mark.slow
@pytest.mark.every_store
@pytest.mark.timeout(3600)
@settings(max_examples=DEEP_HISTORIES, phases=[Phase.generate])
@given(seed=st.integers(0, 2**40))
def test_answers_after_a_long_history(store_kind: StoreKind, seed: int):
    with folder() as name:
        run(store_kind, Chooser.seeded(seed), Path(name), tables=3, steps=80, queries=20)


def test_the_comparison_sees_differences():
    one, nan = (normal(1.0), normal("a")), (normal(float("nan")),)
    assert same_rows([one, nan], [nan, one], ordered=False)
    assert not same_rows([one, nan], [nan, one], ordered=True)
    assert not same_rows([one], [one, one], ordered=False)
    assert not same_rows([one, one], [one, nan], ordered=False)
    assert same_rows([(normal(1.0),)], [(normal(1.0 + 1e-12),)], ordered=False)
    assert not same_rows([(normal(1.0),)], [(normal(1.00001),)], ordered=False)
    assert not same_rows([(normal(1.0),)], [(normal(1),)], ordered=False)
    assert same_rows([(normal(-0.0),)], [(normal(0.0),)], ordered=True)
