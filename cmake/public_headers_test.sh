#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# public_headers_test.sh COMPILER INCLUDE_DIR...: each public header under the directories compiles
# alone and drags in nothing but the standard library, the system's C headers, tl/expected and other
# public headers. The optional adaptors, which exist to know another library, are passed over.
set -euo pipefail
compiler=$1
shift
adaptors='hyperpod/base/spdlog\.h|hyperpod/client/asio\.h'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
includes=()
for directory in "$@"; do includes+=(-I "$directory"); done

# files_of FILE: every file that it includes, a line each.
files_of() {
  "$compiler" -std=c++20 "${includes[@]}" -Wall -Wextra -Wpedantic -Werror -fsyntax-only -MD -MF "$work/rule" \
    -x c++ "$1" || return 1
  tr -s ' \\' '\n' <"$work/rule" | grep '^/' | xargs realpath | sort -u
}

# What may be included: all that the standard library and POSIX have, and tl/expected.
printf '#include <%s>\n' algorithm any array atomic bit charconv chrono compare concepts condition_variable cstddef cstdint \
  cstring deque exception filesystem forward_list functional future initializer_list iosfwd iterator latch limits list map \
  memory memory_resource mutex new numeric optional ostream queue random ranges set shared_mutex span sstream stop_token \
  string string_view system_error thread tuple type_traits typeindex unordered_map unordered_set utility variant vector \
  cassert cerrno cinttypes climits cmath csignal cstdio cstdlib ctime fcntl.h sys/mman.h sys/socket.h sys/stat.h sys/types.h sys/uio.h unistd.h tl/expected.hpp >"$work/allowed.cc"
files_of "$work/allowed.cc" >"$work/allowed"

checked=0
failed=0
for directory in "$@"; do
  directory=$(realpath "$directory")
  while IFS= read -r header; do
    if [[ $header =~ ($adaptors)$ ]]; then continue; fi
    checked=$((checked + 1))
    name=${header#"$directory/"}
    printf '#include "%s"\n' "$name" >"$work/alone.cc"
    if ! files_of "$work/alone.cc" >"$work/files"; then
      echo "$name: does not compile alone"
      failed=1
      continue
    fi
    strangers=$(comm -23 "$work/files" "$work/allowed")
    for own in "$@"; do strangers=$(grep -v "^$(realpath "$own")/" <<<"$strangers" || true); done
    strangers=$(grep -v "^$work/" <<<"$strangers" || true)
    [ -n "$strangers" ] || continue
    echo "$name: drags in $(wc -l <<<"$strangers") files that are none of ours, among them $(head -n 1 <<<"$strangers")"
    failed=1
  done < <(find "$directory" -name '*.h' | sort)
done
[ "$checked" -gt 0 ] || { echo "there is no public header in $*"; exit 1; }
echo "$checked public headers"
exit "$failed"
