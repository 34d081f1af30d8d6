#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# In containers: a client runs while the emulator under it is restarted, and then killed and started again, as the daemon's
# pod is on a node. The client goes on with the new segment, and no wrong byte is read. Needs Docker with compose.
# Usage: restart_test.sh
set -eu
cd "$(dirname "$0")/.."

say() { printf 'restart: %s\n' "$*"; }
compose() { docker compose --ansi never "$@"; }

work=$(mktemp -d)
trap 'compose down --volumes --timeout 2 >/dev/null 2>&1; rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

# Hits of the emulator that runs now: a new one begins with none.
hits() {
  compose exec -T node wget -q -O - http://emulator:9201/metrics 2>/dev/null |
    awk '$1 == "hyperpod_emulator_leases_granted_total" {n = $2} END {print n + 0}'
}
wait_for_hits() {
  for _ in $(seq 120); do
    [ "$(hits)" -lt 20 ] || return 0
    kill -0 "$client" 2>/dev/null || break
    sleep 0.5
  done
  say "the client has no hits $1"
  cat "$work/table" >&2
  exit 1
}

compose up --build --detach --wait emulator >"$work/up" 2>&1 || { tail -20 "$work/up" >&2; exit 1; }
# One thread: each asks again at once while the daemon is away, and would take the machine from the engine.
compose run --rm --no-deps -T client hyperpod-kv --url http://emulator:9200 --shm-name ai_toolkit_cache \
  bench --verify --threads 1 --size 256KiB --duration 2min >"$work/figures" 2>"$work/table" &
client=$!
wait_for_hits "before anything happens"
compose restart emulator >/dev/null 2>&1
wait_for_hits "after docker compose restart"
say "the client goes on after a restart"
compose kill --signal KILL emulator >/dev/null 2>&1
compose up --detach --no-deps --wait emulator >/dev/null 2>&1
wait_for_hits "after SIGKILL"
say "the client goes on after SIGKILL"
wait "$client" || { say "the client ended with status $?"; cat "$work/table" >&2; exit 1; }
grep -q '"wrong":0[,}]' "$work/figures" || { say "wrong bytes were read"; cat "$work/figures" >&2; exit 1; }
say "the client ended well, and read no wrong byte: $(cat "$work/figures")"
