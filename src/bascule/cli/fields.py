"""What a listing can show of its objects."""

from collections.abc import Callable
from typing import Any

Fields = dict[str, tuple[str, Callable[[Any], Any]]]
"""A placeholder's name -> its column's header, and its value from the API's object."""
