"""One raw message (RFC 5322, MIME) to its headers, its readable text and the names of its attachments.

Messages are written by strangers, and many are malformed or meant to be. The standard library's
parser finds the structure, under its ``compat32`` policy, which keeps defects instead of raising on
them. Around it: header values are cut before anything reads their parameters (which takes quadratic
time), input is fed in pieces with the clock checked between them, parts are counted as they are made,
and encoded words, charsets, dates and HTML are read by code that cannot fail. What
passes a limit raises `LimitExceededError`; nothing else is raised for any bytes.

The body is every inline text part in order. Of alternatives it is the plain one unless that is empty; a
message within the message counts with its sender, recipients and subject. Attachments give their
names only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.feedparser import BytesFeedParser
from email.message import Message
from email.policy import Compat32
from email.utils import parsedate_tz
from typing import Final, TypeAlias, TypeVar

from proxy.search import charsets, html
from proxy.search.limits import DEFAULT_LIMITS, Clock, LimitExceededError, Limits

Part: TypeAlias = "Message[str, str]"
_T = TypeVar("_T")

_FEED_BYTES = 1 << 14
# Long enough for every real parameter list; parsing one is quadratic in its length.
_MAX_PARAMETERS = 2_048
_MAX_HEADER = 1 << 16
_MAX_DATE = 200
_MAX_NAME = 255

_HEADER: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")
_STRUCTURE: Final = frozenset(
    {"content-type", "content-disposition", "content-transfer-encoding", "mime-version"}
)
_SILENT_TEXT: Final = frozenset({"text/css", "text/javascript", "text/ecmascript"})
_MARKED_TEXT: Final = frozenset({"text/html", "text/enriched", "text/richtext", "text/xml"})

# Marks of transport, which no text file has by chance, and marks that any memorandum might have.
_TRANSPORT: Final = frozenset(
    {b"message-id", b"received", b"return-path", b"delivered-to", b"mime-version"}
)
_ADDRESSED: Final = frozenset({b"to", b"cc", b"bcc", b"subject"})


@dataclass(frozen=True, slots=True)
class Mail:
    r"""What a collection keeps of one message. Absent headers are None.

    Attributes:
        subject: decoded, on one line.
        sender: the From header, decoded, on one line.
        recipients: To, Cc and Bcc, decoded, joined by ``, ``.
        sent: the Date header in UTC; None when it is absent or malformed.
        body: readable text with ``\\n`` line ends.
        attachments: file names in order of appearance.
    """

    subject: str | None
    sender: str | None
    recipients: str | None
    sent: datetime | None
    body: str
    attachments: tuple[str, ...]


def is_mail(data: bytes) -> bool:
    """Whether bytes begin with the header block of a message; the suffix of a file says nothing.

    The block must name a sender and carry a mark of transport (Message-ID, Received, …), or have a date,
    a recipient or subject, and a sender with an ``@``. Lines such as ``Note: …`` are not enough.
    """
    names: set[bytes] = set()
    address = False
    for line in data[:_MAX_HEADER].removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.strip(b"\r"):
            break
        if line[:1] in b" \t" and names:
            continue
        match = _HEADER.match(line)
        if match is None:
            # Some archives quote an envelope line among the headers. Anything else ends the block.
            if line.startswith((b">From ", b"From ")):
                continue
            break
        name = match[1].lower()
        names.add(name)
        address = address or (name == b"from" and b"@" in line)
    if not names & {b"from", b"sender", b"return-path"}:
        return False
    return bool(names & _TRANSPORT and names & (_ADDRESSED | {b"date", b"from"})) or (
        address and b"date" in names and bool(names & _ADDRESSED)
    )


def parse_mail(data: bytes, limits: Limits = DEFAULT_LIMITS, clock: Clock | None = None) -> Mail:
    """Reads one message; an mbox line ``From …`` before the headers is allowed.

    Raises:
        LimitExceededError: the message passes a limit.
    """
    clock = clock or Clock(limits.seconds)
    root = _structure(data, limits, clock)
    headers = _headers(root)
    body = _Body(limits, clock)
    body.add(root, 0)
    return Mail(
        subject=headers.get("subject"),
        sender=headers.get("from") or headers.get("sender"),
        recipients=headers.get("recipients"),
        sent=_sent(root),
        body=charsets.clean("\n\n".join(body.texts)).strip("\n"),
        attachments=tuple(body.attachments),
    )


class _Policy(Compat32):
    """Cuts header values as they are read, at every level of the message."""

    def header_source_parse(self, sourcelines: list[str]) -> tuple[str, str]:
        name, value = super().header_source_parse(sourcelines)
        if name.lower() in _STRUCTURE:
            return name, value[:_MAX_PARAMETERS].strip()
        return name, value[:_MAX_HEADER]


def _structure(data: bytes, limits: Limits, clock: Clock) -> Part:
    made = 0

    def factory(policy: Compat32 | None = None) -> Part:
        nonlocal made
        made += 1
        if made > limits.parts:
            raise LimitExceededError(f"the message has more than {limits.parts:,} parts")
        return Message(policy=policy or _Policy())

    header_end = re.compile(rb"\r?\n\r?\n").search(data, 0, limits.header_bytes + 4)
    if header_end is None and len(data) > limits.header_bytes:
        raise LimitExceededError(f"the headers are larger than {limits.header_bytes:,} bytes")
    parser = BytesFeedParser(factory, policy=_Policy())
    made = 0
    try:
        for start in range(0, len(data), _FEED_BYTES):
            clock.check()
            parser.feed(data[start : start + _FEED_BYTES])
            # Every line is compared with the boundaries of all open parts, so depth costs time. Where
            # the library does not say how many are open, the clock alone bounds it.
            _check_depth(len(getattr(parser, "_msgstack", ())), limits)
        clock.check()
        return parser.close()
    except RecursionError:
        raise LimitExceededError("the message nests too many parts") from None


def _check_depth(depth: int, limits: Limits) -> None:
    # The library's count includes the message itself.
    if depth > limits.part_depth + 1:
        raise LimitExceededError(f"parts nest deeper than {limits.part_depth} levels")


def _raw_headers(part: Part) -> Iterator[tuple[str, str]]:
    for name, value in part.raw_items():
        yield name.lower(), str(value)


def _headers(part: Part) -> dict[str, str]:
    """Subject, From, Sender and all recipients, decoded; what is absent or empty is left out."""
    found: dict[str, str] = {}
    recipients: list[str] = []
    for name, value in _raw_headers(part):
        if name in {"to", "cc", "bcc"}:
            recipients.append(charsets.decode_words(value))
        elif name in {"subject", "from", "sender"} and name not in found:
            found[name] = charsets.decode_words(value)
    found["recipients"] = ", ".join(filter(None, recipients))
    return {name: text for name, text in found.items() if text}


def _sent(part: Part) -> datetime | None:
    value = next((value for name, value in _raw_headers(part) if name == "date"), None)
    if value is None:
        return None
    # The parser indexes into what it takes for parts of a date, and dates may lie outside any calendar.
    with suppress(ValueError, TypeError, IndexError, OverflowError, AttributeError):
        parsed = parsedate_tz(charsets.one_line(value[:_MAX_DATE]))
        if parsed is not None:
            local = datetime(*parsed[:6], tzinfo=UTC)
            return local - timedelta(seconds=parsed[9] or 0)
    return None


@dataclass(slots=True)
class _Body:
    """Collects texts and attachment names of one message or one alternative of it."""

    limits: Limits
    clock: Clock
    texts: list[str] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)
    characters: int = 0

    def add(self, part: Part, depth: int) -> None:
        self.clock.check()
        _check_depth(depth, self.limits)
        kind = _guarded(part.get_content_type, "text/plain")
        children = _children(part)
        if kind == "message/delivery-status":
            for child in children:
                self._text(
                    "\n".join(
                        f"{name}: {charsets.decode_words(v)}" for name, v in _raw_headers(child)
                    )
                )
        elif not children:
            self._leaf(part, kind)
        elif kind == "multipart/alternative":
            self._alternative(children, depth)
        else:
            for child in children:
                if kind.startswith("message/"):
                    self._text("\n".join(_headers(child).values()))
                self.add(child, depth + 1)

    def _alternative(self, children: list[Part], depth: int) -> None:
        chosen: _Body | None = None
        for child in children:
            body = _Body(self.limits, self.clock)
            body.add(child, depth + 1)
            self.attachments.extend(body.attachments)
            if any(text.strip() for text in body.texts):
                chosen = body
                if _guarded(child.get_content_type, "") == "text/plain":
                    break
        for text in chosen.texts if chosen is not None else []:
            self._text(text)

    def _leaf(self, part: Part, kind: str) -> None:
        name = _file_name(part)
        if name:
            self.attachments.append(name)
        if kind.startswith(("multipart/", "message/")):
            # A container in which no part was found, for want of a boundary, say, is shown as text.
            kind = "text/plain"
        attached = _guarded(part.get_content_disposition, None) == "attachment"
        if attached or not kind.startswith("text/") or kind in _SILENT_TEXT:
            return
        # The parameter may be malformed (RFC 2231), and a bad charset is no reason to lose the text.
        charset = _guarded(part.get_content_charset, None)
        text = charsets.decode(_payload(part), charset)
        self._text(html.to_text(text) if kind in _MARKED_TEXT else text)

    def _text(self, text: str) -> None:
        self.characters += len(text)
        if self.characters > self.limits.body_characters:
            raise LimitExceededError(
                f"the text is longer than {self.limits.body_characters:,} characters"
            )
        if text:
            self.texts.append(text)


def _children(part: Part) -> list[Part]:
    payload = part.get_payload() if part.is_multipart() else None
    return [child for child in payload if isinstance(child, Message)] if payload else []


def _payload(part: Part) -> bytes:
    """The bytes of a leaf after its transfer encoding; what cannot be decoded stays encoded."""
    data = _guarded(lambda: part.get_payload(decode=True), None)
    return data if isinstance(data, bytes) else b""


def _file_name(part: Part) -> str | None:
    name = _guarded(part.get_filename, None)
    return charsets.decode_words(str(name))[:_MAX_NAME] or None if name else None


def _guarded(read: Callable[[], _T], otherwise: _T) -> _T:
    """What the library's reader returns, or `otherwise` when it trips over malformed parameters."""
    try:
        return read()
    # The readers raise whatever a wrong assumption about the input leads to, differently in each
    # version of Python; the message is worth more than the parameter.
    except Exception:  # noqa: BLE001
        return otherwise
