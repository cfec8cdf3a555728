"""The demonstration of several hosts, a function a scene.  Each leaves behind what the later ones build on."""

from demo.hosts import NAMES, Hosts, address
from demo.story import FETCH, LINKS, PING, SERVE

_NOT_A_TOKEN = f"BSCTKN-1-{'0' * 64}-{'0' * 32}"


def tell(hosts: Hosts) -> None:
    """All scenes."""
    hosts.terminal.note(
        "Each host of this demo is a network namespace with a daemon of its own; lan0 is its cable."
    )
    for act in SCENES:
        act(hosts)


def found(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("1. Three hosts become a cluster")
    made = hosts.on("one", f"bascule cluster init --embedded --name one --address {address('one')}")
    say.claim(
        "one command founds a cluster, with a store of its own", made.well and "--token BSCTKN-1-" in made.text
    )
    line = next((line.strip() for line in made.text.splitlines() if "cluster join" in line), "false")
    tried = hosts.on(
        "two", f"bascule cluster join --token {_NOT_A_TOKEN} --address {address('two')} {address('one')}"
    )
    say.claim("who has not its token is not let in", not tried.well and "another cluster" in tried.text)
    joined = [hosts.on(name, f"{line.replace('ADDRESS', address(name))} --name {name}") for name in NAMES[1:]]
    say.claim("the line that it printed adds each other host", all(done.well for done in joined))
    stores = [f"https://{address(name)}:2379" for name in NAMES]
    say.claim(
        "each of the three has a member of the store, and all know that",
        all(hosts.watch(name, "bascule cluster status", *stores, "answers") for name in NAMES),
    )
    listed = hosts.on("three", "bascule cluster ls --format '{{.Name}} {{.Address}} {{.State}}'")
    wanted = [f"{name} {address(name)} ready" for name in sorted(NAMES)]
    say.claim("they see each other", listed.text.splitlines() == wanted)
    peer = hosts.on("three", f"curl -sk --max-time 5 https://{address('one')}:2379/version")
    say.claim(
        "who has no certificate of the cluster is not served by the store",
        peer.code not in (0, 7, 28) and not peer.text,
    )


def by_name(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("2. One network on all of them")
    hosts.on("one", "bascule network create --driver overlay --attachable --subnet 10.70.0.0/24 --ipv6 app")
    there = [hosts.watch(name, "bascule network ls --filter driver=overlay", "app") for name in NAMES]
    say.claim("a network that is made on one host is on all", all(there))
    links = hosts.on("three", "ip -o link | grep -c vx-")
    say.claim("a host without a container on it has nothing of it in its kernel", links.text == "0")
    web = hosts.on("one", f"bascule run -d --name web --hostname web --network app host sh -c '{SERVE}'")
    for name, box in (("two", "db"), ("three", "box")):
        hosts.on(name, f"bascule run -d --name {box} --network app host sleep 1000000")
    pairs = (("one", "web", "db"), ("two", "db", "box"), ("three", "box", "web"))
    reached = [hosts.watch(name, f"bascule exec {own} {PING} {other}", "1 received") for name, own, other in pairs]
    reached.append(hosts.watch("two", f"bascule exec db {PING} -6 web", "1 received"))
    say.claim("containers on different hosts reach each other by name, in IPv4 and IPv6", web.well and all(reached))
    page = hosts.on("three", f"bascule exec box {FETCH} http://web/")
    say.claim("and fetch pages from each other", page.text == "hello from web")
    whole = hosts.on("two", f"bascule exec db {PING} -4 -M do -s 1422 web")
    say.claim("packets of the network's MTU, 1450 bytes, get through whole", whole.well)


def apart(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("3. Another network is another world, on whatever host")
    hosts.on("two", "bascule network create --driver overlay --attachable --subnet 10.71.0.0/24 other")
    hosts.watch("three", "bascule network ls --filter driver=overlay", "other")
    for name, box in (("one", "near"), ("three", "far")):
        hosts.on(name, f"bascule run -d --name {box} --network other host sleep 1000000")
    say.claim(
        "another network has containers on two hosts",
        hosts.watch("one", f"bascule exec near {PING} far", "1 received"),
    )
    inspect = "bascule inspect -f '{{.NetworkSettings.Networks.app.IPAddress}}' web"
    web = hosts.on("one", inspect).text
    named = [hosts.on("three", f"bascule exec far {PING} web"), hosts.on("one", f"bascule exec near {PING} web")]
    say.claim("those find no name of the first one", all(said.unanswered for said in named))
    numbered = [
        hosts.on("three", f"bascule exec far {PING} {web}"),
        hosts.on("one", f"bascule exec near {PING} {web}"),
    ]
    say.claim("and do not reach its addresses", bool(web) and all(said.unanswered for said in numbered))


def killed(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("4. A daemon is killed")
    hosts.on("two", f"kill -9 $(cat {hosts.sides['two'].place}/pid)")
    still = hosts.on("one", "bascule exec web ping -q -i 0.01 -c 100 db")
    say.claim(
        "a killed daemon's containers are reached as if nothing were",
        "100 packets transmitted, 100 received" in still.text,
    )
    made = hosts.on("three", "bascule network create --driver overlay --attachable --subnet 10.72.0.0/24 more")
    say.claim("its etcd goes on, and so does everybody else", made.well)
    hosts.start("two")
    back = hosts.watch("two", f"bascule exec db {PING} web", "1 received")
    knows = hosts.watch("two", "bascule network ls --filter driver=overlay", "more")
    say.claim("the next daemon finds them again, and hears what it missed", back and knows)


def undecided(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("5. The store cannot decide")
    say.note("Two of the three etcds are frozen: the third alone decides nothing.")
    for name in NAMES[1:]:
        hosts.on(name, f"kill -STOP {hosts.etcd(name)}")
    more = hosts.on("one", "bascule run -d --name more --network app host sleep 1000000")
    here = hosts.on("one", f"bascule exec more {PING} web")
    say.claim(
        "without a quorum, a host starts one more container on a network that it is on", more.well and here.well
    )
    there = hosts.on("one", f"bascule exec web {PING} db")
    say.claim("and who was there goes on talking", there.well)
    made = hosts.on("one", "bascule network create --driver overlay --subnet 10.74.0.0/24 undecided")
    say.claim("what all have to agree on is refused", not made.well and "cluster store" in made.text)
    for name in NAMES[1:]:
        hosts.on(name, f"kill -CONT {hosts.etcd(name)}")
    heard = hosts.watch("three", f"bascule exec box {PING} more", "1 received")
    say.claim("when it can again, the others hear of the container", heard)


def death(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("6. A host dies")
    say.note("Somebody pulls the plug of three: its containers, its daemon and its etcd are gone.")
    hosts.power_off("three")
    stream = hosts.on("one", "bascule exec web ping -q -i 0.1 -c 50 db")
    say.claim(
        "when a host dies, no packet is lost between the living",
        "50 packets transmitted, 50 received" in stream.text,
    )
    down = hosts.watch("one", "bascule cluster ls --format '{{.Name}} {{.State}}'", "three down", "two ready")
    say.claim("they see that it is gone", down)
    gone = hosts.watch(
        "one", "bascule network inspect -f '{{range .Peers}}{{.Name}} {{end}}' app", "two", without="three"
    )
    lost = hosts.on("two", f"bascule exec db {PING} box")
    say.claim("and what it had is taken out: its names are nobody's", gone and lost.unanswered)
    more = hosts.on("two", "bascule network create --driver overlay --attachable --subnet 10.73.0.0/24 meanwhile")
    run = hosts.on("one", "bascule run -d --name late --network meanwhile host sleep 1000000")
    say.claim("life goes on: two of three decide", more.well and run.well)


def again(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("7. And comes back")
    say.note("The plug is in again: three boots, with what is on its disk.")
    hosts.power_on("three")
    ready = hosts.watch("one", "bascule cluster ls --format '{{.Name}} {{.State}}'", "three ready")
    say.claim("the host is back without anybody's help, its member of the store with it", ready)
    know = hosts.watch("three", "bascule network ls --filter driver=overlay", "meanwhile")
    say.claim("it knows what was made meanwhile", know)
    hosts.on("three", "bascule start box far")
    reached = [
        hosts.watch("two", f"bascule exec db {PING} box", "1 received"),
        hosts.watch("three", f"bascule exec box {PING} web", "1 received"),
        hosts.watch("one", f"bascule exec near {PING} far", "1 received"),
    ]
    say.claim("its containers are found and reached as before", all(reached))


def verify(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("8. Nothing stale, nothing missing")
    say.note("verify compares the store, what each host knows, and what is in its kernel.")
    line = 'found=$(bascule cluster verify); echo "$? [$found]"'
    clean = [hosts.watch(name, line, "0 []") for name in NAMES]
    say.claim("`cluster verify` has nothing to say on any host", all(clean))


def leave(hosts: Hosts) -> None:
    say = hosts.terminal
    say.title("9. And all of it away again")
    for name, boxes in (("one", "web near late more"), ("two", "db"), ("three", "box far")):
        hosts.on(name, f"bascule rm -f {boxes}")
    removed = hosts.on("one", "bascule network rm app other more meanwhile")
    say.claim("networks are removed from all hosts at once", removed.well)
    left = [hosts.on(name, "bascule cluster leave") for name in reversed(NAMES)]
    say.claim("each host leaves, and the last one takes the store along", all(said.well for said in left))
    kept = [hosts.on(name, f"ss -Hltn; ls -A {hosts.sides[name].place}/data | grep -x cluster") for name in NAMES]
    say.claim("no etcd listens any more, and nothing of it is on a disk", not any(said.text for said in kept))
    for name in NAMES:
        hosts.on(name, "bascule network rm bascule_gwbridge")
    links = [hosts.watch(name, LINKS, "bascule0", without="-") for name in NAMES]
    say.claim("of links, each host has its default bridge and its cable", all(links))


SCENES = (found, by_name, apart, killed, undecided, death, again, verify, leave)
