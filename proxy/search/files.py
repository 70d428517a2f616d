"""Walking paths that a user named, without being led elsewhere.

A folder may hold what somebody else put there. Inside folders symbolic links are not followed, and only
regular files are opened: a FIFO would block, a device might act. Each is opened without following
links, relative to the already opened folder, and checked again after opening, so that swapping a
file for a link between look and use gains nothing. Paths that the user named are followed as usual.

Everything that is left out is reported with a reason.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from encdb.errors import OperationalError, err
from proxy.search.limits import DEFAULT_LIMITS, Limits

_OPEN: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Skipped:
    """A path, or a message of an mbox file, that was left out, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file, open for reading in binary. Whoever receives it closes it."""

    path: str
    file: BinaryIO


def walk(
    paths: Iterable[str | os.PathLike[str]], limits: Limits = DEFAULT_LIMITS
) -> Iterator[Found | Skipped]:
    """The regular files at and below `paths`, folders in sorted order.

    Paths are reported as they were named, with the names below them appended, and as valid text:
    bytes of a file name that are no UTF-8 become U+FFFD.

    Raises:
        OperationalError: E_INPUT_FILE, a named path does not exist; raised before anything is yielded.
    """
    named = [os.fspath(path) for path in paths]
    for path in named:
        if not os.path.exists(path):  # noqa: PTH110 - a Path would drop a leading "./" from messages
            raise err(
                OperationalError, "E_INPUT_FILE", f'there is no file or folder "{shown(path)}"'
            )
    for path in named:
        yield from _visit(path, None, path, 0, limits)


def shown(path: str) -> str:
    """A path as valid text without a needless ``./`` in front or ``/`` behind."""
    text = os.fsencode(path).decode("utf-8", "replace")
    while text.startswith("./") and len(text) > 2:
        text = text[2:].lstrip("/")
    return text.rstrip("/") or text[:1]


def _visit(
    name: str, folder: int | None, path: str, depth: int, limits: Limits
) -> Iterator[Found | Skipped]:
    """One entry; `name` is relative to the open `folder`, or as the user wrote it without one."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=folder is None)
        reason = _refusal(status.st_mode)
        if reason is not None:
            yield Skipped(shown(path), reason)
            return
        # Opened without waiting, because the entry may have become a FIFO since it was looked at.
        links = 0 if folder is None else os.O_NOFOLLOW
        descriptor = os.open(name, _OPEN | links, dir_fd=folder)
    except OSError as error:
        yield Skipped(shown(path), _failure(error))
        return
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        yield Found(shown(path), os.fdopen(descriptor, "rb"))
        return
    try:
        if not stat.S_ISDIR(mode):
            yield Skipped(shown(path), _refusal(mode) or "not a regular file")
        elif depth >= limits.folder_depth:
            yield Skipped(shown(path), f"folders nest deeper than {limits.folder_depth} levels")
        else:
            yield from _folder(descriptor, path, depth, limits)
    finally:
        os.close(descriptor)


def _folder(descriptor: int, path: str, depth: int, limits: Limits) -> Iterator[Found | Skipped]:
    try:
        names = sorted(os.listdir(descriptor), key=os.fsencode)
    except OSError as error:
        yield Skipped(shown(path), _failure(error))
        return
    for name in names:
        yield from _visit(name, descriptor, os.path.join(path, name), depth + 1, limits)  # noqa: PTH118


def _refusal(mode: int) -> str | None:
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    kinds = (
        (stat.S_ISLNK, "symbolic link"),
        (stat.S_ISFIFO, "named pipe"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    )
    return next((name for test, name in kinds if test(mode)), "not a regular file")


def _failure(error: OSError) -> str:
    return (error.strerror or type(error).__name__).lower()
