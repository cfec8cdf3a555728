"""A question to the person at the terminal."""

import sys


def sure(question: str) -> bool:
    """Whether the answer is yes; the end of the input is a no."""
    print(f"{question} [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
