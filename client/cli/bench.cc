// SPDX-License-Identifier: Apache-2.0
#include "bench.h"

#include <signal.h>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <mutex>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <system_error>
#include <thread>
#include <vector>

#include "bench_report.h"
#include "commands.h"
#include "exit_code.h"
#include "hyperpod/base/terminal.h"
#include "hyperpod/base/text.h"
#include "hyperpod/base/unique_name.h"
#include "hyperpod/client/client.h"
#include "latency_histogram.h"
#include "limits_in_force.h"
#include "output.h"

namespace hyperpod::client::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

std::atomic<bool> interrupted{false};

void interrupt(int) { interrupted = true; }

// Bytes that tell the key and the place they belong to.
class Pattern {
 public:
  explicit Pattern(std::string_view key) {
    for (char c : key) seed_ = mix(seed_ ^ static_cast<unsigned char>(c));
  }

  void write(std::span<std::byte> out) const {
    for (std::size_t i = 0; i < out.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = mix(seed_ + i);
      std::memcpy(out.data() + i, &word, std::min(sizeof(word), out.size() - i));
    }
  }

  bool matches(std::span<const std::byte> bytes) const {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t word = mix(seed_ + i);
      if (std::memcmp(bytes.data() + i, &word, std::min(sizeof(word), bytes.size() - i)) != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  static std::uint64_t mix(std::uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  std::uint64_t seed_ = 0x9e3779b97f4a7c15;
};

struct Tally {
  LatencyHistogram hits;
  LatencyHistogram misses;
  LatencyHistogram puts;
  std::uint64_t errors = 0;
  std::uint64_t wrong = 0;
  std::string last_error;

  void add(const Tally& other) {
    hits.add(other.hits);
    misses.add(other.misses);
    puts.add(other.puts);
    errors += other.errors;
    wrong += other.wrong;
    if (!other.last_error.empty()) last_error = other.last_error;
  }
};

// A client that knows its daemon to be away fails at once: without a pause that takes a whole core.
void count_failure(const Error& error, Tally& tally) {
  constexpr std::chrono::milliseconds pause{10};
  ++tally.errors;
  tally.last_error = error.message;
  std::this_thread::sleep_for(pause);
}

class Bench {
 public:
  Bench(const ClientOptions& options, const BenchCommand& command)
      : options_(options), command_(command) {}

  int run();

 private:
  void work(Client& client, unsigned number);
  void put(Client& client, const std::string& key, std::vector<std::byte>& buffer, Tally& tally);
  void get(Client& client, const std::string& key, std::vector<std::byte>& buffer, Tally& tally);
  void show_progress(SteadyClock::time_point start);
  nlohmann::json report(SteadyClock::duration taken) const;
  void print_table(const nlohmann::json& figures) const;
  std::vector<LatencySeries> series() const;

  const ClientOptions& options_;
  const BenchCommand& command_;
  const std::string run_ = base::unique_name("");  // in keys that no other run stores
  // Of keys that are read, and that runs which store the same bytes may have stored.
  const std::string read_prefix_ = fmt::format("{}-{}{}", command_.prefix, command_.object_bytes,
                                               command_.verify ? "-verified" : "");
  std::vector<Client> clients_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> no_memory_{false};
  std::atomic<std::uint64_t> operations_{0};
  std::mutex mutex_;  // guards total_
  Tally total_;
};

void Bench::put(Client& client, const std::string& key, std::vector<std::byte>& buffer,
                Tally& tally) {
  if (command_.verify) Pattern(key).write(buffer);
  const auto start = SteadyClock::now();
  const auto outcome = client.put(key, buffer);
  if (outcome) {
    tally.puts.add(SteadyClock::now() - start);
  } else {
    count_failure(outcome.error(), tally);
  }
}

void Bench::get(Client& client, const std::string& key, std::vector<std::byte>& buffer,
                Tally& tally) {
  const auto start = SteadyClock::now();
  const auto outcome = client.get(key, buffer, {.wait = std::chrono::milliseconds{0}});
  const auto taken = SteadyClock::now() - start;
  if (!outcome) {
    count_failure(outcome.error(), tally);
  } else if (outcome->is_hit()) {
    tally.hits.add(taken);
    if (outcome->size != buffer.size() || (command_.verify && !Pattern(key).matches(buffer))) {
      ++tally.wrong;
    }
  } else if (outcome->status == GetStatus::lease_expired) {
    count_failure({ErrorCode::timed_out, expired_lease(key)}, tally);
  } else {
    tally.misses.add(taken);
    put(client, key, buffer, tally);
  }
}

void Bench::work(Client& client, unsigned number) try {
  Tally tally;
  std::vector<std::byte> buffer(command_.object_bytes, std::byte{0x5a});
  std::mt19937_64 random(number);
  std::uniform_real_distribution<double> share(0, 1);
  for (std::uint64_t i = 0; !stopping_; ++i) {
    if (share(random) < command_.read_share) {
      get(client, fmt::format("{}-{}", read_prefix_, random() % command_.keys), buffer, tally);
    } else {
      put(client, fmt::format("{}-{}-{}-{}", command_.prefix, run_, number, i), buffer, tally);
    }
    ++operations_;
  }
  std::lock_guard lock(mutex_);
  total_.add(tally);
} catch (const std::bad_alloc&) {
  no_memory_ = true;
}

void Bench::show_progress(SteadyClock::time_point start) {
  constexpr std::chrono::milliseconds step{200};
  const bool on_terminal = base::is_terminal(STDERR_FILENO);
  const auto end = start + command_.duration;
  while (!interrupted && !no_memory_ && SteadyClock::now() < end) {
    std::this_thread::sleep_for(std::min<SteadyClock::duration>(step, end - SteadyClock::now()));
    if (!on_terminal) continue;
    const double seconds = std::chrono::duration<double>(SteadyClock::now() - start).count();
    const double whole = std::chrono::duration<double>(command_.duration).count();
    fmt::print(stderr, "\r{:5.1f} s, {:.1f} s left: {} operations, {:.0f}/s \x1b[K", seconds,
               std::max(whole - seconds, 0.0), operations_.load(),
               static_cast<double>(operations_) / seconds);
  }
  if (on_terminal) fmt::print(stderr, "\r\x1b[K");
}

nlohmann::json Bench::report(SteadyClock::duration taken) const {
  const double seconds = std::chrono::duration<double>(taken).count();
  const auto row = [&](const LatencyHistogram& histogram, bool moves_bytes) {
    const double per_second = static_cast<double>(histogram.count()) / seconds;
    const auto microseconds = [](std::chrono::nanoseconds t) {
      return std::chrono::duration<double, std::micro>(t).count();
    };
    nlohmann::json json = {{"count", histogram.count()},
                           {"per_second", per_second},
                           {"p50_us", microseconds(histogram.quantile(0.5))},
                           {"p99_us", microseconds(histogram.quantile(0.99))},
                           {"max_us", microseconds(histogram.longest())}};
    if (moves_bytes) {
      json["mib_per_second"] = per_second * static_cast<double>(command_.object_bytes) / (1 << 20);
    }
    return json;
  };
  std::uint64_t peak_connections = 0;
  std::uint64_t peak_in_flight = 0;
  std::uint64_t releases_failed = 0;
  for (const Client& client : clients_) {
    const Statistics statistics = client.statistics();
    peak_connections += statistics.peak_connections_open;
    peak_in_flight += statistics.peak_requests_in_flight;
    releases_failed += statistics.lease_release_failed;
  }
  return {{"seconds", seconds},
          {"workers", command_.workers},
          {"threads", command_.threads},
          {"object_bytes", command_.object_bytes},
          {"read_share", command_.read_share},
          {"get_hit", row(total_.hits, true)},
          {"get_miss", row(total_.misses, false)},
          {"put", row(total_.puts, true)},
          {"errors", total_.errors},
          {"wrong", total_.wrong},
          {"releases_failed", releases_failed},
          {"peak_connections", peak_connections},
          {"peak_requests_in_flight", peak_in_flight}};
}

void Bench::print_table(const nlohmann::json& figures) const {
  fmt::print(stderr, "{:<10}{:>12}{:>12}{:>12}{:>12}{:>12}{:>12}\n", "", "count", "per s", "MiB/s",
             "p50 us", "p99 us", "max us");
  for (const char* name : {"get_hit", "get_miss", "put"}) {
    const auto& row = figures.at(name);
    const auto rate = row.find("mib_per_second");
    fmt::print(stderr, "{:<10}{:>12}{:>12.0f}{:>12}{:>12.0f}{:>12.0f}{:>12.0f}\n", name,
               row.at("count").get<std::uint64_t>(), row.at("per_second").get<double>(),
               rate == row.end() ? "" : fmt::format("{:.0f}", rate->get<double>()),
               row.at("p50_us").get<double>(), row.at("p99_us").get<double>(),
               row.at("max_us").get<double>());
  }
  if (total_.errors > 0) {
    fmt::print(stderr, "{} errors, the last: {}\n", total_.errors,
               base::printable(total_.last_error));
  }
  if (total_.wrong > 0) fmt::print(stderr, "{} READS OF WRONG BYTES\n", total_.wrong);
}

std::vector<LatencySeries> Bench::series() const {
  return {{"get_hit", total_.hits}, {"get_miss", total_.misses}, {"put", total_.puts}};
}

int Bench::run() {
  // A page that cannot be written is said before the run.
  std::ofstream page;
  if (!command_.html.empty()) {
    page.open(command_.html);
    if (!page) {
      return fail({ErrorCode::invalid_argument, fmt::format("the page {} cannot be written: {}",
                                                            command_.html, std::strerror(errno))});
    }
  }
  for (unsigned worker = 0; worker < command_.workers; ++worker) {
    auto client = Client::create(options_);
    if (!client) return fail(client.error());
    clients_.push_back(*std::move(client));
  }
  signal(SIGINT, interrupt);
  signal(SIGTERM, interrupt);
  std::vector<std::thread> threads;
  const unsigned wanted = command_.workers * command_.threads;
  const auto start = SteadyClock::now();
  std::optional<std::string> no_thread;
  try {
    for (unsigned i = 0; i < wanted; ++i) {
      threads.emplace_back([this, i] { work(clients_[i % command_.workers], i); });
    }
  } catch (const std::system_error& error) {
    no_thread = error.code().message();
  }
  if (!no_thread) show_progress(start);
  stopping_ = true;
  for (std::thread& thread : threads) thread.join();
  if (no_thread) {
    complain(fmt::format("only {} of {} threads could be started: {}; {}", threads.size(), wanted,
                         *no_thread, limit_in_force(Resource::threads)));
    return exit_out_of_reach;
  }
  if (no_memory_) throw std::bad_alloc();
  const auto figures = report(SteadyClock::now() - start);
  print_table(figures);
  for (const LatencySeries& each : series()) fmt::print(stderr, "{}", to_lines(each));
  if (page.is_open()) {
    page << to_page(figures, series()) << std::flush;
    if (!page) {
      return fail({ErrorCode::invalid_argument,
                   fmt::format("the page {} cannot be written", command_.html)});
    }
  }
  print(figures.dump() + "\n");
  if (total_.wrong > 0) return exit_miss;
  return total_.hits.count() + total_.puts.count() > 0 ? exit_hit : exit_out_of_reach;
}

}  // namespace

int run_bench(const ClientOptions& options, const BenchCommand& command) {
  return Bench(options, command).run();
}

}  // namespace hyperpod::client::cli
