"""Linux, held to the cases that the fake is held to."""

import pytest
from tests.kernel_cases import CASES, Case
from tests.root.conftest import Host

from bascule.kernel.linux import LinuxKernel


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_linux(case: Case, host: Host, kernel: LinuxKernel) -> None:
    case(kernel, host.container("box"))
