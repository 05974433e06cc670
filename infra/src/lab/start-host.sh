#!/bin/sh
# Turns a fresh mount and pid namespace into a lab host, then becomes its first process.
#
# Runs as pid 1 of the new pid namespace, already inside the host's network namespace:
#   nsenter --net=NETNS unshare --mount --pid --uts --fork start-host.sh ROOTFS HOST_DIR CHECKOUT NAME COMMAND...
#
# What must stay true:
# - nothing mounted here is seen outside: the namespace is private before the first mount, so the end of the
#   last process of the host unmounts everything;
# - the root is changed by pivot_root: with a plain chroot the engine cannot unpack images;
# - the engine's data root is a plain folder of the machine's disk, never the overlay;
# - HOST_DIR/shared and CHECKOUT lie at the same path inside and outside, so sockets and files have one name.
set -eu

rootfs=$1 host_dir=$2 checkout=$3 name=$4
shift 4
root="$host_dir/root"

# /proc is still the machine's, so this is the pid that the machine sees.
read -r machine_pid _ </proc/self/stat
printf '%s\n' "$machine_pid" >"$host_dir/init.pid"

printf '%s\n' "$name" >/proc/sys/kernel/hostname
# As on a fresh machine: who turns forwarding on, the agent or an engine, then sets the FORWARD policy to DROP.
printf '0\n' >/proc/sys/net/ipv4/ip_forward

mount --make-rprivate /
mount -t overlay "berthlab-$name" -o "lowerdir=$rootfs,upperdir=$host_dir/upper,workdir=$host_dir/work" "$root"

mount -t proc proc "$root/proc" -o nosuid,nodev,noexec
# An own sysfs shows the host's own network interfaces; the cgroup tree is the machine's.
mount -t sysfs sysfs "$root/sys" -o nosuid,nodev,noexec
mount --rbind /sys/fs/cgroup "$root/sys/fs/cgroup"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run" -o nosuid,nodev,mode=755
mount -t tmpfs tmpfs "$root/tmp" -o nosuid,nodev,mode=1777

mkdir -p "$root/var/lib/docker" "$root$host_dir/shared" "$root$checkout" "$root/.machine"
mount --bind "$host_dir/docker" "$root/var/lib/docker"
mkdir -p "$root/etc/docker"
mount --bind "$host_dir/shared/etc-docker" "$root/etc/docker"
mount --bind "$checkout" "$root$checkout"
mount -o remount,bind,ro "$root$checkout"
mount --bind "$host_dir/shared" "$root$host_dir/shared"

printf '%s\n' "$name" >"$root/etc/hostname"
printf '127.0.0.1 localhost %s\n' "$name" >"$root/etc/hosts"
: >"$root/etc/resolv.conf"

cd "$root"
pivot_root . .machine
cd /
umount -l /.machine

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
# tini reaps what the host's processes leave behind, and ends the host when COMMAND ends.
exec /usr/bin/tini-static -g -- "$@"
