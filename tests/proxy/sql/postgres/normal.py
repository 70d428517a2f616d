"""One form for the answers of two databases: numbers as floats of 12 digits, moments as ISO text in UTC."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal


def normal(value):
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float | Decimal):
        number = float(value)
        return str(number) if not math.isfinite(number) else float(f"{number:.12g}")
    if isinstance(value, dt.datetime):
        moment = value if value.tzinfo is None else value.astimezone(dt.UTC).replace(tzinfo=None)
        return moment.isoformat()
    if isinstance(value, dt.date):
        return f"{value.isoformat()}T00:00:00"
    if isinstance(value, dt.time):
        return value.isoformat()
    if isinstance(value, bytes | memoryview):
        return "bytes " + bytes(value).hex()
    if isinstance(value, list | tuple):
        return [normal(one) for one in value]
    raise TypeError(type(value).__name__)
