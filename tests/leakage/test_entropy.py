"""What CREATE INDEX says of a column, and when it refuses to make an index of one."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from encdb.errors import CODES, ProgrammingError
from indexes.leakage import METHODS, PROFILES, profile_of
from proxy.leakage.entropy import LEAST_BITS, Measured, measure, notice, require_acceptable
from tests.fixtures.databases import refused

VISIBLE = [one for one in PROFILES.values() if not one.hidden]


@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), max_size=60), st.integers(0, 60))
def test_measures_as_counting_does(values, cut):
    counts = Counter(value for value in values if value is not None)
    expected = Measured(
        rows=counts.total(),
        nulls=len(values) - counts.total(),
        distinct=len(counts),
        commonest=max(counts.values(), default=0),
    )
    kind = pa.int64()
    whole = pa.array(values, kind)
    pieces = [pa.array(values[:cut], kind), pa.array(values[cut:], kind)]
    assert measure(whole) == measure(pa.chunked_array(pieces)) == measure(pieces) == expected
    assert measure(iter(pieces)) == expected
    if counts:
        assert math.isclose(2**-expected.bits, expected.share)


def test_nothing_is_an_empty_column():
    assert measure([]) == measure(pa.array([], pa.string())) == Measured(0, 0, 0, 0)
    assert measure(pa.nulls(3, pa.int32())) == Measured(0, 3, 0, 0)
    assert Measured(0, 3, 0, 0).bits == 0


@pytest.mark.parametrize("width", [8, 16])
def test_words_and_tags_can_be_measured(width):
    raw = np.repeat(np.arange(5, dtype=np.uint64), [1, 2, 3, 4, 10])
    tags = pa.array([int(one).to_bytes(width, "big") for one in raw], pa.binary(width))
    assert measure(tags) == measure(pa.array(raw)) == Measured(20, 0, 5, 10)


@pytest.mark.parametrize("profile", VISIBLE, ids=lambda one: one.method)
@pytest.mark.parametrize(
    ("measured", "refused"),
    [
        (Measured(256, 0, 256, 1), False),
        (Measured(255, 0, 255, 1), True),
        (Measured(51_200, 0, 300, 200), False),
        (Measured(51_200, 0, 300, 201), True),
        (Measured(0, 0, 0, 0), True),
        (Measured(0, 9, 0, 0), True),
    ],
)
def test_refused_below_eight_bits_or_without_rows(profile, measured, refused):
    assert (not measured.rows or measured.bits < LEAST_BITS) == refused
    require_acceptable("i", profile, measured, accept=True)
    require_acceptable("i", PROFILES["equality"], measured, accept=False)
    if not refused:
        require_acceptable("i", profile, measured, accept=False)
        return
    with pytest.raises(ProgrammingError) as caught:
        require_acceptable("i", profile, measured, accept=False)
    assert caught.value.code == "E_LEAKAGE"
    assert "accept_leakage = true" in CODES["E_LEAKAGE"].fix
    assert "\n" not in str(caught.value)


def test_the_refusal_says_what_was_measured():
    with pytest.raises(ProgrammingError) as caught:
        require_acceptable("people_sex", PROFILES["det"], Measured(1_000, 5, 2, 510), accept=False)
    assert caught.value.message == (
        'index "people_sex" (det) would be server-visible, and the column has 2 different values in 1,000 '
        "rows; the commonest has 51 % of them, so a row's min-entropy is 1.0 bits, of 10.0 possible with as "
        "many rows"
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_notice_says_everything_the_profile_does(method):
    profile = profile_of(method)
    text = notice("t_idx", profile, None if profile.hidden else Measured(4_096, 0, 4_000, 8))
    assert "\n" not in text
    for _, leaks in profile.moments:
        for leak in leaks:
            assert (leak.value if profile.hidden else profile.meaning(leak)) in text
    assert ("not proved to be complete" in text) == (not profile.verified)
    assert ("9.0 bits" in text) == (not profile.hidden)


@given(st.lists(st.integers(10**15, 10**16), min_size=1, max_size=40))
def test_no_value_is_in_a_notice_or_refusal(values):
    measured = measure(pa.array(values))
    texts = [notice("t_idx", one, measured) for one in VISIBLE]
    try:
        require_acceptable("t_idx", VISIBLE[0], measured, accept=False)
    except ProgrammingError as refusal:
        texts.append(str(refusal))
    shown = {int(one.replace(",", "")) for text in texts for one in re.findall(r"\d[\d,]*", text)}
    assert shown.isdisjoint(values)


def test_create_index_says_what_it_reveals(connection):
    connection.execute("CREATE TABLE t (id BIGINT PRIMARY KEY, a INT, b INT)")
    connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [(n, n, n % 2) for n in range(300)])
    (hidden,) = connection.execute("CREATE INDEX h ON t USING range (a)").notices
    assert hidden.startswith('index "h" (range) is hidden. The store learns of it no more than ')
    (shown,) = connection.execute("CREATE INDEX s ON t USING ope (a)").notices
    assert "for any two rows the first of 32 bits in which they differ" in shown
    assert "300 different values in 300 rows" in shown
    refused("E_LEAKAGE", connection.execute, "CREATE INDEX r ON t USING det (b)")
    accepted = "CREATE INDEX r ON t USING det (b) WITH (accept_leakage = true)"
    (shown,) = connection.execute(accepted).notices
    assert "min-entropy is 1.0 bits" in shown
