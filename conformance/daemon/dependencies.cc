// SPDX-License-Identifier: Apache-2.0
// One cause, one finding: what a check needs of a daemon besides its own requirement. A check that
// cannot understand a grant, or that is told of a wrong place, says nothing of what it is about.
#include <algorithm>
#include <array>

#include "daemon/chapters.h"
#include "daemon/suite.h"

namespace hyperpod::conformance::daemon {
namespace {

// In the order of causes: a finding of one is put down to those before it.
constexpr std::array<std::string_view, 5> roots{"LEASE-02", "HOLD-02", "LEASE-05", "PUT-01",
                                                "SHM-03"};

// Those that ask for a lease on an absent key, and judge by the miss.
constexpr std::array<std::string_view, 18> of_misses{
    "PUT-08",    "PUT-09",     "PUT-10",   "KEY-07",  "BUCKET-01", "BUCKET-02",
    "BUCKET-03", "LEASE-07",   "LEASE-08", "HOLD-01", "HOLD-04",   "HOLD-08",
    "PIN-05",    "RESTART-06", "CONC-01",  "TLS-01",  "LIMIT-01",  "LIMIT-02"};

// Those that hold leases, and judge by what is there before their end.
constexpr std::array<std::string_view, 23> of_leases{
    "PUT-02", "PUT-08",  "PUT-12",  "PUT-18",  "LEASE-06", "LEASE-08", "TTL-02", "TTL-04",
    "TTL-05", "PIN-01",  "PIN-02",  "PIN-05",  "REL-01",   "REL-04",   "REL-05", "REL-06",
    "REL-07", "HTTP-12", "CONC-01", "CONC-04", "CONC-05",  "CONC-06",  "HOLD-05"};

}  // namespace

std::span<const check::Dependency> daemon_dependencies() {
  static const std::vector<check::Dependency> all = [] {
    std::vector<check::Dependency> dependencies;
    for (const CheckEntry& entry : daemon_checks()) {
      check::Dependency dependency{entry.id, {}};
      for (const std::string_view root : roots) {
        if (root == entry.id) break;
        if (root == "HOLD-02" && std::ranges::find(of_misses, entry.id) == of_misses.end())
          continue;
        dependency.needs.push_back(root);
      }
      const bool leases = std::ranges::find(of_leases, entry.id) != of_leases.end();
      if (leases) dependency.needs.push_back("TTL-01");
      // A release that only one connection can send leaves pins behind.
      if ((leases && entry.id != "REL-06") || entry.id == "REL-03" || entry.id == "PIN-03")
        dependency.needs.push_back("REL-06");
      // Bytes that change under a lease do so wherever leases are read late.
      if (entry.id == "PIN-02" || entry.id == "PIN-05" || entry.id == "PUT-18")
        dependency.needs.push_back("PIN-01");
      // Its requests wait, and are woken.
      if (entry.id == "CONC-06") {
        dependency.needs.push_back("HOLD-01");
        dependency.needs.push_back("HOLD-05");
      }
      dependencies.push_back(std::move(dependency));
    }
    return dependencies;
  }();
  return all;
}

}  // namespace hyperpod::conformance::daemon
