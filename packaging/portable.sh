#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Makes a tarball of a portable build, and checks that its programs need nothing but glibc 2.34 or newer.
# Usage: portable.sh BUILD_DIRECTORY OUTPUT_DIRECTORY
set -eu
build=$1
out=$2
newest=2.34
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
name=hyperpod-kv-$version-linux-$(uname -m)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/$name

for component in runtime documents; do
  cmake --install "$build" --prefix "$root" --component "$component" --strip >"$work/log" || { cat "$work/log"; exit 1; }
done

for program in $(find "$root" -type f -perm /100); do
  readelf -h "$program" >/dev/null 2>&1 || continue # a script
  others=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' | grep -vE '^(libc|libm|ld-linux.*)\.so\.' || true)
  [ -z "$others" ] || { echo "portable: $program needs" $others; exit 1; }
  symbols=$(objdump -T "$program" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
  [ "$(printf 'GLIBC_%s\n%s\n' "$newest" "$symbols" | sort -V | tail -n 1)" = "GLIBC_$newest" ] || {
    echo "portable: $program needs a newer glibc than $newest:"
    objdump -T "$program" | grep -F "$symbols"
    exit 1
  }
done

mkdir -p "$out"
tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" -c "$name" |
  gzip -9n >"$out/$name.tar.gz"
echo "portable: $out/$name.tar.gz, $(stat -c %s "$out/$name.tar.gz") bytes, glibc $newest or newer"
