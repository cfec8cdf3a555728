"""A guest in QEMU's words: what there is of it follows from a few values, and nothing here touches anything."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

CONTROL = "169.254.77"
"""The network of the control segment; a guest's address there ends in its number."""
SHELL_PORT = 4077
"""Where a guest's shell listens there."""
# Without these a guest decrypts ESP at once and never later: of a packet that is decrypted later, Debian's 6.1.192
# forgets a reference to the XFRM link once too often, and then never lets that link go (docs/cluster.md).
LATER = ",-aes,-pclmulqdq"
ACCELERATORS = {"kvm": ("kvm", f"host{LATER}"), "tcg": ("tcg,thread=multi", f"max{LATER}")}
# A guest lives for minutes, trusts whoever started it, and is emulated: nothing that hardens it, names its links or
# waits for devices that it does not have.
TUNING = (
    *("quiet", "panic=-1", "mitigations=off", "nokaslr", "no5lvl", "init_on_alloc=0", "audit=0", "apparmor=0"),
    *("random.trust_cpu=on", "cryptomgr.notests", "raid=noautodetect", "8250.nr_uarts=1", "i8042.noaux"),
    *("i8042.nokbd", "rcupdate.rcu_expedited=1", "net.ifnames=0"),
)


@dataclass(frozen=True, slots=True)
class Guest:
    """One of *hosts* guests, the *number*-th from 1; *place* is the run's directory, with one for each of them."""

    number: int
    hosts: int
    place: str
    image: str
    accelerator: str = "tcg"
    memory: int = 1024

    @property
    def directory(self) -> str:
        """The guest's own, which it sees as /run/vm."""
        return f"{self.place}/h{self.number}"

    def argv(self) -> list[str]:
        """QEMU's command line.  Its standard output is that of the job, its standard error its own complaints."""
        accelerator, cpu = ACCELERATORS[self.accelerator]
        return [
            *f"qemu-system-x86_64 -name h{self.number} -machine q35 -accel {accelerator} -cpu {cpu}".split(),
            # A second processor, emulated, costs more in waiting for each other than it gives.
            *f"-m {self.memory} -smp 1 -nodefaults -no-user-config -display none -no-reboot".split(),
            *("-kernel", self.image, "-initrd", f"{self.place}/initramfs"),
            *("-append", " ".join(("console=ttyS0", *TUNING))),
            *("-chardev", f"file,id=console,path={self.directory}.console", "-serial", "chardev:console"),
            *("-device", "virtio-serial-pci", "-chardev", "stdio,id=job,signal=off"),
            *("-device", "virtserialport,chardev=job,nr=1"),
            *self._share("root", "/", "on"),
            *self._share("job", self.directory, "off"),
            *(word for segment in range(2) if self.hosts > 1 for word in self._cards(segment)),
        ]

    @staticmethod
    def _share(name: str, path: str, readonly: str) -> Sequence[str]:
        held = f"local,id={name},path={path},security_model=none,multidevs=remap,readonly={readonly}"
        return ("-fsdev", held, "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}")

    def _cards(self, segment: int) -> Iterator[str]:
        """The guest's card on *segment*: a star, with a hub inside of the first guest's QEMU."""
        if self.number == 1:
            yield from ("-netdev", f"hubport,id=card{segment},hubid={segment}")
            for other in range(2, self.hosts + 1):
                cable = f"cable{segment}-{other}"
                yield from ("-netdev", self._cable(cable, f"{segment}-1-{other}", f"{segment}-{other}-1"))
                yield from ("-netdev", f"hubport,id=port{segment}-{other},hubid={segment},netdev={cable}")
        else:
            ends = f"{segment}-{self.number}-1", f"{segment}-1-{self.number}"
            yield from ("-netdev", self._cable(f"card{segment}", *ends))
        mac = f"52:54:00:{segment:02x}:00:{self.number:02x}"
        yield from ("-device", f"virtio-net-pci,netdev=card{segment},mac={mac}")

    def _cable(self, ident: str, here: str, there: str) -> str:
        ends = (("local", here), ("remote", there))
        return f"dgram,id={ident}," + ",".join(
            f"{end}.type=unix,{end}.path={self.place}/{name}" for end, name in ends
        )

    def variables(self, release: str, modules: str) -> str:
        """What guest.sh is told."""
        known = {
            "NUMBER": self.number,
            "HOSTS": self.hosts,
            "RELEASE": release,
            "MODULES": modules,
            "CONTROL": CONTROL,
            "SHELL_PORT": SHELL_PORT,
        }
        return "".join(f"{name}={shlex.quote(str(value))}\n" for name, value in known.items())


def job(command: Sequence[str], environment: Mapping[str, str], at: str) -> str:
    """The script that runs *command* in the directory *at*, as its last act."""
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    return f"{exports}cd {shlex.quote(at)} || exit 125\nexec {shlex.join(command)}\n"
