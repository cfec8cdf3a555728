"""How long tests wait for what must come, and for what must not: longer where everything is emulated."""

import os

FACTOR = float(os.environ.get("BASCULE_PATIENCE", "1"))
"""1 on a machine of its own; several times that in a guest, whose processor is a program."""


def patient(seconds: float) -> float:
    """As many seconds as a machine of its own is given in *seconds*."""
    return seconds * FACTOR
