// SPDX-License-Identifier: Apache-2.0
#include "requirements/consequences.h"

#include <algorithm>
#include <array>
#include <utility>

namespace hyperpod::conformance::requirements {
namespace {

using Cost = std::pair<std::string_view, std::string_view>;

// Where a requirement costs something else than its chapter does.
constexpr std::array of_one{
    Cost{"PUT-02",
         "A retried store looks like a failure, or readers get bytes that change under them."},
    Cost{"PUT-05",
         "Every store counts as failed, and nothing is cached as far as the client knows."},
    Cost{"PUT-07", "The client drops its connection with each error, and pays for a new one."},
    Cost{"PUT-08",
         "What is left of a body is executed as a request: objects nobody stored appear."},
    Cost{"PUT-17", "Half an object is read as a whole one: the model computes with garbage."},
    Cost{"LEASE-01",
         "The clients ignore the grant: every lookup is a miss, and its lease is left to its TTL."},
    Cost{"LEASE-02", "The clients cannot use the grant: every lookup is a miss or an error."},
    Cost{"LEASE-03", "Releases by the in-process client go astray, and pins stay until their TTL."},
    Cost{"HOLD-01",
         "A reader that comes a moment before the writer computes again what is being stored."},
    Cost{"HOLD-03",
         "The client gives up before the response comes, and a granted lease is nobody's."},
    Cost{"HOLD-06", "Clients that time out leave pins behind, until the cache has no room."},
    Cost{"PIN-03",
         "A full cache stores nothing new, and the hit rate falls to that of its first hour."},
    Cost{"PIN-04", "Pins of crashed clients stay, until the cache has no room."},
    Cost{"REL-02", "A release that goes astray is not noticed, as happened in LMCache for months."},
    Cost{"HTTP-05", "Each request pays for a connection of its own, and under load ports run out."},
    Cost{"SHM-02", "Every user of the node can read, or write, the prompts of all others."},
    Cost{"C-SHM-08", "The node's cache is gone for everybody as soon as one process ends."},
    Cost{"C-BREAKER-04",
         "The client is healthy and stores nothing: nobody notices that the cache is empty."},
};

constexpr std::array<std::string_view, 25> of_chapter{
    "Objects are lost or wrong: the model computes with other bytes than were stored.",
    "Objects of one prompt, model or user are taken for those of another.",
    "Tenants or models that share a daemon read each other's objects, or none.",
    "Lookups of what is there fail, and all of it is computed again.",
    "Readers miss what is stored while they wait, and compute it again.",
    "Leases end while they are read, or outlive their use.",
    "Bytes change while they are read: the model computes with another prompt's cache.",
    "Pins outlive their use, and the cache has less room than it should.",
    "Readers map the wrong bytes, or cannot map them at all.",
    "Under the load of one node's workers, requests fail or wait.",
    "Clients and proxies that keep to HTTP are not understood.",
    "One broken or hostile client disturbs all others of the node.",
    "Clients that are to use TLS cannot, or are less safe than they think.",
    "After a restart clients read old bytes, or nothing, until they are restarted as well.",
    "A training job cannot save, or restores what it did not save.",
    "One engine takes more of the daemon than its share, and others wait.",
    "The daemon runs out of connections, and other workers are refused.",
    "With many workers on a node the daemon is overrun, or some of them get nothing.",
    "A slow or dead daemon stops inference instead of costing a miss.",
    "Leases are left to their TTL, and the daemon's cache has less room for everybody.",
    "The engine computes with bytes that were replaced under it.",
    "The engine reads wrong bytes, or harms the segment that all of the node share.",
    "After an outage the cache is not used again, or the outage costs more than misses.",
    "The daemon does not understand the client, or stores under other names than others look for.",
    "One bad key costs the whole batch, or a long prompt waits for its look-up.",
};

}  // namespace

std::string_view consequence(const Requirement& requirement) {
  const auto found = std::ranges::find(of_one, requirement.id, &Cost::first);
  if (found != of_one.end()) return found->second;
  return of_chapter[static_cast<std::size_t>(requirement.chapter)];
}

std::string_view relied_on_by(const Requirement& requirement) {
  const auto names = [&](std::string_view source) {
    return requirement.source.find(source) != std::string_view::npos;
  };
  if (requirement.mark == Mark::observed) return "seen on real nodes";
  if (requirement.mark != Mark::client) return "";
  if (names("conn") && names("mp")) return "both of LMCache's clients";
  if (names("conn")) return "LMCache's in-process connector";
  if (names("mp")) return "LMCache's multi-process client";
  if (names("1968")) return "both of LMCache's clients since pull request 1968";
  if (names("4234")) return "every client that shares a node (LMCache issue 4234)";
  if (names("cp")) return "AWS's amzn-sagemaker-checkpointing";
  if (names("field")) return "seen on real nodes";
  return "LMCache's in-process connector, as its page documents";
}

}  // namespace hyperpod::conformance::requirements
