"""Our command line beside Docker's: the same words, the same daemon, the same output, exit status and requests."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.unit.canned import Canned, canned, framed

pytestmark = pytest.mark.skipif(
    not shutil.which("docker"), reason="there is no docker CLI (apt-get install docker.io)"
)

SRC = Path(__file__).parents[2] / "src"
ID = "f" * 64
# So long ago that no second's turn between the two changes what is said of it.
THEN = int(time.time()) - 20 * 86400 - 600


def net(name: str, letter: str, driver: str = "bridge") -> dict[str, Any]:
    return {
        "Name": name,
        "Id": letter * 64,
        "Created": "2026-11-23T22:14:11.646165284Z",
        "Scope": "local",
        "Driver": driver,
        "EnableIPv4": True,
        "EnableIPv6": False,
        "IPAM": {"Driver": "default", "Options": None, "Config": [{"Subnet": "172.18.0.0/16"}]},
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {"c1": {"Name": "web", "IPv4Address": "10.0.0.2/24"}},
        "Options": {"a.b": "c"},
        "Labels": {"x-y.a_b": "<z>"},
    }


def port(private: int, public: int = 0, ip: str = "", kind: str = "tcp") -> dict[str, Any]:
    return {"PrivatePort": private, "Type": kind} | ({"IP": ip, "PublicPort": public} if ip else {})


WEB = {
    "Id": ID,
    "Names": ["/web", "/other/db"],
    "Image": "nginx:latest",
    "ImageID": "sha256:" + "1" * 64,
    "Command": "/docker-entrypoint.sh nginx -g 'daemon off;'",
    "Created": THEN,
    "Ports": [
        port(80, 8080, "0.0.0.0"),
        port(80, 8080, "::"),
        port(443),
        port(444),
        port(90, 90, "127.0.0.1", "udp"),
        port(91, 91, "127.0.0.1", "udp"),
    ],
    "Labels": {"a": "b"},
    "State": "running",
    "Status": "Up 2 weeks",
    "NetworkSettings": {"Networks": {"n1": {}}},
    "Mounts": [{"Type": "volume", "Name": "averyveryverylongname", "Source": "/x", "Driver": "local"}],
}
DETAIL = {
    "Id": ID,
    "Name": "/web",
    "State": {"Status": "running", "Running": True, "Paused": False, "Restarting": False, "Pid": 12},
    "Config": {"Hostname": "x", "Tty": False, "OpenStdin": True, "Env": ["A=b", "C=<d>"], "Labels": {"q": "r"}},
    "HostConfig": {"NetworkMode": "n1", "AutoRemove": False},
    "NetworkSettings": {
        "Ports": {
            "80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}, {"HostIp": "::", "HostPort": "8080"}],
            "9/udp": None,
        },
        "Networks": {"b2": {"IPAddress": "10.1.0.2"}, "n1": {"IPAddress": "10.0.0.2"}},
    },
}
IMAGES = [
    {
        "Id": "sha256:" + "1" * 64,
        # One repository: Docker's client lists several in whatever order its map has.
        "RepoTags": ["reg:5000/a/nginx:latest", "reg:5000/a/nginx:v1"],
        "RepoDigests": ["reg:5000/a/nginx@sha256:" + "9" * 64],
        "Created": THEN,
        "Size": 187654321,
        "SharedSize": -1,
        "Containers": -1,
    },
    {
        "Id": "sha256:" + "2" * 64,
        "RepoTags": [],
        "RepoDigests": [],
        "Created": THEN,
        "Size": 5580,
        "SharedSize": -1,
        "Containers": -1,
    },
]
VOLUMES = {
    "Volumes": [
        {"Name": n, "Driver": "local", "Mountpoint": f"/m/{n}", "Scope": "local", "Labels": None, "Options": None}
        for n in ("v10", "v2")
    ]
}
EVENTS = [
    {
        "Type": "network",
        "Action": "create",
        "Actor": {"ID": "a" * 64, "Attributes": {"name": "n", "type": "bridge"}},
        "scope": "local",
        "time": 1763935000,
        "timeNano": 1763935000123456000,
    }
]
GONE: Any = (204, None)
ANSWERS: dict[str, Any] = {
    "GET /networks": (200, [net("bridge", "a"), net("none", "c", "null"), net("net10", "d"), net("net2", "e")]),
    "GET /networks/net2": (200, net("net2", "e")),
    "GET /networks/nope": (404, {"message": "network nope not found"}),
    "DELETE /networks/net2": GONE,
    "DELETE /networks/nope": (404, {"message": "network nope not found"}),
    "POST /networks/create": (201, {"Id": ID, "Warning": ""}),
    "POST /networks/n/connect": (200, None),
    "POST /networks/n/disconnect": (200, None),
    "POST /networks/prune": (200, {"NetworksDeleted": ["net2"]}),
    "GET /containers/json": (200, [WEB]),
    "GET /containers/web/json": (200, DETAIL),
    f"GET /containers/{ID}/json": (200, DETAIL),
    "POST /containers/create": (201, {"Id": ID, "Warnings": ["careful"]}),
    f"POST /containers/{ID}/wait": (200, {"StatusCode": 3}),
    "POST /containers/web/wait": (200, {"StatusCode": 3}),
    **{
        f"POST /containers/{name}/{verb}": GONE
        for name in ("web", ID)
        for verb in ("start", "stop", "restart", "kill", "pause", "unpause", "rename")
    },
    "DELETE /containers/web": GONE,
    "POST /containers/web/update": (200, {"Warnings": None}),
    "POST /containers/web/exec": (201, {"Id": "x" * 64}),
    f"GET /exec/{'x' * 64}/json": (200, {"ExitCode": 4, "Running": False}),
    "GET /containers/web/logs": (200, framed(1, b"out\n") + framed(2, b"err\n")),
    f"GET /containers/{ID}/logs": (200, framed(1, b"out\n") + framed(2, b"err\n")),
    "GET /containers/web/top": (200, {"Titles": ["UID", "CMD"], "Processes": [["root", "sh -c x"], ["u", "y"]]}),
    "GET /containers/web/changes": (200, [{"Path": "/etc", "Kind": 0}, {"Path": "/n", "Kind": 1}]),
    "POST /containers/prune": (200, {"ContainersDeleted": [ID], "SpaceReclaimed": 0}),
    "GET /images/json": (200, IMAGES),
    "GET /images/nginx/json": (200, {"Id": "sha256:1", "RepoTags": ["nginx:latest"]}),
    "DELETE /images/nginx": (200, [{"Untagged": "nginx:latest"}, {"Deleted": "sha256:1"}]),
    "POST /images/prune": (
        200,
        {"ImagesDeleted": [{"Untagged": "a:b"}, {"Deleted": "x"}], "SpaceReclaimed": 1234567},
    ),
    "POST /images/create": (200, b'{"status":"sha256:abc"}\n'),
    "GET /images/nginx/history": (
        200,
        [
            {
                "Id": "sha256:" + "1" * 64,
                "Created": THEN,
                "CreatedBy": "CMD " + "x" * 50,
                "Size": 1234,
                "Comment": "c",
            }
        ],
    ),
    "GET /volumes": (200, VOLUMES),
    "POST /volumes/create": (201, {"Name": "v"}),
    "DELETE /volumes/v2": GONE,
    "POST /volumes/prune": (200, {"VolumesDeleted": ["v2"], "SpaceReclaimed": 99}),
    "GET /events": (200, b"".join(json.dumps(e).encode() + b"\n" for e in EVENTS)),
}
OUTPUT = framed(1, b"hi\n") + framed(2, b"warn\n")
# What each client adds of its own accord: the terminal's size, and a value that means the same as none.
OWN = ("ConsoleSize", "MemorySwappiness")


@dataclass(frozen=True)
class Ran:
    """What a client did with a line."""

    code: int
    out: str
    err: str
    bodies: list[Any]


def clean(value: Any) -> Any:
    """*value* without what says nothing."""
    if isinstance(value, dict):
        found = {k: clean(v) for k, v in value.items() if k not in OWN}
        return {
            k: v for k, v in found.items() if v not in (None, 0, "", [], False, {}) or k.startswith("EnableIPv")
        }
    return [clean(v) for v in value] if isinstance(value, list) else value


def run(command: list[str], daemon: Canned, stdin: bytes = b"") -> Ran:
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "DOCKER_HOST": daemon.host,
        "FOO": "bar",
        "TZ": "Asia/Tokyo",
    }
    environment.pop("BASCULE_HOST", None)
    before = len(daemon.requests)
    done = subprocess.run(command, input=stdin, capture_output=True, env=environment, timeout=30, check=False)
    bodies = [clean(r.body) for r in daemon.requests[before:] if isinstance(r.body, dict)]
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode().replace("docker", "bascule"), bodies)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canned]:
    with canned(tmp_path_factory.mktemp("cli") / "s", ANSWERS, OUTPUT) as found:
        yield found


LINES = r"""
network ls
network ls -q
network ls --no-trunc -q
network ls --filter driver=bridge -f name=x -f name=y
network ls --filter foo
network ls --format json
network ls --format '{{.Name}} {{.Label "x-y.a_b"}} {{.Labels}} {{.CreatedAt}} {{.IPv6}}'
network ls --format 'table {{.Name}}\t{{.Label "x-y.a_b"}}\t{{.IPv6}}'
network ls --format 'table {{.ID | printf "%.4s"}}  {{upper .Name}}\t{{json .Scope}}'
network ls --format '{{if eq .Driver "bridge"}}b{{else}}o{{end}}{{range split .Name "e"}}[{{.}}]{{end}}'
network ls --format '{{- .Name -}}   {{/* hi */}} {{len .Name}} {{slice .Name 0 2}} {{printf "%-8s|%q" .Name .ID}}'
network ls --format '{{.Name'
network ls extra
network ls --bogus
network ls -z
network ls --format
network create
network create a b
network create n
network create --driver macvlan -o parent=eth0 --label a=b --label c --attachable --internal n
network create --subnet 10.7.0.0/24 --gateway 10.7.0.1 --ip-range 10.7.0.128/25 --aux-address r=10.7.0.9 n
network create --subnet 10.7.0.0/24 --gateway zz n
network create --ipv6 n
network create --ipv6=false --ipv4=false n
network create --ipv6=zz n
network create --gateway 10.0.0.1 n
network create --subnet 10.7.0.0/24 --gateway 10.9.0.1 n
network create --subnet 10.7.0.0/24 --ip-range 10.9.0.1/26 n
network create --subnet 10.7.0.0/24 --aux-address r=10.9.0.1 n
network create --subnet 10.7.0.0/24 --subnet 10.7.0.0/25 n
network create --config-from c --scope local --ipam-driver x --ipam-opt a=b n
network create --label =x n
network inspect net2
network inspect net2 nope
network inspect -f '{{range $k, $v := .Containers}}{{$k}}={{$v.Name}} {{end}}{{json .Options}}' net2
network inspect
network connect n
network connect n c
network connect --ip 10.0.0.5 --ip6 fd00::5 --alias a --alias b,c --link x:y n c
network connect --link-local-ip 169.254.1.1 --driver-opt k=v --gw-priority -3 n c
network connect --gw-priority x n c
network connect --driver-opt k n c
network connect --mac-address x n c
network disconnect -f n c
network rm net2
network rm -f nope
network prune -f
foo
run -d host
run --rm host true
run -i host cat
create --name x host
run -d -p 8080:80 -p 127.0.0.1::91/sctp -p [::1]:9090:90 -p 7000-7005:70 -p 8080-8082:80-82/udp host
run -d -p published=81,target=80,protocol=tcp -p 53/udp -p 5-6 host
run -d -p 80-82:8000-8001 host
run -d -p foo:80 host
run -d -p 80/foo host
run -d -p 1.2.3.999:80:80 host
run -d -p 99999:80 host
run -d --expose 80 --expose 90-92/udp -P host
run -d --expose 80:81 host
run -d --network n1 --ip 10.0.0.2 --ip6 fd00::2 --network-alias a --net-alias b --link x:y host
run -d --network n1 --link-local-ip 169.254.2.2 --mac-address 02:42:ac:11:00:02 host
run -d --network name=n1,alias=A,alias=b,ip=10.0.0.2,driver-opt=k=V,gw-priority=5 --network n2 host
run -d --network name=n1,mac-address=02:42:ac:11:00:02,link-local-ip=169.254.1.1,ip6=fd00::3 host
run -d --network '"name=n1","driver-opt=a=b,c"' host
run -d --network n1 --network n1 host
run -d --network n1 --network bridge host
run -d --network foo=bar host
run -d --network name=n1,gw-priority=x host
run -d --network name=n1,mac-address=zz host
run -d --network alias=n1 host
run -d --network name=n1,alias=a --network-alias b host
run -d --network name=n1,ip=10.0.0.1 --ip 10.0.0.2 host
run -d --network-alias b host
run -d --link a:b host
run -d --network container:web host
run -d --mac-address zz host
run -d --net none host
run -d --dns zz host
run -d --dns 1.1.1.1 --dns-search a.b --dns-opt ndots:1 --add-host a:1.2.3.4 --add-host b=::1 -h hh host
run -d --add-host foo host
run -d --add-host foo:bar host
run -d -e A=b host
run -d -e =x host
run -d --env-file /nowhere host
run -d -v /a:/b -v v:/c:ro -v /anon --tmpfs /t:size=1m --tmpfs /u host
run -d --mount type=bind,source=/a,target=/b,readonly --mount type=tmpfs,target=/t,tmpfs-size=1m host
run -d --mount foo host
run -d --mount type=bind,source=/x host
run -d --restart on-failure:3 --memory 512m --cpus 1.5 --pids-limit 100 --ulimit nofile=10:20 host
run -d --shm-size 1g --sysctl net.ipv4.ip_forward=1 --cap-add NET_ADMIN --cap-drop ALL --read-only --init host
run -d --privileged --security-opt no-new-privileges --device /dev/zero:/dev/z:rw --group-add 5 -u 1:2 host
run -d -w /x --stop-signal TERM --stop-timeout 5 --pid host --ipc host --uts host --entrypoint /bin/sh host -c ls
run -d --restart foo:x host
run -d --restart always --rm host
run -d --memory zz host
run -d --cpus zz host
run -d --ulimit zz=1 host
run -d --sysctl foo host
run -d -a stdout host
run -it host sh
run
run --foo
ps
ps -a --no-trunc
ps -q
ps -s
ps --format '{{.Names}} {{.Ports}} {{.Networks}} {{.Mounts}} {{.LocalVolumes}} {{.RunningFor}} {{.Label "a"}}'
ps --format 'table {{.ID}}\t{{.Command}}\t{{.Labels}}'
container ls -a
stop web
stop
kill -s HUP web
pause web
wait web
start web
start nope
rename web x
rename web
rm web
rm nope
update --memory 5m web
update web
exec web ls -l
exec -e A=b -u 1 -w /x --privileged web ls
exec -it web cat
exec web
logs web
port web
port web 80/tcp
port web 81/tcp
top web
diff web
inspect web
inspect -f '{{.Name}} {{range $n, $e := .NetworkSettings.Networks}}{{$n}}={{$e.IPAddress}} {{end}}' web
inspect -f '{{index .Config.Env 1}} {{join .Config.Env ","}} {{len .Config.Env}} {{.Config.Labels}}' web
inspect -f '{{(index (index .NetworkSettings.Ports "80/tcp") 0).HostPort}} {{.State.Running}}' web
images
images -q
images --digests
images --no-trunc
images --format '{{.Repository}}:{{.Tag}} {{.ID}} {{.Size}} {{.CreatedSince}}'
rmi nginx
image inspect nginx
image prune -f
history nginx
import - foo:bar
volume ls
volume ls -q
volume create --label a=b -o k=v -d local
volume rm v2
volume prune -f
container prune -f
events --until 5
events --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}' --until 5
cp a b
"""


@pytest.mark.parametrize("line", LINES.strip().splitlines())
def test_the_same_words_come_to_the_same(daemon: Canned, line: str) -> None:
    words = shlex.split(line)
    ours = run([sys.executable, "-m", "bascule", *words], daemon)
    assert ours == run(["docker", *words], daemon)
