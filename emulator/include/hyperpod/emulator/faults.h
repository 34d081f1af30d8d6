// SPDX-License-Identifier: Apache-2.0
// Faults: what the emulator does wrong on purpose, to whom, and how often it did.
//
// A fault says which requests (or connections) it meets and what happens to them. Faults are tried
// in the order of the plan; the first that fires decides, later ones do not see the request. A plan
// is in force before the first connection is accepted when it is part of the Options.
//
// The structs are plain data, each field with a default, so that designated initializers name only
// what matters; FaultPlan and the functions may be used from any thread. Errors have the code
// invalid_option and name the field by its path in the JSON form (see faults_from_json).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "hyperpod/emulator/error.h"

namespace hyperpod::emulator {

enum class FaultOperation {
  any,
  put,
  lease,
  release,
  connect,
  checkpoint_put,        ///< A shard is stored; bucket is the namespace, key "RANK/STEP".
  checkpoint_get,        ///< A shard, or the latest steps, whose key is empty.
  checkpoint_delete,     ///< A shard goes.
  checkpoint_namespace,  ///< In JSON "namespace": created, shown or deleted, or the cluster reset.
};

/// Which requests a fault meets. All that is given must hold.
struct FaultMatch {
  /// `any`: put, lease and release, as far as all that the fault does can be done to them; a fault
  /// that alters grants meets leases only. So an effect has always been had once its fault has
  /// fired.
  FaultOperation operation = FaultOperation::any;
  /// Globs over the decoded names: `*` any run of bytes, `?` any one byte, all else itself. A
  /// release has neither bucket nor key of its own; it is matched by those of the object it
  /// releases. A connection has neither.
  std::string bucket = "*";
  std::string key = "*";
  /// Number of the connection, counted from 1 in the order of acceptance.
  std::optional<std::uint64_t> connection{};
  /// Of the requests that match all of the above, counted from 1: the n-th only, every n-th, or the
  /// first n. At most one of the three is given.
  std::optional<std::uint64_t> nth{};
  std::optional<std::uint64_t> every{};
  std::optional<std::uint64_t> first{};
  /// Chance of firing, in (0, 1], drawn from a generator of the fault's own, seeded with `seed`.
  /// The same requests in the same order meet the same fate.
  double probability = 1.0;
  std::uint64_t seed = 1;  ///< Of delays as well.

  bool operator==(const FaultMatch&) const = default;
};

/// No duration of a fault is longer.
inline constexpr std::chrono::milliseconds longest_fault = std::chrono::hours{24};

struct Delay {
  enum class Kind { fixed, uniform, lognormal };
  Kind kind = Kind::fixed;
  /// fixed: the delay. uniform: its lower end. lognormal: its median, above 0.
  std::chrono::milliseconds low{};
  /// uniform: its upper end, included.
  std::chrono::milliseconds high{};
  /// lognormal: the standard deviation of the delay's natural logarithm, in (0, 10]. Two of three
  /// delays lie between median / e^sigma and median * e^sigma; none is beyond longest_fault.
  double sigma = 0;

  bool operator==(const Delay&) const = default;
};

/// How the body of a grant lies. The lease itself is as it should be.
enum class GrantDefect {
  truncated_json,
  wrong_content_type,
  missing_id,
  missing_offsets,
  negative_offset,
  out_of_range_offset,  ///< Beyond the end of the segment.
  overlapping_fragments,
  oversized_total,  ///< Fragments within the segment that together are longer than it.
  zero_length_fragment,
  wrong_total,  ///< The lengths do not add up to the object's.
};

/// What happens to the segment or to the whole daemon when a request is met, before it is served.
enum class Incident {
  unlink_segment,    ///< The name goes; the daemon serves from the orphan.
  recreate_segment,  ///< A new segment under the same name, as after a restart, but nothing else.
  empty_segment,     ///< A new, empty file under the name; the real one comes back after `lasting`.
  change_mode,       ///< To `mode`.
  drop_objects,      ///< Every object and lease goes.
  restart,           ///< New segment, objects and leases gone, every connection cut.
};

/// How a request ends; one of the following. A new connection can be reset or never be served.

/// As always, whatever is done to the response.
struct Served {
  bool operator==(const Served&) const = default;
};
/// Not served: a response made by the fault is sent. Codes of success are there to be wrong: 201
/// for a PUT that stores nothing.
struct RespondWith {
  int status = 500;  ///< 200..599.
  /// Sent as application/json. Without it a body is made for 400 and above. None with 204 and 304.
  std::optional<std::string> body{};
  std::optional<std::chrono::seconds> retry_after{};  ///< From 0 to 24 h.

  bool operator==(const RespondWith&) const = default;
};
/// Served, then RST instead of a response.
struct ResetConnection {
  bool operator==(const ResetConnection&) const = default;
};
/// Served, but no response is sent.
struct NeverRespond {
  bool operator==(const NeverRespond&) const = default;
};
/// Of the body of a PUT so many bytes are read and then no more; no response is sent.
struct StopReading {
  std::uint64_t after = 0;

  bool operator==(const StopReading&) const = default;
};
/// Of the body of a PUT so many bytes are read, and then the connection is reset.
struct ResetReading {
  std::uint64_t after = 0;

  bool operator==(const ResetReading&) const = default;
};
using Ending =
    std::variant<Served, RespondWith, ResetConnection, NeverRespond, StopReading, ResetReading>;

/// What a fault does. Each field left at its default does nothing. validate_fault tells what cannot
/// be together. In JSON the ending is one of the members status (with body and retry_after), reset,
/// never_answer, stop_reading_after and reset_after.
struct Effects {
  /// Before the request is served; with operation put, lease or release.

  std::optional<Incident> incident{};
  std::chrono::milliseconds lasting{};  ///< empty_segment, which needs it.
  std::optional<unsigned> mode{};       ///< change_mode, which needs it; 0..0777.

  /// The response; with operation put, lease or release. With operation connect, delay and ending
  /// meet the new connection instead, before its first request is read.

  std::optional<Delay> delay{};
  Ending ending{};
  /// Of the response, its head included; then the connection is closed.
  std::optional<std::uint64_t> close_after_bytes{};
  /// Pause after each byte of the response; > 0.
  std::optional<std::chrono::milliseconds> dribble{};
  /// Of the body of a PUT and of any response; at least 1.
  std::optional<std::uint64_t> bytes_per_second{};

  /// A lease; with operation lease.

  std::optional<GrantDefect> grant_defect{};
  std::optional<std::chrono::milliseconds> real_ttl{};  ///< Instead of what was granted; > 0.
  bool forget_lease = false;       ///< The pin ends, and release knows nothing of it.
  bool evict_under_lease = false;  ///< The object goes, with all leases on it.
  /// The fragments of the leased object are overwritten with this stamp, again and again, when they
  /// are freed; and when the lease expires its object goes. Not empty.
  std::optional<std::string> poison{};
  std::optional<std::chrono::milliseconds> hold_longer{};  ///< Past timeout_ms; > 0.

  /// Connections, with operation connect and there alone.

  /// Closes the new connection at once, and fires only while more than this many are open, itself
  /// included: 0 closes every one.
  std::optional<std::uint32_t> connections_above{};
  /// Instead of closing; served once another connection closes. Without a limit, every one.
  bool leave_unaccepted = false;

  bool operator==(const Effects&) const = default;
};

struct Fault {
  /// Unique in a plan; "fault-N" with its place in the plan when empty. At most 100 bytes, no
  /// control characters.
  std::string name{};
  FaultMatch match{};
  /// One element: done each time the fault fires. Several: a script, one a time it fires, in order,
  /// and nothing any more after the last. An element without effect lets its request succeed, and
  /// is counted as the others are.
  std::vector<Effects> script{};

  bool operator==(const Fault&) const = default;
};

struct FaultCounts {
  /// Requests that met operation, names and connection, and that no earlier fault had taken.
  std::uint64_t matched = 0;
  std::uint64_t fired = 0;

  bool operator==(const FaultCounts&) const = default;
};

/// Refuses what is out of range or contradictory: "fault 'slow': match.probability
/// must be in (0, 1], not 2".
Result<void> validate_fault(const Fault& fault);

/// Reads valid faults from a JSON array of them, or from a scenario {"description": "why",
/// "faults": [...]}. A fault is an object:
///
///   {"name": "slow", "match": {"operation": "lease", "key": "model@*", "nth": 3},
///    "effects": {"delay": "250ms"}}
///
/// The members of `match` and `effects` are the fields of FaultMatch and Effects by their names;
/// what is left out has its default. Instead of "effects", "script" lists two or more of them.
/// Durations are strings such as "250ms" (see ms, s, min, h), modes octal strings such as "0600",
/// counts of bytes numbers. A delay is "250ms", {"low": "10ms", "high": "50ms"} for uniform, or
/// {"median": "20ms", "sigma": 0.5} for lognormal. Unknown and repeated members are errors:
/// "faults[2].match.buket is unknown; ...".
Result<std::vector<Fault>> faults_from_json(std::string_view text);
/// A scenario from a file of at most 1 MiB whose name ends in .json, .yaml or .yml. YAML is read as
/// the JSON it stands for: a plain scalar that is not a JSON number, boolean or null is a string.
/// Errors begin with the file's name.
Result<std::vector<Fault>> load_scenario(const std::string& file);
/// One fault as faults_from_json reads it, on one line, without what has its default, and with
/// "counts": {"matched": N, "fired": N} besides. Bytes that are not UTF-8 become U+FFFD.
std::string fault_to_json(const Fault& fault, const FaultCounts& counts);

/// What a fault is asked about.
struct FaultSubject {
  FaultOperation operation = FaultOperation::any;  ///< Never `any`.
  std::string_view bucket{};
  std::string_view key{};
  std::uint64_t connection = 0;
  std::uint64_t open_connections = 0;  ///< With operation connect, the new one included.
};

/// A fault that fired, for one request.
struct FiredFault {
  std::string name{};
  Effects effects;
  std::chrono::milliseconds delay{};  ///< Drawn from effects.delay.
};

/// The faults in force.
class FaultPlan {
 public:
  FaultPlan();
  ~FaultPlan();

  /// Adds at the end. The name must not be taken. Errors change nothing.
  Result<void> add(Fault fault);
  /// Adds all of them in order, or none.
  Result<void> add_all(std::vector<Fault> faults);
  /// Replaces the whole plan, counts included. Errors change nothing.
  Result<void> replace(std::vector<Fault> faults);
  /// False if there is no fault of this name.
  bool remove(std::string_view name);
  void clear();

  struct Listed {
    Fault fault;
    FaultCounts counts;
  };
  std::vector<Listed> list() const;
  /// Zero if there is no fault of this name.
  FaultCounts counts(std::string_view name) const;

  /// A load; what is being changed on another thread may be seen either way.
  bool empty() const { return !any_.load(std::memory_order_relaxed); }

  /// The fault that fires for this subject, if any. While the plan is empty it costs that load.
  std::optional<FiredFault> decide(const FaultSubject& subject);

 private:
  struct Armed;
  struct Plan;
  static Result<std::vector<std::unique_ptr<Armed>>> arm(std::vector<Fault> faults);

  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;
  std::unique_ptr<Plan> plan_;  // guarded by mutex_
};

}  // namespace hyperpod::emulator
