#!/bin/bash
# A fresh machine on this one: Debian 12 and Node 20 with npm, nothing else, to prove what the README promises.
#
#   fresh-machine.sh once COMMAND...       makes one, runs COMMAND in its checkout, removes it
#   fresh-machine.sh up NAME               makes one that stays (or says that it is there)
#   fresh-machine.sh run NAME COMMAND...   runs COMMAND in it, in /opt/berth
#   fresh-machine.sh down NAME             removes it and everything that it made
#   fresh-machine.sh list
#
# The machine has its own root file system, processes, control groups, IPC and network with a way out; only the
# kernel is shared. In it: a clone of this repository's last commit in /opt/berth, no git, no Docker, no curl.
#
# What must stay true:
# - a machine's folder with its number and its owner is there before anything else of it is made and goes last, so
#   whatever ends this script, the next call knows what there is; machines of `once` whose owner is dead are removed;
# - everything carries the number: bfmN (interface), 10.97.N.0/30, berthfreshN (control groups), the rules' comment;
# - all of its processes are below one first process in an own pid namespace, so one SIGKILL ends them all.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
checkout=$(readlink -f "$here/../..")
base=${BERTH_FRESH_DIR:-/var/tmp/berth-fresh}
machines="$base/machines"
suite=bookworm
# What an installed Debian 12 has and minbase leaves out, as far as it matters here.
packages=ca-certificates,procps,iproute2,netbase
node_version_wanted=20

say() { printf 'fresh: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# --- what it stands on: made once, only copied ---

rootfs_path() {
  local recipe
  recipe=$(printf '%s\n' "$suite" "$packages" "$("$node" --version)" "$(cat /etc/ssl/certs/ca-certificates.crt)" 2 | sha256sum)
  printf '%s/rootfs-%s' "$base" "${recipe:0:12}"
}

# Plain names of URIs of this machine's Debian sources, in the order main, security.
debian_uris() {
  cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null \
    | grep -Ev '^ *#' | grep -Eo 'https?://[^ ]+/debian(-security)?/?( |$)' | sed 's|/* *$||' | sort -u
}

make_rootfs() {
  local target=$1 half="$1.$$.half" main security
  main=$(debian_uris | grep -E '/debian$' | head -n 1 || true)
  security=$(debian_uris | grep -E '/debian-security$' | head -n 1 || true)
  [ -n "$main" ] || die "this machine's apt sources name no Debian mirror"
  command -v mmdebstrap >/dev/null || die "mmdebstrap is missing: apt-get install mmdebstrap"
  rm -rf "$base"/rootfs-*
  local sources=("deb $main $suite main" "deb $main $suite-updates main")
  [ -z "$security" ] || sources+=("deb $security $suite-security main")
  say "making the root file system: Debian $suite with Node $node_version_wanted (once, about 30 s)"
  mmdebstrap --quiet --mode=root --variant=minbase --dpkgopt=force-unsafe-io "--include=$packages" \
    --aptopt='Acquire::Languages "none"' --dpkgopt='path-exclude=/usr/share/man/*' \
    "$suite" "$half" "${sources[@]}"
  install -m 0755 "$node" "$half/usr/bin/node"
  mkdir -p "$half/usr/lib/node_modules"
  cp -a "$npm_dir" "$half/usr/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$half/usr/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$half/usr/bin/npx"
  # Whom this machine trusts, and through which registry it gets packages, is a property of its network.
  cp -a /usr/local/share/ca-certificates/. "$half/usr/local/share/ca-certificates/" 2>/dev/null || true
  cp -L /etc/ssl/certs/ca-certificates.crt "$half/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$half/usr/etc"
  printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$(npm config get registry 2>/dev/null)" >"$half/usr/etc/npmrc"
  mv "$half" "$target"
}

find_node() {
  node=$(readlink -f "${BERTH_FRESH_NODE:-/usr/bin/node}")
  npm_dir=$(dirname "$node")/../lib/node_modules/npm
  [ -x "$node" ] || die "no Node at $node: name one of version $node_version_wanted with BERTH_FRESH_NODE"
  case "$("$node" --version)" in
    "v$node_version_wanted".*) ;;
    *) die "$node is $("$node" --version), not $node_version_wanted: name another with BERTH_FRESH_NODE" ;;
  esac
  npm_dir=$(readlink -f "$npm_dir")
  [ -d "$npm_dir" ] || die "no npm beside $node"
}

# --- one machine ---

dir_of() {
  [[ "$1" =~ ^[a-z][a-z0-9-]{0,20}$ ]] || die "a machine's name is like 'demo' or 'ci-2', not '$1'"
  printf '%s/%s' "$machines" "$1"
}
number_of() { cat "$(dir_of "$1")/number"; }
init_pid() {
  local pid
  pid=$(cat "$(dir_of "$1")/init.pid" 2>/dev/null) || return 1
  # The number may long belong to somebody else: the namespace decides.
  [ "$(readlink "/proc/$pid/ns/pid_for_children" 2>/dev/null)" = "$(cat "$(dir_of "$1")/pidns" 2>/dev/null)" ] && printf '%s' "$pid"
}

# Name, owner's pid (0: stays until `down`).
claim() {
  local dir number taken
  dir=$(dir_of "$1")
  mkdir -p "$machines"
  [ ! -e "$dir" ] || die "there is a machine '$1' already: fresh-machine.sh down $1"
  exec 8>"$base/.lock"
  flock 8
  taken=$(cat "$machines"/*/number 2>/dev/null || true)
  for number in $(seq 1 250); do
    grep -qx "$number" <<<"$taken" || [ -e "/sys/class/net/bfm$number" ] || break
  done
  mkdir "$dir.new"
  printf '%s\n' "$number" >"$dir.new/number"
  printf '%s\n' "$2" >"$dir.new/owner"
  mv "$dir.new" "$dir"
  exec 8>&-
}

# Adds (-I) or removes (-D) what lets the machine out. The comment tells whose rule it is.
rules() {
  local number=$1 how=$2 comment=(-m comment --comment "berth fresh machine $1")
  iptables -w 10 -t nat "$how" POSTROUTING -s "10.97.$number.2/32" ! -o "bfm$number" "${comment[@]}" -j MASQUERADE
  iptables -w 10 "$how" FORWARD -i "bfm$number" "${comment[@]}" -j ACCEPT
  iptables -w 10 "$how" FORWARD -o "bfm$number" "${comment[@]}" -j ACCEPT
}

# Mount point and options of each hierarchy of control groups.
hierarchies() { awk '$3 == "cgroup" || $3 == "cgroup2" { print $2 }' /proc/mounts | grep '^/sys/fs/cgroup' | sort -u; }

make_cgroups() {
  local at group
  for at in $(hierarchies); do
    group="$at/berthfresh$1"
    mkdir -p "$group"
    if [ -e "$group/cpuset.cpus" ] && [ -e "$group/cgroup.clone_children" ]; then
      cat "$at/cpuset.cpus" >"$group/cpuset.cpus"
      cat "$at/cpuset.mems" >"$group/cpuset.mems"
      echo 1 >"$group/cgroup.clone_children"
    fi
  done
}

# Moves the calling (sub)shell into the machine's control groups.
enter_cgroups() {
  local at
  for at in $(hierarchies); do echo "$BASHPID" >"$at/berthfresh$1/cgroup.procs"; done
}

remove_cgroups() {
  local at folder pid
  for at in $(hierarchies); do
    [ -d "$at/berthfresh$1" ] || continue
    while read -r folder; do
      while read -r pid; do kill -KILL "$pid" 2>/dev/null || true; done <"$folder/cgroup.procs" || true
      for _ in $(seq 50); do rmdir "$folder" 2>/dev/null && break; sleep 0.1; done
    done < <(find "$at/berthfresh$1" -depth -type d)
  done
}

start() {
  local name=$1 dir number rootfs
  dir=$(dir_of "$name") number=$(number_of "$name") rootfs=$(rootfs_path)
  [ -d "$rootfs" ] || make_rootfs "$rootfs"
  # A plain folder of the disk, not an overlay: Docker Engines inside put their own overlays on it.
  cp -a "$rootfs" "$dir/root"
  # The last commit only. Whoever fetches a release has no history either.
  git clone --quiet --no-hardlinks --depth 1 "file://$checkout" "$dir/root/opt/berth"
  cat /etc/resolv.conf >"$dir/root/etc/resolv.conf"

  ip netns add "berthfresh$number"
  ip link add "bfm$number" type veth peer name eth0 netns "berthfresh$number"
  ip address add "10.97.$number.1/30" dev "bfm$number"
  ip link set "bfm$number" up
  ip -n "berthfresh$number" link set lo up
  ip -n "berthfresh$number" address add "10.97.$number.2/30" dev eth0
  ip -n "berthfresh$number" link set eth0 up
  ip -n "berthfresh$number" route add default via "10.97.$number.1"
  [ "$(cat /proc/sys/net/ipv4/ip_forward)" = 1 ] || echo 1 >/proc/sys/net/ipv4/ip_forward
  rules "$number" -I
  make_cgroups "$number"
  (
    enter_cgroups "$number"
    exec setsid nsenter "--net=/run/netns/berthfresh$number" \
      unshare --mount --pid --uts --ipc --cgroup --fork "$here/start-machine.sh" "$dir" "$name" </dev/null >"$dir/log" 2>&1
  ) &
  disown
  for _ in $(seq 100); do
    if machine_ready "$name"; then return 0; fi
    sleep 0.1
  done
  cat "$dir/log" >&2
  die "the machine did not start; its folder is $dir"
}

machine_ready() {
  local dir pid
  dir=$(dir_of "$1")
  pid=$(cat "$dir/init.pid" 2>/dev/null) || return 1
  [ -d "/proc/$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "fresh-init" ] || return 1
  readlink "/proc/$pid/ns/pid" >"$dir/pidns"
}

run_in() {
  local name=$1 number pid
  shift
  [ $# -gt 0 ] || die "which command?"
  pid=$(init_pid "$name") || die "machine '$name' does not run"
  number=$(number_of "$name")
  local environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "TERM=${TERM:-dumb}")
  # Node's own list of authorities is not the system's; where the network has another, its users set this.
  [ -z "${NODE_EXTRA_CA_CERTS:-}" ] || environment+=(NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt)
  local pair
  for pair in ${FRESH_ENV:-}; do environment+=("$pair"); done
  (
    enter_cgroups "$number"
    # No control terminal of ours and nothing to read: as a CI's runner calls it.
    exec nsenter --target "$pid" --mount --uts --ipc --net --pid --cgroup \
      env -i "${environment[@]}" sh -c 'cd /opt/berth && exec "$@"' sh "$@" </dev/null
  )
}

remove() {
  local name=$1 dir number pid
  dir=$(dir_of "$name")
  [ -d "$dir" ] || die "there is no machine '$name'"
  number=$(number_of "$name")
  if pid=$(init_pid "$name"); then kill -KILL "$pid" 2>/dev/null || true; fi
  remove_cgroups "$number"
  for _ in 1 2 3; do rules "$number" -D 2>/dev/null || true; done
  [ ! -e "/sys/class/net/bfm$number" ] || ip link delete "bfm$number"
  [ ! -e "/run/netns/berthfresh$number" ] || ip netns delete "berthfresh$number" 2>/dev/null || rm -f "/run/netns/berthfresh$number"
  # Its mounts were in its own namespace, which has ended; one that is seen here would have its content removed.
  ! grep -q " $dir/" /proc/self/mountinfo || die "something is mounted below $dir: unmount it, then run this again"
  rm -rf "$dir"
}

remove_orphans() {
  local dir owner
  for dir in "$machines"/*/; do
    owner=$(cat "$dir/owner" 2>/dev/null) || continue
    [ "$owner" = 0 ] || [ -d "/proc/$owner" ] || { say "removing $(basename "$dir"), whose owner is dead"; remove "$(basename "$dir")"; }
  done
  for dir in "$base"/rootfs-*.half; do
    owner=${dir%.half}
    [ ! -d "$dir" ] || [ -d "/proc/${owner##*.}" ] || rm -rf "$dir"
  done
}

[ "$(id -u)" = 0 ] || die "needs root: it makes namespaces, mounts and a network"
verb=${1:-}
shift || true
case "$verb" in
  up)
    find_node
    remove_orphans
    claim "${1:?which name?}" 0
    trap 'remove "$1"' ERR INT TERM
    start "$1"
    say "machine '$1' runs in $(dir_of "$1"), at 10.97.$(number_of "$1").2"
    ;;
  run)
    run_in "$@"
    ;;
  down)
    remove "${1:?which name?}"
    ;;
  once)
    find_node
    remove_orphans
    name="once-$$"
    claim "$name" $$
    trap 'remove "$name"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    start "$name"
    say "machine '$name' is ready"
    # In the background, because bash runs no trap while it waits for a foreground command.
    run_in "$name" "$@" &
    wait $!
    ;;
  list)
    for dir in "$machines"/*/; do [ ! -d "$dir" ] || printf '%s\t10.97.%s.2\n' "$(basename "$dir")" "$(cat "$dir/number")"; done
    ;;
  *) sed -n '2,13p' "$0" | sed 's/^# \{0,1\}//'; exit 2 ;;
esac
