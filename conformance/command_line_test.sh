#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# command_line_test.sh PROGRAM: what hyperpod-conformance says of arguments that it cannot use, and with which code.
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ends CODE TEXT ARGUMENT...: exits with CODE, and says TEXT in the one line that it writes to standard error.
ends() {
  local wanted=$1 text=$2 code=0
  shift 2
  "$program" "$@" >"$work/out" 2>"$work/errors" || code=$?
  if [ "$code" != "$wanted" ] || ! grep -qF -- "$text" "$work/errors" || [ "$(wc -l <"$work/errors")" != 1 ]; then
    echo "hyperpod-conformance $*: exit status $code, wanted $wanted and '$text'; it said:" >&2
    cat "$work/errors" >&2
    exit 1
  fi
}

daemon=(daemon --url http://127.0.0.1:1 --shm-name none)
ends 2 "'nan' is not a number from 0.1 to 100" "${daemon[@]}" --time-scale nan
ends 2 "'NAN' is not a number" client --driver true --time-scale NAN
ends 2 "'0' is not a number" "${daemon[@]}" --time-scale 0
ends 2 "'1x' is not a number" "${daemon[@]}" --time-scale 1x
ends 2 "a bucket has a name" "${daemon[@]}" --bucket ""
ends 2 "is larger than any number" "${daemon[@]}" --seed 99999999999999999999999
ends 2 "$work/report is named for two reports" "${daemon[@]}" --json "$work/report" --html "$work/report"
ends 3 "127.0.0.1:1" "${daemon[@]}"
if [ -w /dev/full ]; then
  code=0
  "$program" daemon --list >/dev/full 2>"$work/errors" || code=$?
  [ "$code" = 3 ] && grep -q "cannot write to standard output" "$work/errors"
fi
