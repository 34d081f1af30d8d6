#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Unpacks a portable tarball in a new Debian tree that has nothing else, and lets its programs store and read back there.
# The tree needs the network, and root or a kernel on which anybody may have namespaces.
# Usage: try_portable.sh TARBALL [SUITE]      SUITE: one with glibc 2.34 or newer; bookworm by default
set -eu

say() { printf 'portable: %s\n' "$*"; }

inside() {
  tar -xzf /tmp/portable.tar.gz -C /tmp
  PATH=$(echo /tmp/hyperpod-kv-*/bin):$PATH
  hyperpod-emulator --listen 127.0.0.1:0 --admin 127.0.0.1:0 --capacity 64MiB --log-level warn \
    --ready-file /tmp/ready >/tmp/line &
  emulator=$!
  trap 'kill "$emulator" 2>/dev/null || true' EXIT
  for _ in $(seq 200); do [ ! -s /tmp/ready ] || break; sleep 0.05; done
  # By name, so that the name service of this system's glibc is used.
  url=$(sed 's/.*"url":"\([^"]*\)".*/\1/; s/127.0.0.1/localhost/' /tmp/ready)
  kv="hyperpod-kv --url $url --shm-name ai_toolkit_cache"
  $kv put key /usr/bin/apt
  $kv get key - | cmp - /usr/bin/apt
  hyperpod-conformance daemon --url "$url" --shm-name ai_toolkit_cache --only PUT-01,LEASE-01 >/tmp/report ||
    { cat /tmp/report; return 1; }
  kill "$emulator"
  wait "$emulator"
  say "works on $(. /etc/os-release && echo "$PRETTY_NAME")"
}

if [ "$1" = inside ]; then
  inside
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$1" "$work/portable.tar.gz"
mmdebstrap --quiet --variant=apt --format=null \
  --customize-hook="copy-in $work/portable.tar.gz $0 /tmp" \
  --customize-hook='mount -t tmpfs -o size=256m,mode=1777 tmpfs "$1/dev/shm"
    status=0; chroot "$1" sh /tmp/try_portable.sh inside || status=$?
    umount --lazy "$1/dev/shm"; exit $status' "${2:-bookworm}" /dev/null
