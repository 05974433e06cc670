#!/bin/bash
# Turns fresh mount, pid, uts, ipc and cgroup namespaces into a machine, then becomes its first process.
# Called by fresh-machine.sh only: start-machine.sh MACHINE_DIR NAME
#
# What must stay true: the namespace is private before the first mount, so nothing is seen outside and the end of
# the last process unmounts everything; the root is changed by pivot_root, because an engine cannot unpack images
# below a plain chroot.
set -euo pipefail

dir=$1 name=$2
root="$dir/root"

# /proc is still the outer machine's, so this is the pid that it sees.
read -r outer_pid _ </proc/self/stat
printf '%s\n' "$outer_pid" >"$dir/init.pid"
printf '%s\n' "$name" >/proc/sys/kernel/hostname
# A new machine does not forward; Docker turns it on.
printf '0\n' >/proc/sys/net/ipv4/ip_forward

hierarchies=$(awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 " " $3 " " $4 }' /proc/mounts | grep '^/sys/fs/cgroup')

mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc" -o nosuid,nodev,noexec
mount -t sysfs sysfs "$root/sys" -o nosuid,nodev,noexec
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm" -o nosuid,nodev
mount -t tmpfs tmpfs "$root/run" -o nosuid,nodev,mode=755
mkdir "$root/run/lock"

# Mounted from inside the cgroup namespace, so its own groups are the roots: nothing of the outer machine is there.
if grep -q '^/sys/fs/cgroup cgroup2' <<<"$hierarchies"; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup" -o nosuid,nodev,noexec,mode=755
  while read -r at type options; do
    mkdir -p "$root$at"
    controllers=$(tr ',' '\n' <<<"$options" | grep -Ev '^(rw|ro|relatime|nosuid|nodev|noexec|nsdelegate|release_agent=.*)$' | paste -sd, || true)
    case "$controllers" in name=*) controllers="none,$controllers" ;; esac
    if [ "$type" = cgroup2 ]; then mount -t cgroup2 cgroup2 "$root$at"; else mount -t cgroup cgroup "$root$at" -o "$controllers"; fi
  done <<<"$hierarchies"
fi

printf '%s\n' "$name" >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 %s\n::1 localhost ip6-localhost\n' "$name" >"$root/etc/hosts"

mkdir -p "$root/.outer"
cd "$root"
pivot_root . .outer
cd /
umount -l /.outer
rmdir /.outer

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
# bash reaps whatever the machine's processes leave behind, which is all that a first process must do.
exec -a fresh-init bash -c 'printf fresh-init >/proc/self/comm; while :; do sleep 86400 & wait $!; done'
