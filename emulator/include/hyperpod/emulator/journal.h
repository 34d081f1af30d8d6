// SPDX-License-Identifier: Apache-2.0
// The journal: every request and how it went.
//
// Thread-safe. Memory is bounded: the newest entries are kept and the rest counted; the totals stay
// right whatever is dropped. A request is recorded before the last of its response is sent, so
// whoever has a response finds its request here. Once the journal is full, record() allocates next
// to nothing except for a connection, a bucket, a status or a thread not seen before, and for a
// name of many KiB. What it keeps of credentials, and what it does not find: see JournalHeads.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <iosfwd>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hyperpod/emulator/clock.h"
#include "hyperpod/emulator/state.h"

namespace hyperpod::emulator {

/// `other`: a target that the data port does not have. `unreadable`: no request that could be
/// understood.
enum class JournalOperation {
  put,
  lease,
  release,
  checkpoint_put,        ///< A shard is stored. Its bucket is the namespace, its key "RANK/STEP".
  checkpoint_get,        ///< A shard, or the latest steps.
  checkpoint_delete,     ///< A shard goes.
  checkpoint_namespace,  ///< A namespace is created, shown or deleted, or the cluster reset.
  other,
  unreadable
};
inline constexpr std::array all_journal_operations{JournalOperation::put,
                                                   JournalOperation::lease,
                                                   JournalOperation::release,
                                                   JournalOperation::checkpoint_put,
                                                   JournalOperation::checkpoint_get,
                                                   JournalOperation::checkpoint_delete,
                                                   JournalOperation::checkpoint_namespace,
                                                   JournalOperation::other,
                                                   JournalOperation::unreadable};
/// As in JSON: "put".
std::string_view name_of(JournalOperation operation);

/// How the connection stood once the request was done with.
enum class ConnectionEnd {
  kept,
  closed_by_us,  ///< By a time limit or a restart, too.
  closed_by_peer,
  reset_by_fault,
};
std::string_view name_of(ConnectionEnd end);

/// Of each text at most 64 KiB are kept.
struct JournalEntry {
  std::uint64_t sequence = 0;  ///< From 1, in the order in which requests ended; never used twice.
  TimePoint at;                ///< When the head was complete, by the emulator's clock.
  std::chrono::system_clock::time_point time;  ///< The same, by the machine's, or when its response
                                               ///< was ready if it was served in one go.
  std::uint64_t connection = 0;                ///< From 1, in the order of acceptance.
  std::string peer;                            ///< "127.0.0.1:43210"
  JournalOperation operation = JournalOperation::other;
  std::string bucket;
  std::string key;
  std::string lease_id;         ///< Granted, or to be released.
  int status = 0;               ///< 0: no response was sent.
  std::uint64_t bytes_in = 0;   ///< Of the body.
  std::uint64_t bytes_out = 0;  ///< Of the response, its head included.
  Duration held{};              ///< Waiting for the key.
  Duration served{};            ///< From head to response, the wait included.
  /// Requests under way when this one began, itself included, and without those that another thread
  /// served in one go at that moment.
  std::uint64_t in_flight = 0;
  std::string fault;  ///< Name of the fault that hit it.
  ConnectionEnd end = ConnectionEnd::kept;
};

/// What stood on the wire before the bodies, line ends included. Each is cut after
/// Journal::longest_head bytes, and says so in a last line. "[redacted]" stands for
/// - the value of a field whose name contains auth, cookie, credential, key, passw, secret,
///   session, signature or token, in any case, folded or broken by a carriage return, too; a line
///   without a colon that contains such a word goes whole;
/// - the value of a parameter of such a name, percent-encoded or not, behind the '?' or '#' of the
///   target or of a URL in a field, where '&' and ';' separate parameters;
/// - user name and password in front of the host of such a URL;
/// - on a first line that is not a request line, all from the first such word on.
/// Nothing else is looked for: a credential in a path, in a value of another name, or in a host is
/// shown as it came.
struct JournalHeads {
  std::string request;   ///< Of a request that could not be understood: what came.
  std::string response;  ///< Empty where no response was sent.
};

/// One JSON object without a line break. Times are whole microseconds; what is not UTF-8 in a name
/// is replaced.
std::string entry_to_json(const JournalEntry& entry);

/// All that is given must hold.
struct JournalFilter {
  std::optional<JournalOperation> operation{};
  std::optional<std::string> bucket{};
  std::optional<std::string> key{};
  std::optional<std::uint64_t> connection{};
  std::optional<int> status{};
  std::optional<std::string> fault{};
  std::uint64_t after_sequence = 0;  ///< Only later entries.

  bool accepts(const JournalEntry& entry) const;
};

/// Leases are counted where they were asked for, whoever or whatever ended them:
/// leases_granted = leases_released + leases_expired + leases_dropped + leases_live holds unless
/// leases were live at a clear().
struct JournalTotals {
  std::uint64_t requests = 0;
  std::uint64_t puts = 0;
  std::uint64_t leases = 0;  ///< Asked for.
  std::uint64_t leases_granted = 0;
  std::uint64_t leases_released = 0;
  std::uint64_t leases_expired = 0;
  std::uint64_t leases_dropped = 0;  ///< Ended by a fault or a reset.
  std::uint64_t leases_live = 0;
  std::uint64_t leases_abandoned = 0;  ///< Their grant never reached the peer.
  std::uint64_t releases = 0;
  /// Answered with 500 or above, or not at all. A miss is not an error.
  std::uint64_t errors = 0;
  std::uint64_t faults = 0;  ///< Requests that a fault hit.
  std::uint64_t bytes_in = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t peak_in_flight = 0;  ///< The greatest JournalEntry::in_flight.

  bool operator==(const JournalTotals&) const = default;
};

/// How many durations fell into each of a fixed set of ranges.
struct Histogram {
  /// The greatest duration of each range but the last, which has no bound.
  static constexpr std::array<Duration, 18> bounds{
      std::chrono::microseconds{50},   std::chrono::microseconds{100},
      std::chrono::microseconds{250},  std::chrono::microseconds{500},
      std::chrono::milliseconds{1},    std::chrono::microseconds{2500},
      std::chrono::milliseconds{5},    std::chrono::milliseconds{10},
      std::chrono::milliseconds{25},   std::chrono::milliseconds{50},
      std::chrono::milliseconds{100},  std::chrono::milliseconds{250},
      std::chrono::milliseconds{500},  std::chrono::seconds{1},
      std::chrono::milliseconds{2500}, std::chrono::seconds{5},
      std::chrono::seconds{10},        std::chrono::seconds{30}};

  std::array<std::uint64_t, bounds.size() + 1> counts{};
  std::uint64_t count = 0;
  Duration sum{};

  void add(Duration value);
};

/// A connection from its acceptance on.
struct ConnectionLife {
  std::uint64_t connection = 0;  ///< From 1, in the order of acceptance.
  std::string peer;              ///< "127.0.0.1:43210"
  TimePoint opened;
  std::optional<TimePoint> closed;  ///< None: it is open.
};

struct OperationTotals {
  std::map<int, std::uint64_t> by_status;  ///< 0: no response was sent.
  Histogram served;                        ///< Of every request.
  Histogram held;                          ///< Of those that waited for their key.
};

class Journal {
 public:
  /// Connections and buckets with totals of their own.
  static constexpr std::size_t connections_kept = 4096;
  static constexpr std::size_t buckets_kept = 1024;
  static constexpr std::size_t longest_bucket_kept = 255;
  static constexpr std::size_t longest_text = 64 * 1024;
  static constexpr std::size_t longest_head = 1024;

  /// Keeps at most `capacity` entries, in about 400 bytes each; where names are long, fewer.
  /// Threads record in up to sixteen places, each of which keeps its newest heads besides, in 512
  /// bytes an entry and at most 128 KiB. 0 keeps totals only. A lease request answered with
  /// `miss_status` is a miss, not an error.
  explicit Journal(std::size_t capacity, int miss_status = 504);
  ~Journal();

  /// Appends; `entry.sequence` is set here. Entries beyond the capacity push out the oldest.
  /// The heads are kept as long as there is room for them, which entries never give way for.
  /// An entry whose `time` is not set gets that of its recording.
  /// `changes` are what the request did to leases, and are counted as by count().
  void record(const JournalEntry& entry, std::string_view request_head = {},
              std::string_view response_head = {}, std::span<const LeaseChange> changes = {});
  /// Counts in the totals, and nowhere else.
  void count(const LeaseChange& change);

  /// A connection begins. Numbers grow; one that a fault turns away is not reported.
  void connection_opened(std::uint64_t connection, const std::string& peer, TimePoint at);
  void connection_closed(std::uint64_t connection, TimePoint at);

  /// The first `most` entries that are kept and that the filter accepts, oldest first. Does not
  /// hold up record() for long: what is recorded or dropped meanwhile may be missing.
  std::vector<JournalEntry> entries(
      const JournalFilter& filter = {},
      std::size_t most = std::numeric_limits<std::size_t>::max()) const;

  /// The last `most` entries that are kept and that the filter accepts, oldest first. As entries().
  std::vector<JournalEntry> newest(const JournalFilter& filter, std::size_t most) const;

  /// Nothing where the entry, or its heads, are not kept.
  std::optional<JournalHeads> heads(std::uint64_t sequence) const;

  /// 0 before the first entry.
  std::uint64_t last_sequence() const;

  // Since the start, or the last clear().
  std::uint64_t recorded() const;
  std::uint64_t dropped() const;  ///< Part of recorded(): no longer among the entries.
  JournalTotals totals() const;
  /// The newest 4,096 connections; all older ones together stand under 0.
  std::map<std::uint64_t, JournalTotals> totals_by_connection() const;
  /// The newest 4,096 connections that have served or may serve requests, in order.
  std::vector<ConnectionLife> connections() const;
  /// The first 1,024 buckets. Under the empty name stand together: requests without a bucket, later
  /// buckets, and those with names of more than 255 bytes.
  std::map<std::string, JournalTotals> totals_by_bucket() const;
  /// Operations that occurred.
  std::map<JournalOperation, OperationTotals> totals_by_operation() const;

  /// Waits, in real time, until `condition` holds or `deadline` has passed; returns whether it
  /// holds. It is tried at once and after each change of the journal, on this thread, and may call
  /// any member.
  bool wait_until(const std::function<bool(const Journal&)>& condition,
                  std::chrono::steady_clock::time_point deadline) const;

  /// Calls `changed` after each change of the journal, on the thread that made it and with no lock
  /// of the journal held; it must be quick, and must not throw. Replaces the one before, which is
  /// not called any more when this returns. Null: nobody. Must not be called by `changed`.
  void observe(std::function<void()> changed);

  /// Each entry that the filter accepts, as entry_to_json, on a line of its own.
  void write_json_lines(std::ostream& out, const JournalFilter& filter = {}) const;

  /// Forgets entries, totals except those of live leases, and closed connections. Sequences go on.
  void clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace hyperpod::emulator
