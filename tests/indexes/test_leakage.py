from __future__ import annotations

import pytest

from indexes.leakage import (
    EXAMPLES,
    MEANING,
    METHODS,
    PROFILES,
    SHORT,
    TABLE,
    Leak,
    differences,
    profile_of,
    short,
)
from proxy.definitions import DEFINITIONS
from proxy.derive import DERIVERS
from proxy.execute.probes import PROBERS
from proxy.sql.serving import _SERVERS

DECLARED = [
    *PROFILES.values(),
    *(profile for _, before, after in EXAMPLES for profile in (before, after)),
]


def leaks_of(profile):
    return {leak for _, leaks in profile.moments for leak in leaks}


def test_every_leak_has_a_meaning_and_a_use():
    assert set(MEANING) == set(Leak)
    assert set().union(*(leaks_of(one) for one in (TABLE, *DECLARED))) == set(Leak)


@pytest.mark.parametrize(
    "registry",
    [DEFINITIONS, DERIVERS, PROBERS, _SERVERS],
    ids=["define", "derive", "probe", "serve"],
)
def test_no_method_is_without_a_profile(registry):
    assert set(registry) <= set(METHODS)
    with pytest.raises(KeyError):
        profile_of("bogus")


def test_every_declarable_method_and_no_other_has_a_profile():
    assert set(METHODS) == set(DEFINITIONS) == set(PROFILES)


@pytest.mark.parametrize("profile", [TABLE, *DECLARED], ids=lambda one: one.method)
def test_profiles_are_well_formed(profile):
    for _, leaks in profile.moments:
        assert len(set(leaks)) == len(leaks)
    # A detail, a headline or a short word about something that is not leaked would be untrue.
    assert set(profile.details) <= leaks_of(profile)
    assert set(profile.headline) <= set(SHORT)
    assert any(set(profile.headline) <= set(leaks) for _, leaks in profile.moments)
    assert short(profile).startswith(profile.visibility)


def test_hidden_methods_show_nothing_of_values_at_rest():
    harmless = {Leak.PAGE_COUNT, Leak.UNIQUE_TAGS}
    for profile in DECLARED:
        assert profile.hidden == (set(profile.at_rest) <= harmless)
        assert profile.hidden == profile.verified
        assert Leak.ACCESS_PATTERN in profile.on_query
    assert [one.method for one in PROFILES.values() if not one.hidden] == ["det", "ore", "ope"]


def test_the_summary_names_all_three_moments():
    assert PROFILES["ore"].summary() == (
        "server-visible; at rest: which rows have a value; on update: which rows have a value, removed "
        "rows; on query: order, first difference, search pattern, result, access pattern"
    )


def test_short_phrases():
    assert [short(one) for one in PROFILES.values()] == [
        "hidden; query: pattern, volume",
        "hidden; query: range, order over time",
        "hidden; query: pattern, volume",
        "hidden; query: pattern, volume",
        "server-visible: equality at rest",
        "server-visible: order, first difference on query",
        "server-visible: order, equality, first difference at rest",
    ]
    assert short(profile_of("equality", unique=True)) == "hidden; update, query: pattern, volume"
    assert short(profile_of("range", columns=2)) == "hidden; query: pattern, range"
    grouped = profile_of("det", [("join_group", "person")])
    assert short(grouped) == "server-visible: equality, joins at rest"


def test_options_change_profiles():
    assert "the first of 11 blocks of 6 bits" in profile_of("ore").meaning(Leak.DIFFERENCE)
    hashed = profile_of("ore", [("mask", "sha256")], bits=32)
    assert "the first of 8 blocks of 4 bits" in hashed.meaning(Leak.DIFFERENCE)
    assert "the first of 32 bits" in profile_of("ope", bits=32).meaning(Leak.DIFFERENCE)
    random = profile_of("ope", [("scheme", "boldyreva")], bits=32)
    assert "upper half of the 32 bits" in random.meaning(Leak.DIFFERENCE)
    assert Leak.JOINS not in PROFILES["det"].at_rest
    assert Leak.JOINS in profile_of("det", [("join_group", "g")]).at_rest
    assert "none, if the index holds all" in profile_of("equality", included=2).meaning(
        Leak.ACCESS_PATTERN
    )
    assert "combinations lie in no order" in profile_of("range", columns=2).meaning(Leak.PAGE_ORDER)
    assert Leak.SEARCH_PATTERN in profile_of("equality", unique=True).on_update
    assert Leak.SEARCH_PATTERN not in PROFILES["equality"].on_update
    plain = profile_of("keyword", [("dictionary", "false"), ("language", "english")])
    assert Leak.RANGE_PAGES in PROFILES["keyword"].on_query
    assert Leak.RANGE_PAGES not in plain.on_query


def test_accepting_leakage_changes_nothing_about_it():
    for method in ("det", "ore", "ope"):
        assert profile_of(method, [("accept_leakage", "true")]) == PROFILES[method]


@pytest.mark.parametrize(("spelt", "before", "after"), EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_every_example_changes_something(spelt, before, after):
    assert before.method in spelt or after.on_update != before.on_update
    assert list(differences(before, after))
    assert not list(differences(after, after))
