# Process 1 of a guest, on its root: what a distribution's start would have made, then the job, then no power.
b=/run/busybox
. /run/vm/vars
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
$b mkdir -p /dev/pts /dev/shm /dev/net /run/tmp "/lib/modules/$RELEASE"
$b mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
$b mount -t tmpfs shm /dev/shm
$b mount -t cgroup2 cgroup2 /sys/fs/cgroup
$b mount -t bpf bpf /sys/fs/bpf
$b mount -o bind "$MODULES" "/lib/modules/$RELEASE"
$b ln -s /proc/self/fd /dev/fd
$b ln -s fd/0 /dev/stdin
$b ln -s fd/1 /dev/stdout
$b ln -s fd/2 /dev/stderr
# Opened, these load their modules.
$b mknod /dev/net/tun c 10 200
$b mknod /dev/fuse c 10 229
$b hostname "h$NUMBER"
$b ip link set lo up
if [ "$HOSTS" -gt 1 ]; then
    # A shell for the other guests, reached over a segment of its own: a job may do to eth0 what it likes.
    $b ip link set eth1 name control
    $b ip addr add "$CONTROL.$NUMBER/24" dev control
    $b ip link set control up
    $b ip addr add "10.99.0.$NUMBER/24" dev eth0
    ip addr add "fd99::$NUMBER/64" dev eth0 nodad
    $b ip link set eth0 up
    $b nc -ll -p "$SHELL_PORT" -e /bin/sh </dev/null >/dev/null 2>&1 &
fi
: >/run/vm/up
if [ -s /run/vm/job ]; then
    i=1
    while [ "$i" -le "$HOSTS" ]; do
        until [ "$i" -eq "$NUMBER" ] || echo exit | $b nc -w 1 "$CONTROL.$i" "$SHELL_PORT" >/dev/null 2>&1; do
            $b usleep 50000
        done
        i=$((i + 1))
    done
    # The only port of the only virtio-serial device; on the console are the kernel's words.
    $b setsid /bin/sh /run/vm/job </dev/null >/dev/vport0p1 2>&1
    echo "$?" >/run/vm/status
    $b poweroff -f
fi
# The first guest's end is everybody's.
while :; do $b sleep 3600; done
