#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The packages of debian-packages.txt that a suite needs, one a line. A suite that is not named there counts as trixie.
# Usage: packages.sh SUITE GROUP...
set -eu
suite=$1
list=$(dirname "$0")/../debian-packages.txt
{ [ -n "$suite" ] && grep -q -w -e "$suite" "$list"; } || suite=trixie
shift
for group; do
  grep -q -e "^$group " "$list" || { echo "packages.sh: debian-packages.txt has no group '$group'" >&2; exit 1; }
done
awk -v suite="$suite" -v groups=" $* " '
  /^#/ || !NF || !index(groups, " " $1 " ") { next }
  { wanted = NF == 2; for (i = 3; i <= NF; ++i) if ($i == suite) wanted = 1; if (wanted) print $2 }
' "$list" | sort -u
