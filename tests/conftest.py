"""Fixtures for every test; each topic has its module in tests/fixtures."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# In this order: pytest rewrites the assertions of a module only before another one imports it.
pytest_plugins = [
    "tests.fixtures.data",
    "tests.fixtures.kinds",
    "tests.fixtures.databases",
    "tests.fixtures.stores",
]

# Machines differ and tests share them, so no example fails for being slow.
settings.register_profile(
    "encdb", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("encdb")
