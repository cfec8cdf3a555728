"""python -m bascule.dns FD VERSION: the resolver process.  A daemon starts it, with a listening Unix socket as
descriptor FD, and it outlives that daemon.  See docs/dns.md.
"""

import ctypes
import os
import resource
import socket
import sys

from bascule.dns.resolver import Resolver

# `nobody` and `nogroup` of every distribution: the kernel's own overflow id (/proc/sys/kernel/overflowuid).
NOBODY = 65534
# include/uapi/linux/prctl.h
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPABILITIES = 64
# Eight descriptors a sandbox with one family, and its TCP clients.
DESCRIPTORS = 1 << 20


def give_up_rights() -> None:
    """From now on: nobody, without capabilities, and no program that is run could give any back."""
    libc = ctypes.CDLL(None, use_errno=True)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.getuid() == 0:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
        except (OSError, ValueError):
            # Without CAP_SYS_RESOURCE, or fs.nr_open is lower: what we may have.
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        for capability in range(CAPABILITIES):
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        # Leaving uid 0 clears the permitted, effective and ambient sets (capabilities(7)).
        os.setresuid(NOBODY, NOBODY, NOBODY)
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")


def main() -> None:
    """Leave the daemon's session and rights behind, and serve."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    owner = os.getuid()
    if os.fork():
        # Whoever started this need not wait for it to end, hours later.
        os._exit(0)
    os.setsid()
    os.chdir("/")
    resolver = Resolver(listener, sys.argv[2], owner)
    give_up_rights()
    resolver.run()


if __name__ == "__main__":
    main()
