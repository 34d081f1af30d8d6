#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs a wheel, without an index, into a new virtual environment in a new Debian tree, and runs there the tests of the
# package, the examples of its pages among them. Nothing of it may be left when the environment goes.
# The tree needs the network, and root or a kernel on which anybody may have namespaces.
# Usage: try_wheel.sh WHEEL [SUITE]      SUITE: one with the wheel's Python; bookworm by default
set -eu

say() { printf 'wheel: %s\n' "$*"; }
left() { find / -xdev \( -path /proc -o -path /tmp/source -o -path /tmp/wheel \) -prune -o -name '*hyperpod*' -print | sort; find /dev/shm -type f; }

inside() {
  mkdir /tmp/source /tmp/wheel
  tar -xf /tmp/source.tar -C /tmp/source
  mv /tmp/*.whl /tmp/wheel
  export PYTHONDONTWRITEBYTECODE=1
  left >/tmp/before
  /usr/bin/python3 -m venv --system-site-packages /tmp/venv
  /tmp/venv/bin/pip install --quiet --no-index /tmp/wheel/*.whl
  /tmp/venv/bin/hyperpod-emulator --version >/tmp/line
  say "installed in $(. /etc/os-release && echo "$PRETTY_NAME"): $(cat /tmp/line)"
  cd /tmp/source/python/tests
  /tmp/venv/bin/python -m pytest -q -p no:cacheprovider >/tmp/log 2>&1 || { tail -60 /tmp/log; return 1; }
  say "$(tail -n 1 /tmp/log)"
  rm -rf /tmp/venv /tmp/pytest-of-*
  left | diff /tmp/before - || { say "left behind"; return 1; }
  ! ls -l /proc/[0-9]*/exe 2>/dev/null | grep -F /tmp/venv || { say "still running"; return 1; }
  say "nothing is left behind"
}

if [ "$1" = inside ]; then
  inside
  exit
fi
here=$(cd "$(dirname "$0")/.." && pwd)
wheel=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cp "$wheel" "$work"
(cd "$here" && tar -cf "$work/source.tar" docs python/tests python/pyproject.toml fixtures/golden)
mmdebstrap --quiet --variant=apt --format=null \
  --include=python3-venv,python3-pytest,python3-pytest-xdist,python3-numpy,python3-yaml \
  --customize-hook="copy-in $work/$(basename "$wheel") $work/source.tar $here/packaging/try_wheel.sh /tmp" \
  --customize-hook='mount -t tmpfs -o size=1g,mode=1777 tmpfs "$1/dev/shm"
    status=0; chroot "$1" sh /tmp/try_wheel.sh inside || status=$?
    umount --lazy "$1/dev/shm"; exit $status' "${2:-bookworm}" /dev/null
