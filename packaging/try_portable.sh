#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks a portable tarball in a new Debian tree that has nothing else, and lets its programs store and read back there:
# one for arm64 on another machine by qemu.
# The tree needs the network, and root or a kernel on which anybody may have namespaces.
# Usage: try_portable.sh TARBALL [SUITE]      SUITE: one with glibc 2.34 or newer; bookworm by default
set -eu

say() { printf 'portable: %s\n' "$*"; }

# inside [EMULATOR OF A MACHINE]
inside() {
  tar -xzf /tmp/portable.tar.gz -C /tmp
  grep -qs localhost /etc/hosts || echo 127.0.0.1 localhost >>/etc/hosts # a new tree has no names
  run="${1:-} $(echo /tmp/hyperpod-kv-*/bin)"
  $run/hyperpod-emulator --listen 127.0.0.1:0 --admin 127.0.0.1:0 --capacity 64MiB --log-level warn \
    --ready-file /tmp/ready >/tmp/line &
  emulator=$!
  trap 'kill "$emulator" 2>/dev/null || true' EXIT
  for _ in $(seq 400); do [ ! -s /tmp/ready ] || break; sleep 0.05; done
  # By name, so that the name service of this system's glibc is used.
  url=$(sed 's/.*"url":"\([^"]*\)".*/\1/; s/127.0.0.1/localhost/' /tmp/ready)
  kv="$run/hyperpod-kv --url $url --shm-name ai_toolkit_cache"
  $kv put key /usr/bin/apt
  $kv get key - | cmp - /usr/bin/apt
  $run/hyperpod-conformance daemon --url "$url" --shm-name ai_toolkit_cache --only PUT-01,LEASE-01 >/tmp/report ||
    { cat /tmp/report; return 1; }
  # A name that only DNS could know is looked up as well, and an error in one line.
  status=0
  said=$($run/hyperpod-kv --url http://nowhere.invalid:9200 --shm-name ai_toolkit_cache exists key 2>&1) || status=$?
  case $status$said in 0* | *nowhere.invalid*) ;; *) say "a name that does not exist: status $status, $said"; return 1 ;; esac
  [ "$status" != 0 ] || { say "a name that does not exist was found"; return 1; }
  kill "$emulator"
  wait "$emulator"
  say "${1:+by $(basename "$1") }works on $(. /etc/os-release && echo "$PRETTY_NAME")"
}

if [ "$1" = inside ]; then
  shift
  inside "$@"
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$1" "$work/portable.tar.gz"
other= emulator=
case $1 in
*-linux-"$(uname -m)".tar.gz) ;;
*-linux-aarch64.tar.gz)
  other="--architectures=$(dpkg --print-architecture),arm64 --include=qemu-user-static,libc6:arm64"
  emulator=/usr/bin/qemu-aarch64-static
  ;;
*) say "$1 is neither for this machine nor for arm64"; exit 1 ;;
esac
mmdebstrap --quiet --variant=apt --format=null $other \
  --customize-hook="copy-in $work/portable.tar.gz $0 /tmp" \
  --customize-hook='mount -t tmpfs -o size=256m,mode=1777 tmpfs "$1/dev/shm"
    status=0; chroot "$1" sh /tmp/try_portable.sh inside '"$emulator"' || status=$?
    umount --lazy "$1/dev/shm"; exit $status' "${2:-bookworm}" /dev/null
