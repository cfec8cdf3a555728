"""What all tiers share: how many examples property tests try, and whose failures tell their two states."""

import gc

import pytest
from hypothesis import settings

# Cases that several tests are held to tell their two states when they fail, as tests do.
pytest.register_assert_rewrite("tests.kernel_cases", "tests.store_cases")

# `make test-unit` is for while one types; `make test` asks for --hypothesis-profile=thorough.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile("thorough", max_examples=100, deadline=None)
settings.load_profile("quick")


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the collector need not look at it again (1 s of 8)."""
    gc.freeze()
