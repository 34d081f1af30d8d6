#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds the programs in a new tree of a Debian suite, with that suite's compiler and libraries, and lets them store and
# read back there. Needs mmdebstrap, the network, and root or a kernel on which anybody may have namespaces.
# With -DHYPERPOD_FETCH=ON the tree lacks what can be fetched.
# Usage: try_build.sh SUITE [CMAKE OPTION...]      SUITE: bookworm (g++ 12, Boost 1.81), trixie (g++ 14, Boost 1.83)
set -eu

say() { printf 'try_build: %s\n' "$*"; }

# What is done in the tree. Every file is tried, so that the log names all that do not compile.
inside() {
  cd /tmp/source
  cmake -S . -B /tmp/build -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 -DHYPERPOD_TESTS=OFF \
    -DHYPERPOD_BENCH=OFF -DHYPERPOD_WERROR=OFF -DHYPERPOD_PRECOMPILE=ON -Wno-dev "$@" >/tmp/log 2>&1 ||
    { tail -20 /tmp/log; return 1; }
  say "$(c++ --version | head -n 1)"
  ninja -C /tmp/build -k 0 -j 2 hyperpod-emulator hyperpod-kv hyperpod-conformance >/tmp/log 2>&1 || {
    grep -E '^FAILED:|error:' /tmp/log | head -40
    say "$(grep -c '^FAILED:' /tmp/log) targets do not build"
    return 1
  }
  say "built"
  PATH=/tmp/build/bin:$PATH
  hyperpod-emulator --listen 127.0.0.1:0 --admin off --capacity 64MiB --log-level warn --ready-file /tmp/ready >/tmp/line &
  emulator=$!
  trap 'kill "$emulator" 2>/dev/null || true' EXIT
  for _ in $(seq 400); do [ ! -s /tmp/ready ] || break; sleep 0.05; done
  kv="hyperpod-kv --url $(sed 's/.*"url":"\([^"]*\)".*/\1/' /tmp/ready) --shm-name ai_toolkit_cache"
  $kv put key /tmp/build/bin/hyperpod-kv
  $kv get key - | cmp - /tmp/build/bin/hyperpod-kv
  kill "$emulator"
  wait "$emulator"
  say "stored and read back"
}

if [ "$1" = inside ]; then
  shift
  inside "$@"
  exit
fi

suite=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
"$here/copy_source.sh" "$work/source"
packages=$("$here/packages.sh" "$suite" build)
case " $* " in
*' -DHYPERPOD_FETCH=ON '*) # without what is to be fetched
  packages=$(echo "$packages" | grep -vE '^(libboost|libexpected|libfmt|libspdlog|libtomlplusplus|libcli11|libyaml-cpp|nlohmann|rapidjson)') ;;
esac
packages=$(echo "$packages" | paste -sd ,)
say "a tree of $suite with $packages"
options=
for option in "$@"; do options="$options '$option'"; done
mmdebstrap --quiet --variant=apt --include="$packages" --format=null \
  --customize-hook="copy-in $work/source /tmp" \
  --customize-hook='mount -t tmpfs -o size=256m,mode=1777 tmpfs "$1/dev/shm"
    status=0; chroot "$1" sh /tmp/source/packaging/try_build.sh inside'"$options"' || status=$?
    umount --lazy "$1/dev/shm"; exit $status' "$suite" /dev/null
