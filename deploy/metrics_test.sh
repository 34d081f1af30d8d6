#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Holds the dashboard and the alert rules against what a running emulator tells, and all three against promtool.
# Usage: metrics_test.sh HYPERPOD_EMULATOR WORK_DIRECTORY. Exits with 77 where promtool cannot be had.
set -euo pipefail
emulator=$1 work=$2
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$work"

# Debian has promtool in the package of the server, which nobody needs here: it is unpacked, not installed.
promtool=$(command -v promtool || echo "$work/prometheus/usr/bin/promtool")
if [ ! -x "$promtool" ]; then
  rm -f "$work"/prometheus_*.deb
  (cd "$work" && timeout 60 apt-get download -qq prometheus >/dev/null 2>&1 && dpkg -x prometheus_*.deb prometheus) || true
fi
if [ ! -x "$promtool" ]; then
  echo "SKIPPED: the metrics are not checked, promtool is not here and Debian's package prometheus cannot be fetched"
  exit 77
fi

coproc emulator { exec "$emulator" --listen 127.0.0.1:0 --admin 127.0.0.1:0 --capacity 8MiB \
                       --shm-name "hyperpod_metrics_test_$$_$RANDOM" 2>/dev/null; }
trap 'kill "$emulator_PID" 2>/dev/null || true' EXIT
read -r ready <&"${emulator[0]}"
data=$(jq -r .url <<<"$ready") admin=$(jq -r .admin <<<"$ready")
curl -sf "$admin/v1/faults" -H 'Content-Type: application/json' \
  -d '{"name":"b\"u\\sy","match":{"operation":"put","nth":2},"effects":{"status":503}}' >/dev/null
for key in a b; do curl -s -X PUT --data-binary "$key" "$data/v1/kv/bucket/$key" >/dev/null; done
for key in a absent; do curl -s -X POST "$data/v1/kv/bucket/$key/leases?timeout_ms=1&ttl_s=30.0" >/dev/null; done
curl -sf "$admin/metrics" >"$work/metrics.txt"

"$promtool" check metrics <"$work/metrics.txt"
"$promtool" check rules "$here/alerts/hyperpod-emulator.rules.yaml"
"$promtool" test rules "$here/alerts/rules_test.yaml"
jq empty "$here/grafana/hyperpod-emulator.json"

# Whatever the two files name must be told.
sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$work/metrics.txt" | sort >"$work/told"
grep -ohE 'hyperpod_emulator_[a-z0-9_]+' "$here/grafana/hyperpod-emulator.json" "$here/alerts/"*.yaml |
  sed -E 's/(_seconds)_(bucket|sum|count)$/\1/' | sort -u >"$work/named"
if missing=$(comm -23 "$work/named" "$work/told") && [ -n "$missing" ]; then
  printf 'named in deploy/ and told by no emulator:\n%s\n' "$missing" >&2
  exit 1
fi
# And every expression of the dashboard must be one.
jq -r '.panels[].targets[].expr' "$here/grafana/hyperpod-emulator.json" |
  sed 's/\$__rate_interval/1m/g; s/\$instance/.*/g' |
  jq -Rs '{groups: [{name: "dashboard", rules: [split("\n")[] | select(. != "") | {record: "r:r:r", expr: .}]}]}' \
    >"$work/dashboard.rules.yaml"
"$promtool" check rules --lint=none "$work/dashboard.rules.yaml" >/dev/null
