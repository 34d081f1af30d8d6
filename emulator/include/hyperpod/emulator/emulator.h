// SPDX-License-Identifier: Apache-2.0
// The emulator in-process: the same engine and data port that hyperpod-emulator runs.
//
//   auto emulator = hyperpod::emulator::Emulator::start(Options::for_test());
//   if (!emulator) FAIL() << emulator.error().message;
//   use(emulator->url(), emulator->shm_name());
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/faults.h"
#include "hyperpod/emulator/journal.h"
#include "hyperpod/emulator/options.h"
#include "hyperpod/emulator/state.h"
#include "hyperpod/emulator/statistics.h"

namespace hyperpod::emulator {

/// A running daemon: its segment, its data port and its threads. Move-only. Except for move and
/// destruction, which need exclusive access, every member may be called from any thread.
///
/// In a child of fork() the emulator goes on in the parent alone. The child may exit, and move and
/// destroy its copy, which returns at once and touches neither sockets nor threads nor the segment;
/// stop() does nothing there, and other members must not be called.
class Emulator {
 public:
  /// Creates the segment, binds the port and serves. On return, connections are accepted. On error
  /// nothing is left behind: no segment, no thread, no descriptor.
  static Result<Emulator> start(Options options);

  Emulator(Emulator&&) noexcept;
  Emulator& operator=(Emulator&&) noexcept;
  ~Emulator();  ///< Calls stop().

  /// Where to send requests, e.g. "http://127.0.0.1:43210". For a wildcard listen address this
  /// names the loopback address of the same family.
  const std::string& url() const;
  /// Where the admin port is, "http://127.0.0.1:9201"; empty if there is none.
  const std::string& admin_url() const;
  std::uint16_t port() const;
  const std::string& shm_name() const;
  std::uint64_t capacity() const;

  Statistics statistics() const;
  State state() const;
  /// Objects and leases a page at a time, at most 1,024 on each, which holds nobody up. `cursor` is
  /// 0 at first, then the former page's `next`.
  ObjectPage objects(std::uint64_t cursor = 0, std::size_t most = 1024) const;
  LeasePage leases(std::uint64_t cursor = 0, std::size_t most = 1024) const;
  SegmentState segment() const;

  /// The faults in force; changes hold for the next request.
  FaultPlan& faults();
  /// Every request so far.
  Journal& journal();
  /// Does at once what a fault's incident would do. Of `effects` only the incident's fields count.
  /// Errors: invalid_option (no incident, or fields that do not go with it), closed (after stop()),
  /// segment_unusable (no memory for a new segment; nothing has changed).
  Result<void> cause(const Effects& effects);
  /// Back to empty, as far as selected. Connections stay.
  void reset(const ResetSelection& selection = {});

  /// Stops accepting, answers what is in flight (waiting lease requests are answered as misses),
  /// closes every connection and removes the segment if it is still the one created. Idempotent.
  void stop();

 private:
  class Impl;
  explicit Emulator(std::unique_ptr<Impl> impl);
  void end();
  std::unique_ptr<Impl> impl_;
};

}  // namespace hyperpod::emulator
