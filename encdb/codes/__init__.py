"""The catalogue of error codes: one entry per failure that a user can meet.

Codes are part of the interface: scripts compare them, and ``docs/errors.md`` has an anchor for each.
They are never renamed or given another meaning. A new code goes, in its sorted place, into the
module of its area: :mod:`.storage`, :mod:`.network`, :mod:`.statements` or :mod:`.inputs`. The package imports nothing
else, because every other module of the project may import it.
"""

from __future__ import annotations

from typing import Final

from .info import CodeInfo
from .inputs import INPUTS
from .network import NETWORK
from .statements import STATEMENTS
from .storage import STORAGE

__all__ = ["CODES", "CodeInfo"]

CODES: Final[dict[str, CodeInfo]] = dict(sorted((STORAGE | NETWORK | STATEMENTS | INPUTS).items()))
