"""Writes docs/openapi.json, which the daemon answers at /openapi.json: `python docs/generate_openapi.py`."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))

from bascule.api.openapi import document
from bascule.api.routes import ROUTES

PAGE = Path(__file__).with_name("openapi.json")


def text() -> str:
    """The whole page."""
    return json.dumps(document(ROUTES), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
