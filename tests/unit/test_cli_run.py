"""What `run` and `create` ask for: the bodies that Docker's 28.2.2 client sends, and its refusals."""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.unit.typed import read

from bascule.cli.options import UsageError
from bascule.cli.runbody import body


def clean(value: Any) -> Any:
    """*value* without what says nothing."""
    if isinstance(value, dict):
        found = {k: clean(v) for k, v in value.items()}
        return {k: v for k, v in found.items() if v not in (None, 0, "", [], False) and v != {}}
    return [clean(v) for v in value] if isinstance(value, list) else value


def asked(line: str) -> Any:
    _, _, given = read(["run", *shlex.split(line)])
    return body(given)


def refusal(line: str) -> str:
    with pytest.raises(UsageError) as refused:
        asked(line)
    return str(refused.value)


def test_a_plain_container() -> None:
    assert clean(asked("host sleep 1")) == {
        "Image": "host",
        "Cmd": ["sleep", "1"],
        "AttachStdout": True,
        "AttachStderr": True,
        "HostConfig": {"NetworkMode": "default", "RestartPolicy": {"Name": "no"}},
    }


def test_what_follows_the_image_is_the_command() -> None:
    assert asked("-i host ls -l --name x")["Cmd"] == ["ls", "-l", "--name", "x"]


def test_the_input_is_attached_once() -> None:
    wanted = asked("-i host")
    assert [wanted[k] for k in ("AttachStdin", "OpenStdin", "StdinOnce", "Tty")] == [True, True, True, False]


@pytest.mark.parametrize(
    ("ports", "bindings"),
    [
        ("-p 8080:80", {"80/tcp": [("", "8080")]}),
        ("-p 80", {"80/tcp": [("", "")]}),
        ("-p 53/udp", {"53/udp": [("", "")]}),
        ("-p 80/TCP", {"80/tcp": [("", "")]}),
        ("-p 127.0.0.1:81:80", {"80/tcp": [("127.0.0.1", "81")]}),
        ("-p 127.0.0.1::91/sctp", {"91/sctp": [("127.0.0.1", "")]}),
        ("-p [::1]:9090:90", {"90/tcp": [("::1", "9090")]}),
        ("-p ::1:9090:90", {"90/tcp": [("::1", "9090")]}),
        ("-p 7000-7005:70", {"70/tcp": [("", "7000-7005")]}),
        ("-p 5-6", {"5/tcp": [("", "")], "6/tcp": [("", "")]}),
        (
            "-p 8080-8082:80-82/udp",
            {"80/udp": [("", "8080")], "81/udp": [("", "8081")], "82/udp": [("", "8082")]},
        ),
        ("-p published=81,target=80,protocol=tcp", {"80/tcp": [("", "81")]}),
        ("-p target=80,mode=host", {"80/tcp": [("", "")]}),
        ("-p 80:80 -p 1.2.3.4:81:80", {"80/tcp": [("", "80"), ("1.2.3.4", "81")]}),
    ],
)
def test_ports_are_published(ports: str, bindings: dict[str, list[tuple[str, str]]]) -> None:
    wanted = asked(f"{ports} host")
    found = {
        p: [(b["HostIp"], b["HostPort"]) for b in bs] for p, bs in wanted["HostConfig"]["PortBindings"].items()
    }
    assert found == bindings
    assert set(wanted["ExposedPorts"]) == set(bindings)


@pytest.mark.parametrize(
    ("ports", "message"),
    [
        ("-p 80-82:8000-8001", "invalid ranges specified for container and host Ports: 8000-8001 and 80-82"),
        ("-p foo:80", "invalid hostPort: foo"),
        ("-p 80:foo", "invalid containerPort: foo"),
        ("-p 80:99999", "invalid containerPort: 99999"),
        ("-p 9-8:80", "invalid hostPort: 9-8"),
        ("-p 80/foo", "invalid proto: foo"),
        ("-p 80:", "no port specified: 80:<empty>"),
        ("-p 1.2.3.999:80:80", "invalid IP address: 1.2.3.999"),
        ("-p published=", "invalid publish opts format (should be name=value but got 'published=')"),
        ("--expose 80:81", "invalid port format for --expose: 80:81"),
        (
            "--expose 92-90",
            "invalid range format for --expose: 92-90, error: invalid range specified for port: 92-90",
        ),
    ],
)
def test_a_wrong_port_is_refused(ports: str, message: str) -> None:
    assert refusal(f"{ports} host") == message


def test_exposed_ports() -> None:
    assert list(asked("--expose 80 --expose 90-91/udp -P host")["ExposedPorts"]) == ["80/tcp", "90/udp", "91/udp"]


def network(line: str) -> tuple[str, Any]:
    wanted = asked(f"{line} host")
    return wanted["HostConfig"]["NetworkMode"], wanted["NetworkingConfig"]["EndpointsConfig"]


def test_without_a_network_the_default_one() -> None:
    assert network("") == ("default", {"default": {}})


@pytest.mark.parametrize("mode", ["n1", "bridge", "host", "none", "container:web", "x="])
def test_a_network_by_its_name_alone(mode: str) -> None:
    assert network(f"--network {mode}") == (mode, {})
    assert network(f"--net {mode}") == (mode, {})


def test_options_of_the_first_network() -> None:
    assert network(
        "--network n1 --network n2 --ip 10.0.0.2 --ip6 fd00::2 --network-alias a --net-alias b --link x:y"
        " --link-local-ip 169.254.2.2 --mac-address 02:42:ac:11:00:02"
    ) == (
        "n1",
        {
            "n1": {
                "IPAMConfig": {
                    "IPv4Address": "10.0.0.2",
                    "IPv6Address": "fd00::2",
                    "LinkLocalIPs": ["169.254.2.2"],
                },
                "Links": ["x:y"],
                "Aliases": ["a", "b"],
                "MacAddress": "02:42:ac:11:00:02",
            },
            "n2": {},
        },
    )


def test_the_long_form_is_written_small_as_dockers_client_does() -> None:
    assert network("--network name=N1,alias=A,alias=b,ip=10.0.0.2,driver-opt=k=V,gw-priority=-5,ip6=fd00::3") == (
        "n1",
        {
            "n1": {
                "IPAMConfig": {"IPv4Address": "10.0.0.2", "IPv6Address": "fd00::3"},
                "Aliases": ["a", "b"],
                "DriverOpts": {"k": "v"},
                "GwPriority": -5,
            }
        },
    )


def test_a_comma_in_the_long_form_is_quoted() -> None:
    assert network("""--network '"name=n1","driver-opt=a=b,c"'""") == ("n1", {"n1": {"DriverOpts": {"a": "b,c"}}})


def flag(text: str, why: str, option: str = "network") -> str:
    return f'invalid argument "{text}" for "--{option}" flag: {why}'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--network n1 --network n1", 'network "n1" is specified multiple times'),
        (
            "--network n1 --network host",
            "conflicting options: cannot attach both user-defined and non-user-defined network-modes",
        ),
        ("--network a=b", flag("a=b", "invalid field key a")),
        ("--network alias=b", flag("alias=b", "network name/id is not specified")),
        ("--network name=n,x", flag("name=n,x", "invalid field x")),
        ("--network name=n,gw-priority=x", flag("name=n,gw-priority=x", "invalid gw-priority (x): invalid syntax")),
        ("--network name=n,mac-address=zz", "zz is not a valid mac address"),
        ("--mac-address zz", "zz is not a valid mac address"),
        ("--network-alias a", "network-scoped aliases are only supported for user-defined networks"),
        (
            "--network name=n,alias=a --network-alias b",
            "conflicting options: cannot specify both --network-alias and per-network alias",
        ),
        (
            "--network name=n,ip=10.0.0.1 --ip 10.0.0.2",
            "conflicting options: cannot specify both --ip and per-network IPv4 address",
        ),
        ("--dns zz", flag("zz", "IP address is not correctly formatted: zz", "dns")),
        ("--add-host zz", flag("zz", 'bad format for add-host: "zz"', "add-host")),
        ("--add-host a:zz", flag("a:zz", 'invalid IP address in add-host: "zz"', "add-host")),
        ("--link a:b:c", flag("a:b:c", "bad format for links: a:b:c", "link")),
    ],
)
def test_a_wrong_network_is_refused(line: str, message: str) -> None:
    assert refusal(f"{line} host") == message


def test_names_and_resolvers() -> None:
    wanted = asked(
        "--dns 1.1.1.1 --dns-search a.b --dns-opt ndots:1 --dns-option x -h web --domainname d"
        " --add-host a:1.2.3.4 --add-host b=::1 --add-host c:[::2] --add-host d:host-gateway host"
    )
    assert (wanted["Hostname"], wanted["Domainname"]) == ("web", "d")
    host = wanted["HostConfig"]
    assert [host[k] for k in ("Dns", "DnsSearch", "DnsOptions")] == [["1.1.1.1"], ["a.b"], ["ndots:1", "x"]]
    assert host["ExtraHosts"] == ["a:1.2.3.4", "b:::1", "c:::2", "d:host-gateway"]


def test_volumes_and_mounts() -> None:
    wanted = asked(
        "-v /a:/b -v v:/c:ro -v /anon -v ./x:/y --tmpfs /t:size=1m --tmpfs /u"
        " --mount type=bind,source=/a,target=/b,readonly --mount src=v,dst=/v,volume-nocopy"
        " --mount type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1777 host"
    )
    assert wanted["Volumes"] == {"/anon": {}}
    assert wanted["HostConfig"]["Binds"] == ["/a:/b", "v:/c:ro", f"{os.getcwd()}/x:/y"]
    assert wanted["HostConfig"]["Tmpfs"] == {"/t": "size=1m", "/u": ""}
    assert wanted["HostConfig"]["Mounts"] == [
        {"Type": "bind", "Source": "/a", "Target": "/b", "ReadOnly": True},
        {"Type": "volume", "Source": "v", "Target": "/v", "VolumeOptions": {"NoCopy": True}},
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 1 << 20, "Mode": 0o1777}},
    ]


@pytest.mark.parametrize(
    ("mount", "why"),
    [
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("type=bind,foo=x,target=/a", "unexpected key 'foo' in 'foo=x'"),
        ("type=bind,source=/x", "target is required"),
        ("type=bind,target=/x,tmpfs-size=1m", "cannot mix 'tmpfs-*' options with mount type 'bind'"),
        ("target=/x,readonly=maybe", "invalid value for readonly: maybe"),
    ],
)
def test_a_wrong_mount_is_refused(mount: str, why: str) -> None:
    assert refusal(f"--mount {mount} host") == flag(mount, why, "mount")


def test_limits_and_rights() -> None:
    host = asked(
        "--memory 512m --cpus 1.5 --pids-limit 9 --ulimit nofile=10:20 --ulimit nproc=5 --shm-size 1g"
        " --sysctl a.b=1 --cap-add NET_ADMIN --cap-add cap_sys_time --cap-drop ALL --privileged --read-only --init"
        " --device /dev/null --device /dev/zero:/dev/z:rw --device /dev/a:r --restart on-failure:3"
        " --security-opt no-new-privileges --security-opt systempaths=unconfined host"
    )["HostConfig"]
    assert [host[k] for k in ("Memory", "NanoCpus", "PidsLimit", "ShmSize")] == [512 << 20, 1500000000, 9, 1 << 30]
    assert host["Ulimits"] == [
        {"Name": "nofile", "Soft": 10, "Hard": 20},
        {"Name": "nproc", "Soft": 5, "Hard": 5},
    ]
    assert (host["CapAdd"], host["CapDrop"]) == (["CAP_NET_ADMIN", "CAP_SYS_TIME"], ["ALL"])
    assert (host["Sysctls"], host["Init"], host["Privileged"], host["ReadonlyRootfs"]) == (
        {"a.b": "1"},
        True,
        True,
        True,
    )
    assert [(d["PathInContainer"], d["CgroupPermissions"]) for d in host["Devices"]] == [
        ("/dev/null", "rwm"),
        ("/dev/z", "rw"),
        ("/dev/a", "r"),
    ]
    assert host["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 3}
    assert (host["SecurityOpt"], host["MaskedPaths"]) == (["no-new-privileges"], [])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--restart always --rm", "conflicting options: cannot specify both --restart and --rm"),
        ("--restart on-failure:x", "invalid restart policy format: maximum retry count must be an integer"),
        ("--memory zz", 'invalid argument "zz" for "-m, --memory" flag: invalid size: \'zz\''),
        ("--cpus zz", flag("zz", "failed to parse zz as a rational number", "cpus")),
        ("--ulimit zz=1", flag("zz=1", "invalid ulimit type: zz", "ulimit")),
        ("--sysctl zz", flag("zz", "sysctl 'zz' is not allowed", "sysctl")),
        ("-a zz", 'invalid argument "zz" for "-a, --attach" flag: valid streams are STDIN, STDOUT and STDERR'),
        ("-e =x", 'invalid argument "=x" for "-e, --env" flag: invalid environment variable: =x'),
        ("-l =x", 'invalid argument "=x" for "-l, --label" flag: invalid label \'=x\': empty name'),
        ("--env-file /nowhere", "open /nowhere: no such file or directory"),
        ("-v :/x", "invalid spec: :/x: empty section between colons"),
    ],
)
def test_what_contradicts_itself_is_refused(line: str, message: str) -> None:
    assert refusal(f"{line} host") == message


def test_variables_and_labels_from_files(tmp_path: Path) -> None:
    variables, labels = tmp_path / "env", tmp_path / "labels"
    variables.write_text("\ufeffA=b\n# no\n\n  PATH\nNOT_THERE_AT_ALL\nX=y z\n")
    labels.write_text("l1=v\nl2\n#x\n")
    wanted = asked(f"--env-file {variables} -e Z=1 -e PATH --label-file {labels} -l a -l b=c host")
    path = f"PATH={os.environ['PATH']}"
    assert wanted["Env"] == ["A=b", path, "X=y z", "Z=1", path]
    assert wanted["Labels"] == {"l1": "v", "l2": "", "a": "", "b": "c"}


def test_a_variable_with_a_blank_in_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("a b=c\n")
    assert "variable 'a b' contains whitespaces" in refusal(f"--env-file {tmp_path}/env host")


def test_an_empty_entrypoint_is_not_none() -> None:
    assert [asked(f"{line} host")["Entrypoint"] for line in ("", "--entrypoint ''", "--entrypoint sh")] == [
        None,
        [""],
        ["sh"],
    ]


def test_a_seccomp_profile_is_sent_and_not_its_path(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{ "defaultAction": "SCMP_ACT_ALLOW" }\n')
    host = asked(f"--security-opt seccomp={tmp_path}/p.json host")["HostConfig"]
    assert host["SecurityOpt"] == ['seccomp={"defaultAction":"SCMP_ACT_ALLOW"}']
    assert "no such file" in refusal("--security-opt seccomp=/nowhere host")
