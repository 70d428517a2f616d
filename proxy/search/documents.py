"""Files to documents: raw mail, mbox, Markdown and plain text; anything else is skipped with a reason.

What a file is, its content says:

- *mbox*: a line ``From `` with a date, then the headers of a message (RFC 4155). Read message by message,
  so the file may be any size. The first message has the file's path, the others ``path#2``, ``path#3``, …,
  so paths stay as they are when an mbox grows.
- *mail*: the header block of a message; see `mail.is_mail`.
- *text*: valid UTF-8, or UTF-16 or UTF-32 with a byte order mark, without NUL. A name that ends in
  ``.md``, ``.markdown`` or ``.mkd`` is Markdown: its first heading is the title.

Every file is hostile until read: see `limits` and `files`. No content of any file ends the run, and
nothing is lost silently.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final

from proxy.search import charsets
from proxy.search.files import Found, Skipped, walk
from proxy.search.limits import DEFAULT_LIMITS, Clock, LimitExceededError, Limits
from proxy.search.mail import is_mail, parse_mail

_HEAD = 1 << 16
_MAX_LINE = 1 << 20
_MAX_TITLE = 1_000
_MARKDOWN: Final = (".md", ".markdown", ".mkd")
_BOMS: Final = (
    (b"\xef\xbb\xbf", "utf_8_sig"),
    (b"\xff\xfe\x00\x00", "utf_32"),
    (b"\x00\x00\xfe\xff", "utf_32"),
    (b"\xff\xfe", "utf_16"),
    (b"\xfe\xff", "utf_16"),
)
# "From sender Thu Aug 22 12:36:23 2002": what ctime writes, with or without seconds and time zone.
_ENVELOPE: Final = re.compile(rb"From .{0,1000}? \w{3} +\w{3} +\d{1,2} +\d{1,2}:\d\d.{0,80}$")
_HEADER_LINE: Final = re.compile(rb"[!-9;-~]+[ \t]*:|>From ")
_QUOTED_FROM: Final = re.compile(rb"^>(>*From )", re.MULTILINE)
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_FENCE: Final = re.compile(r" {0,3}(```|~~~)")
_HEADING: Final = re.compile(r" {0,3}#{1,6}[ \t]+(.*)")
_CLOSING: Final = re.compile(r"(?:^|[ \t])#+$")
_UNDERLINE: Final = re.compile(r" {0,3}(=+|-+)[ \t]*$")
_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")


@dataclass(frozen=True, slots=True)
class Document:
    """One document, before it has an id. Texts hold no NUL and no lone surrogate.

    Attributes:
        path: as the user named it; ``path#n`` for message n of an mbox file from the second on.
        title: subject, first heading, or the file's name.
        sender, recipients: of mail; None otherwise or when absent.
        sent: of mail, aware and in UTC; None otherwise or when absent or malformed.
        body: readable text.
        attachments: file names, one a line; None when there are none.
        size: bytes as they lie in the file.
        digest: SHA-256 of those bytes, 64 hexadecimal digits.
    """

    path: str
    title: str
    sender: str | None
    recipients: str | None
    sent: datetime | None
    body: str
    attachments: str | None
    size: int
    digest: str


def read_documents(
    paths: Iterable[str | os.PathLike[str]], limits: Limits = DEFAULT_LIMITS
) -> Iterator[Document | Skipped]:
    """The documents at and below `paths`, and what was skipped, in the order of `files.walk`.

    Raises:
        OperationalError: E_INPUT_FILE, a named path does not exist; raised before anything is yielded.
    """
    for entry in walk(paths, limits):
        if isinstance(entry, Skipped):
            yield entry
        else:
            with entry.file:
                yield from _read_file(entry, limits)


def read_document(
    path: str, data: bytes, limits: Limits = DEFAULT_LIMITS, *, mbox: bool = False
) -> Document | Skipped:
    """One document from its bytes: a message or a text. Never raises for any bytes.

    Args:
        path: the path to report; its last part is the title of last resort.
        data: the whole file, or one message of an mbox file.
        limits: what the document may cost.
        mbox: whether it comes from an mbox file, so that it is a message whatever its headers.
    """
    try:
        return _document(path, data, limits, mbox)
    except LimitExceededError as error:
        return Skipped(path, str(error))
    # One bad document must not end the run, and parsers of hostile input fail in ways nobody foresees.
    except Exception as error:  # noqa: BLE001
        return Skipped(path, f"could not be parsed ({type(error).__name__})")


def _read_file(entry: Found, limits: Limits) -> Iterator[Document | Skipped]:
    try:
        head = entry.file.read(_HEAD)
        if _is_mbox(head):
            entry.file.seek(0)
            for number, message in enumerate(_messages(entry.file, limits.file_bytes), 1):
                path = entry.path if number == 1 else f"{entry.path}#{number}"
                if len(message) > limits.file_bytes:
                    yield Skipped(path, _too_large(limits))
                else:
                    yield read_document(path, message, limits, mbox=True)
            return
        data = head + entry.file.read(limits.file_bytes + 1 - len(head))
    except OSError as error:
        yield Skipped(entry.path, (error.strerror or "cannot be read").lower())
        return
    if len(data) > limits.file_bytes:
        yield Skipped(entry.path, _too_large(limits))
    else:
        yield read_document(entry.path, data, limits)


def _document(path: str, data: bytes, limits: Limits, mbox: bool) -> Document | Skipped:
    name = path.rpartition("/")[2] or path
    size, digest = len(data), hashlib.sha256(data).hexdigest()
    enveloped = data.startswith(b"From ")
    message = data.partition(b"\n")[2] if enveloped else data
    if is_mail(message) or (mbox and enveloped):
        if enveloped:
            # Where messages follow each other, a line of a body that looks like an envelope is quoted.
            message = _QUOTED_FROM.sub(rb"\1", message)
        mail = parse_mail(message.removeprefix(b"\xef\xbb\xbf"), limits, Clock(limits.seconds))
        return Document(
            path=path,
            title=(mail.subject or name)[:_MAX_TITLE],
            sender=mail.sender,
            recipients=mail.recipients,
            sent=mail.sent,
            body=mail.body,
            attachments="\n".join(mail.attachments) or None,
            size=size,
            digest=digest,
        )
    text = _text(data)
    if text is None:
        return Skipped(path, "neither mail nor text in UTF-8")
    if len(text) > limits.body_characters:
        return Skipped(path, f"the text is longer than {limits.body_characters:,} characters")
    heading = markdown_title(text) if name.lower().endswith(_MARKDOWN) else None
    title = (heading or name)[:_MAX_TITLE]
    return Document(path, title, None, None, None, charsets.clean(text), None, size, digest)


def markdown_title(text: str) -> str | None:
    """The first heading of a Markdown text, without markup; None when it has none.

    Both forms of heading count; those in fenced code and in front matter do not.
    """
    lines = text.splitlines()
    if lines and lines[0].rstrip() == "---":
        closing = (n for n, line in enumerate(lines[1:], 1) if line.rstrip() in {"---", "..."})
        lines = lines[next(closing, 0) + 1 :]
    fence, previous = "", ""
    for line in lines:
        mark = _FENCE.match(line)
        if mark is not None and fence in {"", mark[1]}:
            fence, previous = "" if fence else mark[1], ""
            continue
        if fence:
            continue
        line = line[:_MAX_TITLE].rstrip()  # noqa: PLW2901 - the rest of the line is not looked at
        found = previous if _UNDERLINE.match(line) else ""
        if heading := _HEADING.match(line):
            found = _CLOSING.sub("", heading[1])
        title = charsets.one_line(_LINK.sub(r"\1", found).replace("`", "").replace("*", ""))
        if title:
            return title
        previous = line.strip()
    return None


def _text(data: bytes) -> str | None:
    """The text of a file; None when it is binary or in another encoding."""
    codec = next((codec for bom, codec in _BOMS if data.startswith(bom)), "utf_8")
    try:
        text = data.decode(codec)
    except UnicodeDecodeError:
        return None
    # Tabs, line ends, form feeds and escape sequences of terminals occur in text; the rest is rare.
    if "\0" in text or len(_CONTROLS.findall(text)) > len(text) // 20:
        return None
    return text


def _is_mbox(head: bytes) -> bool:
    first, _, rest = head.partition(b"\n")
    return first.startswith(b"From ") and _HEADER_LINE.match(rest) is not None and is_mail(rest)


def _messages(file: BinaryIO, limit: int) -> Iterator[bytes]:
    """The messages of an mbox file, each with its envelope line.

    A message begins at an envelope line that follows a blank line and precedes a header. Of a message
    larger than `limit` a little more than that is returned, so that the caller can tell.
    """
    parts: list[bytes] = []
    size, blank, begin = 0, False, True
    held = file.readline(_MAX_LINE)
    while held:
        line, held = held, file.readline(_MAX_LINE)
        starts = blank and begin and _ENVELOPE.match(line.rstrip(b"\r\n")) is not None
        if starts and _HEADER_LINE.match(held):
            yield b"".join(parts)
            parts, size = [], 0
        if size <= limit:
            parts.append(line)
            size += len(line)
        # A line longer than _MAX_LINE comes in pieces, of which only the first begins a line.
        blank, begin = begin and not line.strip(b"\r\n"), line.endswith(b"\n")
    if parts:
        yield b"".join(parts)


def _too_large(limits: Limits) -> str:
    return f"larger than {limits.file_bytes:,} bytes"
