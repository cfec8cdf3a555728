"""What a process finds itself in: files, devices, rights and names, as in a container of Docker's."""

import pytest
from tests.clients.conftest import Ground

DEVICES = "console full mqueue null ptmx pts random shm tty urandom zero"
# CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE
# SETFCAP, by their bits (include/uapi/linux/capability.h).
DEFAULT_CAPABILITIES = "00000000a80425fb"
MASKED = "/proc/kcore /proc/keys /proc/timer_list"
READ_ONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger"


def inside(ground: Ground, script: str, *flags: str) -> str:
    """What a shell of the host image prints of *script*."""
    told = ground.docker("run", "--rm", *flags, "host", "sh", "-c", script)
    assert (told.status, told.err) == (0, "")
    return told.out.rstrip("\n")


def status(ground: Ground, *flags: str) -> dict[str, str]:
    """/proc/self/status of a container's process."""
    lines = inside(ground, "cat /proc/self/status", *flags).splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def test_the_rights_are_dockers(ground: Ground) -> None:
    found = status(ground)
    keys = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp", "Uid")
    assert [found[key].split()[0] for key in keys] == [
        "0000000000000000",
        *[DEFAULT_CAPABILITIES] * 3,
        "0000000000000000",
        "0",
        "2",
        "0",
    ]


@pytest.mark.parametrize(
    ("flags", "bounding"),
    [
        (("--cap-drop", "ALL"), "0000000000000000"),
        (("--cap-drop", "ALL", "--cap-add", "NET_ADMIN"), "0000000000001000"),
        (("--cap-add", "CAP_NET_ADMIN"), "00000000a80435fb"),
        (("--cap-drop", "net_raw"), "00000000a80405fb"),
    ],
)
def test_capabilities_are_added_and_dropped(ground: Ground, flags: tuple[str, ...], bounding: str) -> None:
    assert status(ground, *flags)["CapBnd"] == bounding


def test_a_capability_that_there_is_not_is_refused(ground: Ground) -> None:
    told = ground.docker("run", "--rm", "--cap-add", "NET_FLY", "host", "true")
    assert (told.status, 'invalid CapAdd: unknown capability: "CAP_NET_FLY"' in told.err) == (125, True), told


def test_a_user_who_is_not_root_starts_without_rights_but_may_gain_them(ground: Ground) -> None:
    found = status(ground, "--user", "1234:5678")
    assert (found["Uid"].split()[0], found["Gid"].split()[0]) == ("1234", "5678")
    assert (found["CapEff"], found["CapBnd"]) == ("0000000000000000", DEFAULT_CAPABILITIES)
    assert status(ground, "--security-opt", "no-new-privileges")["NoNewPrivs"] == "1"


def test_what_must_not_be_read_or_written_is_not(ground: Ground) -> None:
    script = f"""
        for f in {MASKED}; do [ -e $f ] && [ "$(head -c1 $f | wc -c)" != 0 ] && echo "$f is read"; done
        for d in {READ_ONLY}; do [ ! -e $d ] || findmnt -no OPTIONS $d | grep -q ^ro || echo "$d is writable"; done
        ls -A /sys/firmware 2>/dev/null
        (echo 1 > /proc/sys/net/ipv4/ip_forward) 2>/dev/null && echo "a sysctl is written"
        mkdir /sys/fs/cgroup/cpu/x 2>/dev/null && echo "a control group is made"
        mount -t tmpfs x /mnt 2>/dev/null && echo "something is mounted"
        unshare -U true 2>/dev/null && echo "a user namespace is made"
        true
    """
    assert inside(ground, script) == ""


def test_privileged_undoes_it(ground: Ground) -> None:
    script = """
        grep -c '^Seccomp:.0' /proc/self/status
        findmnt -no OPTIONS /sys | cut -c1-2
        mount -t tmpfs x /mnt && echo mounted
        findmnt -no TARGET /proc/sys || echo no mount over /proc/sys
    """
    assert inside(ground, script, "--privileged") == "1\nrw\nmounted\nno mount over /proc/sys"


def test_dev_has_what_every_container_has_and_nothing_of_the_hosts(ground: Ground) -> None:
    assert inside(ground, "ls /dev | grep -v -e core -e ^fd -e ^std | xargs", "-t").split() == DEVICES.split()
    assert inside(ground, "for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done").split() == [
        "/proc/self/fd",
        "/proc/self/fd/0",
        "/proc/self/fd/1",
        "/proc/self/fd/2",
        "pts/ptmx",
    ]
    assert inside(ground, "stat -c %t:%T:%a /dev/null /dev/zero /dev/full /dev/random /dev/urandom | xargs") == (
        "1:3:666 1:5:666 1:7:666 1:8:666 1:9:666"
    )
    assert inside(ground, "echo lost > /dev/null; head -c3 /dev/zero | od -An -tx1") == " 00 00 00"


def test_mounts_are_dockers(ground: Ground) -> None:
    script = "for m in /proc /dev /dev/pts /sys /dev/mqueue /dev/shm; do findmnt -no FSTYPE $m; done | xargs"
    assert inside(ground, script) == "proc tmpfs devpts sysfs mqueue tmpfs"
    assert inside(ground, "findmnt -no OPTIONS /sys | cut -c1-2") == "ro"
    assert inside(ground, "df -k --output=size /dev/shm | tail -1").strip() == "65536"
    assert inside(ground, "df -k --output=size /dev/shm | tail -1", "--shm-size", "128m").strip() == "131072"


def test_etc_files_are_dockers(ground: Ground) -> None:
    ground.docker("network", "create", "--subnet", "10.81.0.0/24", "n1")
    flags = ("--hostname", "h1", "--network", "n1", "--ip", "10.81.0.9")
    assert inside(ground, "cat /etc/hostname; hostname; cat /etc/hosts", *flags).splitlines() == [
        "h1",
        "h1",
        "127.0.0.1\tlocalhost",
        "::1\tlocalhost ip6-localhost ip6-loopback",
        "fe00::\tip6-localnet",
        "ff00::\tip6-mcastprefix",
        "ff02::1\tip6-allnodes",
        "ff02::2\tip6-allrouters",
        "10.81.0.9\th1",
    ]
    assert "nameserver 127.0.0.11" in inside(ground, "cat /etc/resolv.conf", *flags)


def test_hosts_and_resolv_conf_say_what_was_asked_for(ground: Ground) -> None:
    lines = inside(
        ground,
        "cat /etc/hosts /etc/resolv.conf",
        *("--add-host", "db:10.1.2.3", "--add-host", "six:fd00::1", "--add-host", "gw:host-gateway"),
        *("--dns", "192.0.2.53", "--dns-search", "example.org", "--dns-option", "ndots:3"),
    ).splitlines()
    gateway = ground.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge").out.strip()
    for wanted in ("10.1.2.3\tdb", "fd00::1\tsix", f"{gateway}\tgw"):
        assert wanted in lines, lines
    # On the default bridge a container asks the servers itself.
    assert [line for line in lines if line.split()[0] in ("nameserver", "search", "options")] == [
        "nameserver 192.0.2.53",
        "search example.org",
        "options ndots:3",
    ]


def test_names_environment_place_and_labels(ground: Ground) -> None:
    script = 'pwd; echo "$A-$B-$HOSTNAME-$HOME"; echo $PATH'
    flags = ("-e", "A=1", "-e", "B=two words", "--hostname", "h2", "-w", "/srv", "--label", "k=v", "--name", "c1")
    assert inside(ground, script, *flags).splitlines() == [
        "/srv",
        "1-two words-h2-/root",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ]
    ground.docker("create", "--name", "c1", "--label", "k=v", "-l", "empty", "host", "true")
    assert ground.docker("inspect", "-f", "{{json .Config.Labels}}", "c1").out == '{"empty":"","k":"v"}\n'
    assert ground.docker("ps", "-aq", "--filter", "label=k=other").out == ""


def test_an_entrypoint_takes_the_place_of_the_images(ground: Ground) -> None:
    told = ground.docker("run", "--rm", "--entrypoint", "echo", "host", "one", "two")
    assert str(told) == "one two"


def test_a_read_only_root_is(ground: Ground) -> None:
    script = "(echo x > /srv/f) 2>/dev/null || echo refused; echo x > /dev/shm/f && echo shm"
    assert inside(ground, script, "--read-only") == "refused\nshm"
    assert inside(ground, "echo x > /scratch/f && cat /scratch/f", "--read-only", "--tmpfs", "/scratch") == "x"


def test_sysctls_of_its_own_namespaces_are_set_and_no_others(ground: Ground) -> None:
    assert inside(ground, "cat /proc/sys/net/ipv4/ip_forward", "--sysctl", "net.ipv4.ip_forward=0") == "0"
    assert inside(ground, "cat /proc/sys/kernel/msgmax", "--sysctl", "kernel.msgmax=12345") == "12345"
    told = ground.docker("run", "--rm", "--sysctl", "kernel.panic=5", "host", "true")
    assert (told.status, "kernel.panic" in told.err) == (125, True), told
    told = ground.docker("run", "--rm", "--network", "host", "--sysctl", "net.ipv4.ip_forward=1", "host", "true")
    assert (told.status, "net.ipv4.ip_forward" in told.err) == (125, True), told


def test_binds_show_the_hosts_files_and_read_only_ones_stay(ground: Ground) -> None:
    place = ground.directory / "bound"
    place.mkdir(exist_ok=True)
    (place / "f").write_text("the host's\n")
    script = "cat /d/f; (echo x > /d/f) 2>/dev/null || echo refused"
    assert inside(ground, script, "-v", f"{place}:/d:ro") == "the host's\nrefused"
    inside(ground, "echo theirs > /d/g", "-v", f"{place}:/d")
    assert (place / "g").read_text() == "theirs\n"
    inside(ground, "true", "-v", f"{place}/made:/d")
    assert (place / "made").is_dir()
    told = ground.docker("run", "--rm", "--mount", f"type=bind,source={place}/no,target=/d", "host", "true")
    assert (told.status, "bind source path does not exist" in told.err) == (125, True), told


def test_a_container_joins_anothers_network(ground: Ground) -> None:
    ground.docker("network", "create", "n1")
    ground.docker("run", "-d", "--name", "c1", "--network", "n1", "--hostname", "h1", "host", "sleep", "600")
    address = "ip -br addr show eth0; hostname; cat /etc/hosts"
    theirs = ground.docker("exec", "c1", "sh", "-c", address).out.rstrip("\n")
    assert inside(ground, address, "--network", "container:c1") == theirs
    told = ground.docker("run", "--rm", "--network", "container:c1", "-p", "80:80", "host", "true")
    assert (told.status, "conflicting options" in told.err) == (125, True), told
    ground.docker("rm", "-f", "c1")
    told = ground.docker("run", "--rm", "--network", "container:c1", "host", "true")
    assert (told.status, "No such container: c1" in told.err) == (125, True), told


def test_none_has_loopback_alone_and_host_is_the_hosts(ground: Ground) -> None:
    assert inside(ground, "ls /sys/class/net", "--network", "none") == "lo"
    assert ground.docker("exec", "x", "true").status == 1
    links = ground.run(["ip", "netns", "exec", ground.netns, "ls", "/sys/class/net"]).out.rstrip("\n")
    assert inside(ground, "ls /sys/class/net", "--network", "host") == links


def test_what_the_host_images_containers_write_never_reaches_the_host(ground: Ground) -> None:
    mark = f"/etc/{ground.netns}"
    assert (
        inside(ground, f"echo mine > {mark}; cat {mark}; rm /etc/passwd; ls /etc/passwd 2>&1 | wc -l") == "mine\n1"
    )
    assert ground.run(["ls", mark]).status != 0
    assert ground.run(["ls", "/etc/passwd"]).status == 0
    assert inside(ground, f"ls {mark} 2>/dev/null | wc -l") == "0"


def test_the_host_image_is_there_always(ground: Ground) -> None:
    told = ground.docker("rmi", "-f", "host")
    assert (told.status, "the built-in image cannot be removed" in told.err) == (1, True), told
    assert ground.docker("image", "inspect", "-f", "{{.Created}}", "host").out[:3] == "202"


def limits(ground: Ground, *flags: str) -> tuple[int, str]:
    """What a run with limits comes to: a refusal says which controller the host lacks."""
    told = ground.docker("run", "--rm", *flags, "host", "cat", "/proc/self/cgroup")
    return told.status, told.err


@pytest.mark.parametrize("flags", [("--memory", "64m"), ("--cpus", "0.5"), ("--pids-limit", "50")])
def test_limits_hold_or_are_refused_in_words(ground: Ground, flags: tuple[str, str]) -> None:
    status, told = limits(ground, *flags)
    if status:
        assert (status, "cgroup" in told) == (125, True), told
        return
    ground.docker("run", "-d", "--name", "c1", *flags, "host", "sleep", "600")
    shown = ground.docker(
        "inspect", "-f", "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}", "c1"
    )
    assert any(n in shown.out for n in ("67108864", "500000000", "50"))
    ident = ground.docker("inspect", "-f", "{{.Id}}", "c1").out.strip()
    name, value = {
        "--memory": ("memory.limit_in_bytes memory.max", "67108864"),
        "--cpus": ("cpu.cfs_quota_us cpu.max", "50000"),
        "--pids-limit": ("pids.max pids.max", "50"),
    }[flags[0]]
    found = ground.run(
        [
            "sh",
            "-c",
            f"cd /sys/fs/cgroup; for f in {name}; do find . -path '*{ident}*' -name $f -exec cat {{}} +; done",
        ]
    )
    assert value in found.out.split(), found


def test_a_process_that_takes_too_much_memory_is_killed_and_said_so(ground: Ground) -> None:
    if limits(ground, "--memory", "32m")[0]:
        pytest.skip("this host cannot limit memory")
    ground.docker("run", "--name", "c1", "-m", "32m", "--memory-swap", "32m", "host", "tail", "/dev/zero")
    assert ground.docker("inspect", "-f", "{{.State.ExitCode}} {{.State.OOMKilled}}", "c1").out == "137 true\n"
