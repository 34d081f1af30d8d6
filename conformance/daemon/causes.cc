// SPDX-License-Identifier: Apache-2.0
// One cause, one finding: which findings of other checks follow from one. A check that cannot
// understand a grant, or that is told of a wrong place, says nothing of what it is about. One that
// fails by something else, as by a PUT that was refused, follows from nothing and explains nothing.
#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

// Those that ask for a lease on an absent key, and read what is granted.
const std::vector<std::string_view> of_misses{
    "PUT-08",    "PUT-09",  "PUT-10",   "PUT-17",   "KEY-07",   "BUCKET-01",
    "BUCKET-02", "HOLD-04", "HOLD-08",  "PIN-05",   "LEASE-08", "RESTART-06",
    "CONC-01",   "TLS-01",  "LIMIT-01", "LIMIT-02", "BUCKET-03"};

// Those that hold leases for seconds, and judge by what is there before their end.
const std::vector<std::string_view> of_leases{
    "PUT-02", "PUT-08",  "PUT-12",  "PUT-18",  "LEASE-06", "LEASE-08", "TTL-02", "TTL-04",
    "TTL-05", "PIN-01",  "PIN-02",  "PIN-05",  "REL-01",   "REL-04",   "REL-05", "REL-06",
    "REL-07", "HTTP-12", "CONC-01", "CONC-04", "CONC-05",  "CONC-06",  "HOLD-05"};

// Those that release over other connections than they leased over, or need the room of others.
const std::vector<std::string_view> of_releases{
    "PUT-02", "PUT-08", "PUT-12",  "PUT-18",  "LEASE-06", "LEASE-08", "TTL-02",  "TTL-04",
    "TTL-05", "PIN-01", "PIN-02",  "PIN-03",  "PIN-05",   "REL-01",   "REL-03",  "REL-04",
    "REL-05", "REL-07", "HTTP-12", "CONC-01", "CONC-04",  "CONC-05",  "CONC-06", "HOLD-05"};

}  // namespace

std::span<const check::Cause> daemon_causes() {
  using enum Symptom;
  static const std::vector<check::Cause> all{
      {"LEASE-02", {grant}, {grant}},
      {"HOLD-02", {refused}, {refused}},
      {"HOLD-02", {granted}, {granted}},
      {"HOLD-02", {granted}, {grant}, of_misses},
      {"LEASE-05", {place}, {place, bytes}},
      {"PUT-01", {place, bytes}, {place, bytes}},
      {"SHM-03", {place, bytes}, {place, bytes}},
      {"TTL-01", {lease}, {lease, room, bytes, missing}, of_leases},
      // A release that only one connection can send leaves pins behind.
      {"REL-06", {lease}, {lease, room, missing}, of_releases},
      // Bytes that change under a lease do so wherever leases are read late.
      {"PIN-01", {bytes}, {bytes}, {"PIN-02", "PIN-05", "PUT-18"}},
      // An object of a body that was cut short is there for those who wait for it.
      {"PUT-17", {cut}, {cut}, {"HOLD-01", "PUT-09"}},
      // Its requests wait, and are woken.
      {"HOLD-01", {held}, {held}, {"CONC-06"}},
      {"HOLD-05", {woken}, {woken}, {"CONC-06"}},
      // What says best that stored objects are not there: at all, at once, to several, among many,
      // in a full cache.
      {"PUT-01", {missing}, {missing}},
      {"SHM-04", {missing}, {missing}},
      {"LEASE-06", {missing}, {missing}},
      {"PUT-18", {missing}, {missing}},
      {"PIN-05", {missing}, {missing}},
  };
  return all;
}

}  // namespace hyperpod::conformance::daemon
