"""Random histories: the model says what is seen of each, and of two that leak the same the same is seen."""

from __future__ import annotations

import pytest

from .canonical import canonical
from .drawing import Drawing, other
from .running import hold, said


@pytest.mark.parametrize("seed", [7])
def test_equal_leakage_means_equal_traces(tmp_path, seed):
    first = Drawing(seed, 28).history
    second = other(first, seed)
    assert first != second
    assert said(first) == said(second)
    traces = [
        canonical(hold(tmp_path / name, one))
        for name, one in zip("ab", (first, second), strict=True)
    ]
    assert traces[0] == traces[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_equal_leakage_means_equal_traces_at_length(tmp_path, seed):
    first = Drawing(seed, 150).history
    second = other(first, seed)
    assert said(first) == said(second)
    # What is small is read whole, so that not even the places of words differ.
    traces = [
        canonical(hold(tmp_path / name, one))
        for name, one in zip("ab", (first, second), strict=True)
    ]
    assert traces[0] == traces[1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200, 212))
def test_the_model_says_what_is_seen_of_large_tables(tmp_path, seed):
    steps = Drawing(seed, 120, bulk=True).history
    hold(tmp_path / "a", steps)
    assert said(steps) == said(other(steps, seed))
