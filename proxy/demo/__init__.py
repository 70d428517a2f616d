"""Made-up data for ``encdb demo``: the residents of a county and a small mailbox.

Everything is drawn with a fixed seed, so that every run shows the same answers; no line of it comes
from a real person or a real message.
"""
