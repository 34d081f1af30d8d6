// SPDX-License-Identifier: Apache-2.0
// Daemons with one known defect each, made from the emulator in this process, its switches and a
// mutating proxy. They exist so that the suite can be seen to fail.
//
// A DefectiveDaemon is used by one run at a time; its direct access is used by the proxy's thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/suite.h"
#include "hyperpod/emulator/emulator.h"
#include "proxy/mutating_proxy.h"

namespace hyperpod::conformance::defects {

/// What a mutation may use besides the messages that it sees: the daemon behind the proxy and its
/// segment, both without the daemon's knowledge.
class DirectAccess {
 public:
  /// Asks the daemon over a connection of its own and waits; nullopt if it does not answer.
  std::optional<Response> ask(const std::string& method, const std::string& target);
  /// Acquires a lease on the object and keeps it; its id, "" if there is none.
  std::string pin(const std::string& object);
  void release(const std::string& lease_id);
  /// The segment, writable; empty if it cannot be had.
  std::span<char> segment();
  const std::string& shm_name() const { return shm_name_; }
  void later(std::chrono::milliseconds delay, std::function<void()> action);

  ~DirectAccess();

 private:
  friend class DefectiveDaemon;

  std::uint16_t port_ = 0;
  std::string shm_name_;
  std::span<char> segment_;
  MutatingProxy* proxy_ = nullptr;
};

/// The id of the lease that the emulator grants so.
std::string id_of(const ResponseMessage& grant);

/// How a defective daemon is built. As it comes, it is correct.
struct DaemonSetup {
  emulator::Options options;
  std::optional<Mutation> mutation;  ///< With one, a proxy stands in front.
  std::shared_ptr<DirectAccess> direct;
  std::string host = "127.0.0.1";         ///< In the URL that the suite is given.
  std::uint64_t told_capacity = 0;        ///< What the suite is told, if not the truth.
  bool restarts = true;                   ///< False: a restart does nothing at all.
  std::optional<Mutation> after_restart;  ///< In its place from the first restart on.
};

struct Defect {
  std::string_view name;               ///< As "answers_201".
  std::string_view what;               ///< What the daemon does wrong, one sentence.
  std::vector<std::string_view> aims;  ///< The requirements that must catch it.
  std::function<void(DaemonSetup&)> configure;
  std::vector<std::string_view> beside = {};  ///< Without whose checks it does nothing wrong.
};

class DefectiveDaemon {
 public:
  /// Starts on free ports with a segment of its own, which it removes.
  static Result<std::unique_ptr<DefectiveDaemon>> start(
      const std::function<void(DaemonSetup&)>& configure);

  DefectiveDaemon(const DefectiveDaemon&) = delete;
  DefectiveDaemon& operator=(const DefectiveDaemon&) = delete;
  ~DefectiveDaemon();

  /// How the suite is to reach it, its restart included.
  daemon::Target target();

 private:
  explicit DefectiveDaemon(DaemonSetup setup) : setup_(std::move(setup)) {}
  Result<void> start_emulator();
  Result<void> restart();

  DaemonSetup setup_;
  std::optional<emulator::Emulator> emulator_;
  std::unique_ptr<MutatingProxy> proxy_;
  std::string tls_directory_;
};

/// All defects, by chapter.
std::span<const Defect> all_defects();

// The tables that all_defects() joins.
std::vector<Defect> store_defects();
std::vector<Defect> key_defects();
std::vector<Defect> lease_defects();
std::vector<Defect> memory_defects();
std::vector<Defect> http_defects();
std::vector<Defect> checkpoint_defects();

}  // namespace hyperpod::conformance::defects
