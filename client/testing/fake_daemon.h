// SPDX-License-Identifier: Apache-2.0
// A daemon whose every answer a test decides, with a segment of its own: for what no honest daemon
// does. Honest behaviour is tested against the emulator.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "hyperpod/client/client.h"
#include "testing/scripted_server.h"
#include "testing/test_segment.h"

namespace hyperpod::client::testing {

/// Whether a child made by fork() may start threads, which ThreadSanitizer does not bear.
#ifdef __SANITIZE_THREAD__
inline constexpr bool child_may_start_threads = false;
#else
inline constexpr bool child_may_start_threads = true;
#endif

class FakeDaemon {
 public:
  /// What to answer; nullopt closes the connection instead.
  using Handler = std::function<std::optional<std::string>(const SeenRequest&)>;

  static constexpr std::uint64_t segment_size = 64 * 1024;

  explicit FakeDaemon(const std::string& segment_name = TestSegment::unique_name("daemon"));

  /// Leases are answered so; the default is a miss.
  void on_lease(Handler handler);
  /// Every lease is granted so, with this id.
  void grant(std::string_view id,
             std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> offsets_and_lengths);
  /// Releases are answered so; the default is 200.
  void on_release(Handler handler);
  /// Puts are answered so; the default is 200.
  void on_put(Handler handler);

  std::string url() const { return server_.url(); }
  int connections() const { return server_.connections(); }
  const std::string& segment_name() const { return segment_name_; }
  TestSegment& segment() { return *segment_; }
  /// A new, empty segment takes the place of the one before, as when a daemon restarts.
  void replace_segment();
  void unlink_segment();

  std::vector<SeenRequest> requests() const;
  /// The ids released so far, in order.
  std::vector<std::string> released() const;
  /// The most requests that were in the daemon's hands at once.
  int most_at_once() const;

  void stop() { server_.stop(); }

 private:
  void serve(Conversation& conversation);
  std::optional<std::string> handle(const SeenRequest& request);

  const std::string segment_name_;
  std::unique_ptr<TestSegment> segment_;
  mutable std::mutex mutex_;  // guards what follows
  Handler on_lease_;
  Handler on_release_;
  Handler on_put_;
  std::vector<SeenRequest> requests_;
  int at_once_ = 0;
  int most_at_once_ = 0;
  ScriptedServer server_;
};

/// A logger that logs nothing.
std::shared_ptr<base::LogSink> quiet_logger();

/// Options for a client of that daemon: a second's timeout, nothing logged.
ClientOptions options_for(const FakeDaemon& daemon);

/// Waits until every lease that `client` was granted is released, or lost; false if that does not
/// come.
bool settles(const Client& client);

/// A client, or the test ends.
Client make_client(ClientOptions options);

std::span<const std::byte> bytes_of(std::string_view text);
std::string text_of(std::span<const std::byte> bytes);

}  // namespace hyperpod::client::testing
