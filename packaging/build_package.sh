#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the Debian package of a suite in a new tree of that suite, because a package names the libraries of its own.
# Needs mmdebstrap, the network, and root or a kernel on which anybody may have namespaces.
# Usage: build_package.sh SUITE OUTPUT_DIRECTORY
set -eu

inside() {
  cd /tmp/source
  { cmake --preset dist -Wno-dev && cmake --build build/dist && cpack --config build/dist/CPackConfig.cmake -B /tmp/package; } \
    >/tmp/log 2>&1 || { grep -E '^FAILED:|error:' /tmp/log | head -20; tail -5 /tmp/log; return 1; }
}

if [ "$1" = inside ]; then
  inside
  exit
fi
suite=$1
mkdir -p "$2"
out=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir "$work/source"
(cd "$here/.." && git ls-files -co --exclude-standard -z | tar -c --null --no-recursion -T -) | tar -x -C "$work/source"
packages=$("$here/packages.sh" "$suite" build package | grep -v '^mmdebstrap$' | paste -sd ,)
mmdebstrap --quiet --variant=apt --include="$packages" --format=null \
  --customize-hook="copy-in $work/source /tmp" \
  --customize-hook='chroot "$1" sh /tmp/source/packaging/build_package.sh inside' \
  --customize-hook="sync-out /tmp/package $work/package" "$suite" /dev/null
cp "$work"/package/*.deb "$out/"
