"""One message to the store, and what it tells: the common form of EXPLAIN (LEAKAGE) before and after a run.

What a leak means is said in the words of the index's profile, so this can say nothing else than the
documentation does. Lines name tables, columns and indexes and are shown to whoever asked; they belong in no log.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from indexes.leakage import TABLE, Leak, Profile


@dataclass(frozen=True, slots=True)
class Told:
    """One message, or several of a kind.

    Attributes:
        message: what is sent, beginning with its name on the wire.
        leaks: what it tells, each with its meaning; none if it tells nothing about the statement.
    """

    message: str
    leaks: tuple[tuple[Leak, str], ...]


def told(message: str, leaks: Iterable[Leak], profile: Profile = TABLE) -> Told:
    """A message that tells some leaks of a profile, or of the table where the profile does not have them."""
    known = {leak for _, found in profile.moments for leak in found}
    return Told(
        message,
        tuple((one, (profile if one in known else TABLE).meaning(one)) for one in leaks),
    )


def lines(messages: Iterable[Told], said: set[tuple[Leak, str]]) -> list[str]:
    """Messages as text; what was said before is only named.

    Args:
        messages: in the order in which they are sent.
        said: leaks explained so far; those that are explained here are added.
    """
    found: list[str] = []
    for one in messages:
        found.append(f"  {one.message}")
        if not one.leaks:
            found.append("    tells nothing about the statement")
        found += _explained([pair for pair in one.leaks if pair not in said])
        again = [leak.value for leak, meaning in one.leaks if (leak, meaning) in said]
        if again:
            found.append(f"    the store learns as above: {', '.join(again)}")
        said.update(one.leaks)
    return found


def _explained(leaks: Sequence[tuple[Leak, str]]) -> list[str]:
    return [f"    the store learns {meaning} ({leak})" for leak, meaning in leaks]
