// SPDX-License-Identifier: Apache-2.0
// Every requirement that the suite can check of a daemon or of a client from outside, one entry
// each.
//
// docs/protocol.md tells the same facts in their context; a test keeps the two in step. The
// catalogues are constant data and may be read from any thread. Ids are stable: an id is never
// given a new meaning, and a retired one is not used again. Those of clients begin with "C-".
#pragma once

#include <span>
#include <string_view>

namespace hyperpod::conformance::requirements {

/// How sure anybody can be of a fact about the real daemon.
enum class Mark {
  observed,  ///< O: seen on a real node by somebody who published it.
  client,    ///< C: a public production client depends on it or sends it.
  inferred,  ///< I: follows from observed or client facts (or from HTTP), written down by nobody.
  assumed,   ///< A: this project's choice, because nothing says.
};

/// What a daemon or a client owes: observed and client facts are MUST, inferred ones SHOULD,
/// assumed ones MAY.
enum class Level { must, should, may };

/// The part of a report under which a requirement is listed, in the order of reports.
enum class Chapter {
  store,
  keys,
  buckets,
  lease,
  hold,
  ttl,
  pins,
  release,
  shared_memory,
  concurrency,
  http,
  limits,
  tls,
  restart,
  checkpoints,
  // Of clients.
  throttling,
  connections,
  workers,
  timeouts,
  client_leases,
  client_ttl,
  client_memory,
  recovery,
  wire,
  batches,
};

struct Requirement {
  std::string_view id;  ///< As "LEASE-07": the section's name and two digits.
  Chapter chapter;
  Mark mark;
  std::string_view source;  ///< Short names explained in docs/protocol.md; "" where nothing says.
  std::string_view statement;  ///< One sentence that tells what the daemon, or the client, does.

  Level level() const;
};

/// All requirements of daemons, by chapter and then by number.
std::span<const Requirement> daemon_catalogue();

/// All requirements of clients, likewise.
std::span<const Requirement> client_catalogue();

/// The requirement of either with this very id; nullptr if there is none.
const Requirement* find_requirement(std::string_view id);

/// "O", "C", "I" or "A".
std::string_view letter(Mark mark);
/// "MUST", "SHOULD" or "MAY".
std::string_view name(Level level);
/// As a heading: "pins and eviction".
std::string_view title(Chapter chapter);

}  // namespace hyperpod::conformance::requirements
