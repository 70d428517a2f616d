"""A made-up mailbox: letters to and from the county office, as RFC 822 files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from proxy.demo.draw import Draw

LETTERS = 60

_OFFICE = "County Office <office@millbrook.example>"
_PEOPLE = (
    "Ada Lindqvist <ada@ashford.example>",
    "Kofi Nakamura <kofi@lakeside.example>",
    "Rosa Whitfield <rosa@stonycreek.example>",
    "Emil Vandermeer <emil@northfork.example>",
    "Nia Sandoval <nia@collegehill.example>",
    "Hugo Thibodeaux <hugo@pineharbor.example>",
)
# (subject, sentences): a letter takes a subject and some of its sentences.
_TOPICS = (
    (
        "Asthma clinic in {city}",
        (
            "The mobile clinic offers free asthma and allergy tests on {day}.",
            "Please bring the inhaler you use and a list of your medicines.",
            "Children under twelve need a parent at the clinic.",
            "Wood smoke made the breathing problems of many patients worse this winter.",
        ),
    ),
    (
        "Road works near {city}",
        (
            "The bridge on Route 9 is closed for repairs until {day}.",
            "Drivers should expect delays and follow the signs.",
            "Heavy trucks are diverted through the valley.",
            "Dust from the works may trouble people with asthma.",
        ),
    ),
    (
        "Library hours",
        (
            "The library in {city} opens on Sundays from {day}.",
            "Books can be returned at any time through the slot beside the door.",
            "A reading group meets every week; newcomers are welcome.",
            "The children's corner has new shelves.",
        ),
    ),
    (
        "Draft of the county budget",
        (
            "Attached is the draft of the budget for the coming year.",
            "The clinic in {city} asks for two more nurses.",
            "Comments are due by {day}; the council votes a week later.",
            "Spending on roads grows by four percent.",
        ),
    ),
    (
        "Water meter reading",
        (
            "Our technician reads the water meters in {city} on {day}.",
            "Nobody needs to be at home if the meter stands outside.",
            "Leaks should be reported at once.",
            "The reservoir is nine tenths full.",
        ),
    ),
)
_CITIES = ("Millbrook", "Ashford", "College Hill", "Lakeside", "Pine Harbor", "Stony Creek")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def letters(count: int = LETTERS) -> list[EmailMessage]:
    """The mailbox, oldest letter first."""
    draw = Draw("mailbox")
    sent = datetime(2026, 1, 5, 8, 30, tzinfo=UTC)
    mailbox = []
    for number in range(1, count + 1):
        sent += timedelta(minutes=30 + draw.below(60 * 24 * 3))
        subject, sentences = draw.one_of(_TOPICS)
        city, day, person = draw.one_of(_CITIES), draw.one_of(_DAYS), draw.one_of(_PEOPLE)
        chosen = [sentence for sentence in sentences if draw.happens(0.7)] or [sentences[0]]
        message = EmailMessage()
        message["Message-ID"] = f"<{number:04}@millbrook.example>"
        message["Date"] = format_datetime(sent)
        message["From"], message["To"] = (
            (person, _OFFICE) if draw.happens(0.3) else (_OFFICE, person)
        )
        message["Subject"] = subject.format(city=city)
        text = "\n".join(sentence.format(city=city, day=day) for sentence in chosen)
        message.set_content(f"{text}\n\nKind regards\n", charset="utf-8", cte="8bit")
        mailbox.append(message)
    return mailbox


def write_mailbox(folder: Path, count: int = LETTERS) -> None:
    """Write every letter to a file of its own: ``0001.eml`` and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, message in enumerate(letters(count), start=1):
        (folder / f"{number:04}.eml").write_bytes(message.as_bytes(policy=SMTP))
