"""The form of a method's definition, and readers for the values of its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from encdb.errors import NotSupportedError, ProgrammingError, err
from proxy.catalog import Column, suggest

Options: TypeAlias = tuple[tuple[str, str], ...]
"""(name, value) of ``WITH (…)``, by name."""

Reader: TypeAlias = Callable[[str], str | None]
"""The normal form of an option's value, or None when it is none."""


@dataclass(frozen=True, slots=True)
class Declared:
    """An index as it was declared: ids of its columns, and its options in their normal form."""

    columns: tuple[int, ...]
    include: tuple[int, ...]
    options: Options


@dataclass(frozen=True, slots=True)
class Definition:
    """What one method takes.

    Attributes:
        method: name as in ``CREATE INDEX … USING``.
        refusal: why a column does not suit, for instance ``is JSON, which has no order``, or None.
        advice: what to do about a refused column.
        leading: the same as ``refusal`` for all columns but the last, when other types suit there.
        most_columns: how many columns an index has at most; None for any number.
        includes: whether INCLUDE is served.
        options: the reader of each option.
        choices: what each option takes, to say so.
        read_options: takes the place of ``options`` for a method with a grammar of its own.
    """

    method: str
    refusal: Callable[[Column], str | None]
    advice: str
    leading: Callable[[Column], str | None] | None = None
    most_columns: int | None = None
    includes: bool = False
    options: Mapping[str, Reader] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    read_options: Callable[[Options, Sequence[Column]], Options] | None = None

    def declare(
        self, columns: Sequence[Column], include: Sequence[Column], given: Options
    ) -> Options:
        """Check an index's columns; the options in their normal form.

        Raises:
            NotSupportedError: the method does not suit the columns.
            ProgrammingError: an unknown option, or a value that it does not take.
        """
        if self.most_columns is not None and len(columns) > self.most_columns:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                f"an index by {self.method} on several columns is not served",
                "Index each column by itself.",
            )
        if include and not self.includes:
            raise err(
                NotSupportedError,
                "E_NOT_SUPPORTED",
                f"INCLUDE in an index by {self.method} is not served",
                "Leave it out, or use equality or range.",
            )
        for place, column in enumerate(columns, start=1):
            leading = self.leading if place < len(columns) else None
            reason = (leading or self.refusal)(column)
            if reason is not None:
                raise err(
                    NotSupportedError,
                    "E_INDEX_TYPE",
                    f'column "{column.name}" {reason}',
                    self.advice,
                )
        if self.read_options is not None:
            return self.read_options(given, columns)
        return self._read(given)

    def _read(self, given: Options) -> Options:
        found: dict[str, str] = {}
        for name, value in given:
            reader = self.options.get(name)
            if reader is None:
                raise self._unknown(name)
            normal = reader(value)
            if normal is None:
                raise err(
                    ProgrammingError,
                    "E_UNKNOWN_OPTION",
                    f'the option "{name}" does not take "{value}"',
                    f"It takes {self.choices.get(name, 'true or false')}.",
                )
            found[name] = normal
        return tuple(sorted(found.items()))

    def _unknown(self, name: str) -> ProgrammingError:
        if not self.options:
            return err(
                ProgrammingError,
                "E_UNKNOWN_OPTION",
                f"an index by {self.method} has no options",
            )
        return err(
            ProgrammingError,
            "E_UNKNOWN_OPTION",
            f'an index by {self.method} has no option "{name}"',
            suggest(name, self.options),
        )


_BOOLEANS: Final = {
    **dict.fromkeys(("true", "on", "yes", "1"), "true"),
    **dict.fromkeys(("false", "off", "no", "0"), "false"),
}


def boolean(value: str) -> str | None:
    """``true`` or ``false``, in any of PostgreSQL's spellings."""
    return _BOOLEANS.get(value.casefold())


def one_of(*choices: str) -> Reader:
    """A reader that takes one of these words."""
    return lambda value: value.casefold() if value.casefold() in choices else None
