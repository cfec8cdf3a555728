"""Cases that several tests are held to tell their two states when they fail, as tests do."""

import pytest

pytest.register_assert_rewrite("tests.kernel_cases", "tests.store_cases")
