#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# instructions_test.sh PROGRAM BOUND: user instructions that the emulator spends on a request of lease or
# release, journal on and no fault loaded, as callgrind counts them; fails above BOUND. The count is the
# difference of two runs, so that starting and stopping do not matter. Ends with 77, for skipped, where
# there is no valgrind.
set -euo pipefail
program=$1
bound=$2
if ! command -v valgrind >/dev/null; then
  echo "SKIP: valgrind is not installed, and nothing else counts instructions without noise"
  exit 77
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# count PAIRS: instructions of the parent process.
count() {
  valgrind --tool=callgrind --callgrind-out-file="$work/$1.%p" "$program" "$1" >"$work/log" 2>&1 &
  local parent=$!
  wait "$parent" || { tail -20 "$work/log" >&2; return 1; }
  awk '/^(summary|totals):/ {print $2; exit}' "$work/$1.$parent"
}

few=$(count 500)
many=$(count 1500)
each=$(((many - few) / 2000))
echo "$each instructions a request; at most $bound"
[ "$each" -le "$bound" ]
