#!/bin/busybox sh
# Process 1 of a guest, out of its initramfs: the machine's own root, read-only below a tmpfs, becomes the guest's.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
lost() {
    echo "vmrun: $1" >/dev/console
    poweroff -f
}
for module in $(cat /modules); do
    insmod "$module" || lost "no $module"
done
share=trans=virtio,version=9p2000.L,msize=512000
mkdir /lower /rw /new
# What the machine writes meanwhile need not be seen, and so may be kept in the guest's memory.
mount -t 9p -o "ro,$share,cache=loose,noxattr" root /lower || lost "no root"
mount -t tmpfs -o size=75% rw /rw
mkdir /rw/up /rw/work
# /bin, /lib and the like are links into /usr: copies of them spare a question to the host for each path.
for link in /lower/*; do
    [ ! -L "$link" ] || cp -a "$link" /rw/up/
done
mount -t overlay -o lowerdir=/lower,upperdir=/rw/up,workdir=/rw/work root /new || lost "no overlay"
mount -t tmpfs -o mode=755 run /new/run
mkdir -p /new/run/vm /new/run/netns /new/run/lock
mount -t 9p -o "$share,cache=none" job /new/run/vm || lost "no share for the job"
cp /bin/busybox /new/run/busybox
for each in proc sys dev; do
    mount --move "/$each" "/new/$each"
done
exec switch_root /new /bin/sh /run/vm/guest.sh
