"""Fixtures of the leakage tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .histories import HASHED, ORDERED
from .running import SEED, Preparations, drawn


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Preparations:
    """Stores of the histories with which many begin; their keys are always the same."""
    return Preparations(tmp_path_factory.mktemp("prepared"), (HASHED, ORDERED))


@pytest.fixture
def repeatable() -> Iterator[None]:
    """Keys and salts are the same in every run, so that two words never happen to share a page."""
    with drawn(SEED):
        yield
