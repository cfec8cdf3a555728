"""KVM where it works, emulation elsewhere.

That /dev/kvm opens, and makes virtual machines, proves nothing: on a virtual machine whose own hypervisor does not
lend it the processor's help, a guest was seen to stop within its kernel's first lines, with the whole time spent in
the host's kernel.  So it is tried once, and remembered for as long as the machine is up.
"""

import os
import sys
from pathlib import Path

from tests.vmrun.kernel import Kernel, Lacking, cache
from tests.vmrun.run import Wish, run

# With KVM a guest is up in about a second; what takes much longer is no gain.
PATIENCE = 6
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def accelerator(kernel: Kernel, asked: str = "") -> str:
    """`kvm` or `tcg`; *asked* overrules.  Raises Lacking."""
    if asked not in ("", "kvm", "tcg"):
        raise Lacking(f"no such accelerator: {asked} (kvm or tcg)")
    if asked or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return asked or "tcg"
    boot = BOOT_ID.read_text().strip()
    remembered = cache() / "accelerator"
    if remembered.exists() and remembered.read_text().startswith(boot):
        return remembered.read_text().split()[1]
    found = "kvm" if _boots(kernel) else "tcg"
    remembered.write_text(f"{boot} {found}\n")
    return found


def _boots(kernel: Kernel) -> bool:
    print("vmrun: does KVM work here?", file=sys.stderr)
    return run(Wish(["true"], seconds=PATIENCE, boot_seconds=PATIENCE), kernel, "kvm").status == 0
