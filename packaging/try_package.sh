#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Tries the package on a Debian that has nothing else: installs it in a new tree, runs its programs there, removes it.
# The tree needs the network, and root or a kernel on which anybody may have namespaces.
# Usage: try_package.sh PACKAGE.deb [SUITE]
set -eu

say() { printf 'package: %s\n' "$*"; }

# What is done in the tree.
inside() {
  export DEBIAN_FRONTEND=noninteractive
  find / -xdev -path /proc -prune -o -name '*hyperpod*' -print | sort >/tmp/before
  apt-get -q install -y --no-install-recommends /tmp/package.deb >/tmp/apt 2>&1 || { cat /tmp/apt; return 1; }
  say "installed, with $(grep -c '^Unpacking' /tmp/apt) packages in all"

  # As somebody who is not root; what the emulator needs is a /dev/shm.
  as_user="setpriv --reuid 1000 --regid 1000 --clear-groups"
  $as_user hyperpod-emulator --config /usr/share/hyperpod-kv/configs/smallest.toml --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    --capacity 64MiB --log-level warn --ready-file /tmp/ready >/tmp/line &
  emulator=$!
  trap 'kill "$emulator" 2>/dev/null || true' EXIT
  for _ in $(seq 200); do [ ! -s /tmp/ready ] || break; sleep 0.05; done
  url=$(sed 's/.*"url":"\([^"]*\)".*/\1/' /tmp/ready)
  hyperpod-emulator --healthcheck "$(sed 's/.*"admin":"\([^"]*\)".*/\1/' /tmp/ready)"
  say "started: $(cat /tmp/ready)"

  kv="$as_user hyperpod-kv --url $url --shm-name ai_toolkit_cache"
  $kv put key /usr/bin/hyperpod-kv
  $kv get key - | cmp - /usr/bin/hyperpod-kv
  say "stored and read back"
  $as_user hyperpod-conformance daemon --url "$url" --shm-name ai_toolkit_cache --capacity 64MiB --profile core >/tmp/report ||
    { cat /tmp/report; return 1; }
  say "$(grep '^The daemon conforms' /tmp/report)"
  kill "$emulator"
  wait "$emulator"

  for page in hyperpod-emulator hyperpod-kv hyperpod-conformance; do
    [ -s /usr/share/man/man1/$page.1 ] || { say "there is no man page of $page"; return 1; }
  done
  bash -c '. /usr/share/bash-completion/completions/hyperpod-emulator
    COMP_WORDS=(hyperpod-emulator --capac) COMP_CWORD=1; _hyperpod hyperpod-emulator --capac hyperpod-emulator
    [ "${COMPREPLY[*]}" = --capacity ]' || { say "bash does not complete --capac"; return 1; }
  apt-get -q purge -y hyperpod-kv-emulator >/tmp/apt 2>&1 || { cat /tmp/apt; return 1; }
  find / -xdev -path /proc -prune -o -name '*hyperpod*' -print | sort | diff /tmp/before - ||
    { say "left behind when removed"; return 1; }
  say "removed, and nothing left behind"
}

if [ "$1" = inside ]; then
  inside
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$1" "$work/package.deb"
mmdebstrap --quiet --variant=apt --format=null \
  --customize-hook="copy-in $work/package.deb $0 /tmp" \
  --customize-hook='mount -t tmpfs -o size=256m,mode=1777 tmpfs "$1/dev/shm"
    status=0; chroot "$1" sh /tmp/try_package.sh inside || status=$?
    umount --lazy "$1/dev/shm"; exit $status' "${2:-bookworm}" /dev/null
