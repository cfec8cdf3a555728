"""The default seccomp profile: what a container's processes may ask of the kernel.

An allow list, written from the system call tables of the kernel (arch/x86/entry/syscalls/*.tbl) with Docker's
promise in mind: everything that ordinary programs use; nothing that administers the host or loads code into
the kernel, unless a capability says that the container may.  What is not
listed fails with EPERM, and clone3, whose flags a filter cannot see, with ENOSYS so that libraries fall back.
"""

from collections.abc import Iterable
from typing import Any

Rule = dict[str, Any]

EPERM, ENOSYS = 1, 38
# CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET} of include/uapi/linux/sched.h.
NAMESPACE_FLAGS = 0x7E020000
AF_VSOCK = 40
# personality(2): Linux, Linux32, and each with UNAME26, and the question 0xffffffff.
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

_FILES = """
access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 epoll_create epoll_create1
epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 faccessat faccessat2
fadvise64 fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl
fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync
ftruncate ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr
_llseek lremovexattr lseek lsetxattr lstat lstat64 memfd_create memfd_secret mkdir mkdirat mknod mknodat
name_to_handle_at newfstatat _newselect open openat openat2 pipe pipe2 poll ppoll ppoll_time64 pread64 preadv
preadv2 pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr
removexattrat rename renameat renameat2 rmdir select sendfile sendfile64 setxattr setxattrat splice stat stat64
statfs statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat
utime utimensat utimensat_time64 utimes vmsplice write writev cachestat statmount listmount
"""
_MEMORY = """
brk get_mempolicy_home_node madvise map_shadow_stack mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap
mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
membarrier
"""
_PROCESSES = """
alarm arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_time64 futex_wait
futex_waitv futex_wake get_robust_list get_thread_area getcpu getegid getegid32 geteuid geteuid32 getgid getgid32
getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32
getrlimit getrusage getsid gettid getuid getuid32 ioprio_get ioprio_set kill landlock_add_rule
landlock_create_ruleset landlock_restrict_self lsm_get_self_attr lsm_list_modules lsm_set_self_attr modify_ldt
pause pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask
rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32
setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid
setresgid32 setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack signalfd
signalfd4 sigprocmask sigreturn tgkill tkill ugetrlimit uretprobe vfork wait4 waitid waitpid
"""
_TIME = """
adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
timerfd_gettime64 timerfd_settime timerfd_settime64 times
"""
_TALKING = """
accept accept4 bind connect getpeername getsockname getsockopt io_cancel io_destroy io_getevents io_pgetevents
io_pgetevents_time64 io_setup io_submit ipc listen mq_getsetattr mq_notify mq_open mq_timedreceive
mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd process_madvise
recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send sendmmsg
sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketcall socketpair
"""
_SYSTEM = "getrandom sysinfo syslog uname ptrace process_vm_readv process_vm_writev"
_COMMON = (_FILES, _MEMORY, _PROCESSES, _TIME, _TALKING, _SYSTEM)
_NOT_COMMON = {"get_mempolicy_home_node", "uretprobe", "syslog"}

# A machine runs its own programs and those of its older sisters; a filter without these would not see them.
ARCHITECTURES = {
    "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
    "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
}

BY_CAPABILITY: dict[str, str] = {
    "CAP_DAC_READ_SEARCH": "open_by_handle_at",
    "CAP_SYS_ADMIN": (
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie mount mount_setattr"
        " move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount"
        " umount2 unshare"
    ),
    "CAP_SYS_BOOT": "reboot",
    "CAP_SYS_CHROOT": "chroot",
    "CAP_SYS_MODULE": "delete_module init_module finit_module",
    "CAP_SYS_PACCT": "acct",
    "CAP_SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "CAP_SYS_RAWIO": "iopl ioperm",
    "CAP_SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "CAP_SYS_TTY_CONFIG": "vhangup",
    "CAP_SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "CAP_SYSLOG": "syslog",
    "CAP_BPF": "bpf",
    "CAP_PERFMON": "perf_event_open",
}


def profile(capabilities: Iterable[str], machine: str = "x86_64") -> dict[str, Any]:
    """The `linux.seccomp` of an OCI bundle for processes with these capabilities, on a *machine* of uname(2)."""
    have = set(capabilities)
    names = {name for block in _COMMON for name in block.split()} - _NOT_COMMON
    for capability in have & set(BY_CAPABILITY):
        names |= set(BY_CAPABILITY[capability].split())
    rules: list[Rule] = [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}]
    rules += [_compare("personality", 0, value, "SCMP_CMP_EQ") for value in PERSONALITIES]
    rules.append(_compare("socket", 0, AF_VSOCK, "SCMP_CMP_NE"))
    if "CAP_SYS_ADMIN" not in have:
        rules.append(_compare("clone", 0, NAMESPACE_FLAGS, "SCMP_CMP_MASKED_EQ", 0))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": ARCHITECTURES.get(machine, []),
        "syscalls": rules,
    }


def _compare(name: str, index: int, value: int, op: str, other: int | None = None) -> Rule:
    arg: dict[str, Any] = {"index": index, "value": value, "op": op}
    if other is not None:
        arg["valueTwo"] = other
    return {"names": [name], "action": "SCMP_ACT_ALLOW", "args": [arg]}
