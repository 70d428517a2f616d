from __future__ import annotations

from indexes.leakage import MEANING, PROFILES, TABLE, Leak


def test_every_leak_has_a_meaning_and_a_use():
    assert set(MEANING) == set(Leak)
    used = {
        leak
        for profile in (TABLE, *PROFILES.values())
        for leak in (*profile.at_rest, *profile.on_update, *profile.on_query)
    }
    assert used == set(Leak)


def test_the_three_methods_are_hidden_and_named_as_in_sql():
    assert list(PROFILES) == ["equality", "range", "keyword"]
    for name, profile in PROFILES.items():
        assert profile.method == name
        assert profile.visibility == "hidden"
        # A hidden method shows nothing about values in a stolen copy.
        assert profile.at_rest == (Leak.PAGE_COUNT,)
        assert Leak.ACCESS_PATTERN in profile.on_query


def test_the_summary_names_all_three_moments():
    assert PROFILES["range"].summary() == (
        "hidden; at rest: page count; on update: change size class, change time; "
        "on query: range pages, page order over time, access pattern"
    )
