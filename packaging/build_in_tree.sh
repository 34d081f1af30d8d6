#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds what is shipped in a new tree of a Debian suite, with that suite's compiler, libraries and Python.
# Needs mmdebstrap, the network, and root or a kernel on which anybody may have namespaces. A compiler cache of each suite
# outlives its trees: ~/.cache/hyperpod-kv/ccache-SUITE, or what HYPERPOD_CCACHES names in place of ~/.cache/hyperpod-kv.
# Usage: build_in_tree.sh SUITE KIND OUTPUT_DIRECTORY
# KIND: package (the Debian package, which names the libraries of its own suite), wheel (for the suite's Python), arm64 (the
# tarball of portable programs, cross-built).
set -eu

arm64_options='-DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++'

inside() {
  cd /tmp/source
  mkdir /tmp/out
  case $1 in
  package)
    cmake --preset dist -Wno-dev && cmake --build build/dist && cpack --config build/dist/CPackConfig.cmake -B /tmp/package &&
      cp /tmp/package/*.deb /tmp/out
    ;;
  wheel) /usr/bin/python3 -B python/backend.py wheel /tmp/out ;;
  arm64)
    export PKG_CONFIG_LIBDIR=/usr/lib/aarch64-linux-gnu/pkgconfig:/usr/share/pkgconfig
    cmake --preset portable $arm64_options -Wno-dev && cmake --build build/portable &&
      packaging/portable.sh build/portable /tmp/out
    ;;
  esac
}

if [ "$1" = inside ]; then
  inside "$2" >/tmp/log 2>&1 || { grep -E '^FAILED:|error:|undefined reference|cannot find -l' /tmp/log | head -20; tail -5 /tmp/log; exit 1; }
  exit
fi
suite=$1
kind=$2
mkdir -p "$3"
out=$(cd "$3" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
architectures=
case $kind in
package) packages=$("$here/packages.sh" "$suite" build package) ;;
wheel) packages=$("$here/packages.sh" "$suite" build python) ;;
arm64)
  architectures=--architectures=amd64,arm64
  # Libraries of the other architecture; what the project needs as a program, or what Debian has for all architectures at
  # once (libexpected-dev), is of this one.
  packages=$("$here/packages.sh" "$suite" build |
    sed 's/^g++$/g++-aarch64-linux-gnu/; /^libexpected-dev$/b; /^lib.*-dev$/s/$/:arm64/; s/^zlib1g-dev$/&:arm64/')
  ;;
*) echo "$0: $kind is not a kind; there are package, wheel and arm64" >&2; exit 2 ;;
esac
cache=${HYPERPOD_CCACHES:-${XDG_CACHE_HOME:-$HOME/.cache}/hyperpod-kv}/ccache-$suite
mkdir -p "$cache"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
"$here/copy_source.sh" "$work/source"
mmdebstrap --quiet --variant=apt $architectures --format=null \
  --include="$(echo "$packages" | grep -v '^mmdebstrap$' | paste -sd ,)" \
  --customize-hook="copy-in $work/source /tmp" \
  --customize-hook='mkdir -p "$1/ccache"; mount --bind '"'$cache'"' "$1/ccache"
    status=0; CCACHE_DIR=/ccache chroot "$1" sh /tmp/source/packaging/build_in_tree.sh inside '"$kind"' || status=$?
    umount --lazy "$1/ccache"; exit $status' \
  --customize-hook="sync-out /tmp/out $work/out" "$suite" /dev/null
cp "$work"/out/* "$out/"
