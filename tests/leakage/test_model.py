"""Every message of a run is the one that the leakage model says, and no leak is told that is not declared."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from indexes.leakage import TABLE, Leak, Profile, profile_of
from indexes.multimap import paging

from .histories import HISTORIES, blocks, equality, keyword, phrases, table
from .model import history, spec
from .model.database import Model
from .model.messages import Message
from .model.plain import Index
from .running import hold

EVERYWHERE = {*TABLE.at_rest, *TABLE.on_update, *TABLE.on_query}
"""What a statement may tell of tables by itself: it learns what others have changed, too."""


def profile(index: Index) -> Profile:
    """The profile of an index of the model."""
    return profile_of(index.method, index.options, columns=len(index.columns), unique=index.unique)


def allowed(model: Model, step: history.Step) -> set[Leak]:
    """Everything that the profiles declare for a step: of the tables, and of the indexes there are."""
    found = set(EVERYWHERE)
    used = used_by(step)
    for state in model.tables.values():
        for index in state.schema.indexes:
            one = profile(index)
            found.update(one.at_rest)
            if not isinstance(step, history.Query):
                found.update(one.on_update)
            names = tuple(state.schema.columns[number - 1].name for number in index.columns)
            if (index.method, names) == used:
                found.update(one.on_query)
    return found


def used_by(step: history.Step) -> tuple[str, tuple[str, ...]] | None:
    """Method and columns of the index that a step's plan uses."""
    match step:
        case history.Tagged():
            return "det", (step.where,)
        case history.Groups():
            return "det", (step.by,)
        case history.Compared():
            return step.method, (step.where,)
        case history.Ranked():
            return "ope", (step.order,)
        case history.Contains():
            return "substring", (step.where,)
        case history.Equal() | history.Update() | history.Delete():
            return "equality", (step.where,)
        case history.Between():
            return "range", (step.where,)
        case history.Together():
            return "range", (step.leading, step.where)
        case history.First():
            return "range", (step.order,)
        case history.Extreme():
            return "range", (step.of,)
        case history.Match():
            return "keyword", (step.where,)
        case _:
            return None


def told(model: Model, step: history.Step, messages: Sequence[Message]) -> None:
    """Nothing is told that the profiles do not declare."""
    leaks = {leak for message in messages for leak in message.leaks()}
    undeclared = leaks - allowed(model, step)
    assert not undeclared, step


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(one, id=one.__name__, marks=[pytest.mark.slow] if one is phrases else [])
        for one in HISTORIES
    ],
)
def test_a_run_tells_what_the_model_says_and_the_profiles_declare(tmp_path, steps):
    hold(tmp_path / "store", steps(), told)


@pytest.mark.parametrize("steps", [table, equality, keyword], ids=lambda one: one.__name__)
def test_the_same_where_nothing_is_read_whole(tmp_path, monkeypatch, steps):
    monkeypatch.setattr(paging, "WHOLE", 1)
    monkeypatch.setattr(spec, "WHOLE", 1)
    hold(tmp_path / "store", steps(), told)


@pytest.mark.slow
@pytest.mark.parametrize("whole", [1, 16])
def test_the_same_over_many_blocks(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(paging, "WHOLE", whole)
    monkeypatch.setattr(spec, "WHOLE", whole)
    hold(tmp_path / "store", blocks(), told)
