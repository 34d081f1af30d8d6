// SPDX-License-Identifier: Apache-2.0
// Stores an object, leases it, reads it where the lease says, and releases it: as an engine would,
// with the client that an engine would use.
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include <algorithm>
#include <random>

#include "cli/doctor/checks.h"
#include "cli/doctor/unique_key.h"
#include "hyperpod/client/client.h"

namespace hyperpod::client::cli::doctor {
namespace {

class NoLog final : public base::LogSink {
  bool enabled(base::LogLevel) const noexcept override { return false; }
  void write(base::LogLevel, std::string_view) noexcept override {}
};

using SteadyClock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

constexpr std::size_t object_bytes = 4096;
// Granted at once if the object is there; a daemon may need a moment to publish it.
constexpr std::chrono::milliseconds lookup_wait{500};

constexpr const char* not_the_daemons =
    "the segment is another daemon's, or of one that has been restarted since: correct "
    "sagemaker_hyperpod_shared_memory_name, or restart this container if the segment is mounted "
    "into it or its neighbour, the daemon's, was restarted alone (`docker compose restart`)";

std::vector<std::byte> random_object() {
  std::vector<std::byte> bytes(object_bytes);
  std::mt19937_64 random(std::random_device{}());
  std::ranges::generate(bytes, [&] { return static_cast<std::byte>(random()); });
  return bytes;
}

bool holds(const Lease& lease, std::span<const std::byte> expected) {
  if (lease.size() != expected.size()) return false;
  for (const auto fragment : lease.fragments()) {
    if (!std::ranges::equal(fragment, expected.first(fragment.size()))) return false;
    expected = expected.subspan(fragment.size());
  }
  return true;
}

class RoundTrip {
 public:
  RoundTrip(const Machine& machine, const ClientOptions& options, const DaemonAddress& daemon,
            const SegmentLook& look, Report& report)
      : machine_(machine), daemon_(daemon), look_(look), report_(report), options_(options) {
    options_.remote_url = fmt::format("{}://{}{}", daemon.https ? "https" : "http",
                                      daemon.authority(), daemon.path_prefix);
    options_.shared_memory_name = look.identity ? daemon.segment : std::nullopt;
    options_.timeout = std::min(options.timeout, machine.patience.call);
    options_.logger = std::make_shared<NoLog>();
  }

  void run() {
    auto client = Client::create(options_);
    if (!client) {
      report_.problem("config-unusable", client.error().message, "correct it");
      return;
    }
    if (!store(*client)) return;
    const bool passed = look_.identity ? read(*client) : look_up(*client);
    client->close();
    if (!passed) return;
    report_.ok("round-trip",
               fmt::format("{}{}; the object stays until it is evicted, for the protocol has no "
                           "delete: {}",
                           fmt::join(times_, ", "),
                           look_.identity ? "" : ", and not read, for want of a segment", key_),
               details());
    if (slowest_ > machine_.patience.slow) {
      report_.warning(
          "round-trip-slow",
          fmt::format("the slowest of these calls took {:.1f} ms; an engine makes three "
                      "for each chunk",
                      Milliseconds(slowest_).count()),
          "is the daemon on this node (NODE_IP), and is the node overloaded?", details());
    }
  }

 private:
  nlohmann::json details() const { return {{"key", key_}, {"bytes", object_bytes}, {"ms", took_}}; }

  template <class Call>
  auto timed(const char* what, const Call& call) {
    const auto start = SteadyClock::now();
    auto outcome = call();
    const auto taken = SteadyClock::now() - start;
    slowest_ = std::max<std::chrono::nanoseconds>(slowest_, taken);
    took_[what] = Milliseconds(taken).count();
    times_.push_back(fmt::format("{} in {:.2f} ms", what, Milliseconds(taken).count()));
    return outcome;
  }

  // Tells a failure, of which the client's words are part; false.
  bool fail(const char* id, std::string text, std::string remedy) {
    report_.problem(id, std::move(text), std::move(remedy), details());
    return false;
  }

  bool store(Client& client) {
    const auto stored = timed("stored", [&] { return client.put(key_, object_); });
    if (stored && *stored == PutOutcome::stored) return true;
    if (stored) {
      return fail("store-refused", fmt::format("it says that {} is stored already", key_),
                  "it is not such a daemon, or it has a defect");
    }
    const Error& error = stored.error();
    if (error.status == 0) {
      return fail("store-failed", error.message, "look into the daemon's log");
    }
    constexpr int no_room = 507;
    return fail("store-refused", error.message,
                error.status == no_room
                    ? "leases pin all that it holds, or its capacity is too small: "
                      "look for clients that do not release"
                    : "is it the daemon's port (9200), and may this bucket be written?");
  }

  // Without a segment the daemon can be asked all the same.
  bool look_up(Client& client) {
    const auto found =
        timed("leased and released", [&] { return client.exists(key_, {.wait = lookup_wait}); });
    if (!found) return fail("lease-failed", found.error().message, "look into the daemon's log");
    return *found || lost();
  }

  bool read(Client& client) {
    auto leased = timed("leased", [&] { return client.acquire(key_, {.wait = lookup_wait}); });
    if (was_replaced()) return replaced();
    if (!leased) {
      return fail("lease-failed", leased.error().message,
                  leased.error().code == ErrorCode::malformed_response
                      ? not_the_daemons
                      : "look into the daemon's log");
    }
    if (!*leased) return lost();
    Lease lease = **std::move(leased);
    const bool right = timed("read", [&] { return holds(lease, object_); });
    const bool valid = lease.is_valid();
    const auto released = timed("released", [&] { return lease.release(); });
    bool passed = true;
    if (was_replaced()) {
      passed = replaced();
    } else if (!valid) {
      passed = fail("lease-expired", "the lease ended before the bytes had been read",
                    fmt::format("raise sagemaker_hyperpod_lease_ttl_s; it is {} s",
                                std::chrono::duration<double>(options_.lease_ttl).count()));
    } else if (!right) {
      passed = fail("segment-foreign",
                    fmt::format("the lease does not lead to the bytes that were stored, but to "
                                "others in {}",
                                *daemon_.segment),
                    not_the_daemons);
    }
    if (!released) {
      passed =
          fail("release-failed", released.error().message,
               "look into the daemon's log; unreleased leases pin memory until their TTL ends");
    }
    return passed;
  }

  bool lost() {
    return fail("lookup-missed", fmt::format("{} was stored and cannot be found", key_),
                "several daemons answer at this address, or it evicts what it has just stored");
  }

  bool was_replaced() const {
    struct stat status {};
    const std::string path = "/dev/shm/" + *daemon_.segment;
    return stat(path.c_str(), &status) != 0 ||
           memory::SegmentIdentity{status.st_dev, status.st_ino} != *look_.identity;
  }

  bool replaced() {
    return fail("segment-replaced",
                fmt::format("the segment {} was replaced or removed while it was looked at",
                            *daemon_.segment),
                "the daemon was restarted just now, or restarts over and over: "
                "`kubectl -n aws-hyperpod get pods` shows it; then try again");
  }

  const Machine& machine_;
  const DaemonAddress& daemon_;
  const SegmentLook& look_;
  Report& report_;
  ClientOptions options_;
  const std::string key_ = unique_key("object");
  const std::vector<std::byte> object_ = random_object();
  std::vector<std::string> times_;
  nlohmann::json took_ = nlohmann::json::object();
  std::chrono::nanoseconds slowest_{0};
};

}  // namespace

void check_round_trip(const Machine& machine, const ClientOptions& options,
                      const DaemonAddress& daemon, const SegmentLook& look, Report& report) {
  RoundTrip(machine, options, daemon, look, report).run();
}

}  // namespace hyperpod::client::cli::doctor
