#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Checks that the programs under a folder need nothing but glibc 2.34 or newer, and its modules that and libgcc.
# Usage: check_portable.sh FOLDER
set -eu
newest=2.34

for program in $(find "$1" -type f -perm /100); do
  readelf -h "$program" >/dev/null 2>&1 || continue # a script
  allowed='libc|libm|ld-linux.*'
  case $program in *.so) allowed="$allowed|libgcc_s" ;; esac
  others=$(readelf -d "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p' | grep -vE "^($allowed)\.so\." || true)
  [ -z "$others" ] || { echo "check_portable: $program needs" $others; exit 1; }
  symbols=$(readelf --dyn-syms --wide "$program" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
  [ "$(printf 'GLIBC_%s\n%s\n' "$newest" "$symbols" | sort -V | tail -n 1)" = "GLIBC_$newest" ] || {
    echo "check_portable: $program needs a newer glibc than $newest:"
    readelf --dyn-syms --wide "$program" | grep -F "$symbols"
    exit 1
  }
done
