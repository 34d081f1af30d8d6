#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a tarball of a portable build, and checks that its programs need nothing but glibc 2.34 or newer.
# Usage: portable.sh BUILD_DIRECTORY OUTPUT_DIRECTORY
set -eu
build=$1
out=$2
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
machine=$(sed -n 's/^CMAKE_SYSTEM_PROCESSOR:[A-Z]*=//p' "$build/CMakeCache.txt") # set where it is cross-built
name=hyperpod-kv-$version-linux-${machine:-$(uname -m)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name

for component in runtime documents; do
  cmake --install "$build" --prefix "$root" --component "$component" --strip >"$work/log" || { cat "$work/log"; exit 1; }
done

"$(dirname "$0")/check_portable.sh" "$root"

mkdir -p "$out"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -c "$name" |
  gzip -9n >"$out/$name.tar.gz"
echo "portable: $out/$name.tar.gz, $(stat -c %s "$out/$name.tar.gz") bytes, glibc 2.34 or newer"
