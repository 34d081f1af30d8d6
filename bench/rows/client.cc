// SPDX-License-Identifier: Apache-2.0
#include "rows/client.h"

#include <atomic>
#include <thread>
#include <vector>

#include "load/workloads.h"

namespace hyperpod::bench {

tl::unexpected<Error> client_failure(const client::Error& error) { return failure(error.message); }

Result<client::Client> make_client(const Server& server,
                                   const std::function<void(client::ClientOptions&)>& change) {
  client::ClientOptions options;
  options.remote_url = "127.0.0.1:" + std::to_string(server.port);
  options.shared_memory_name = server.segment;
  change(options);
  auto client = client::Client::create(std::move(options));
  if (!client) return client_failure(client.error());
  return std::move(*client);
}

std::string plain_object_key(std::uint64_t number) {
  constexpr std::string_view slash = "%2F";
  const std::string encoded = object_key(number);
  const std::size_t at = encoded.find(slash);
  return encoded.substr(0, at) + '/' + encoded.substr(at + slash.size());
}

Result<void> store_with_client(client::Client& client, std::uint64_t count, std::size_t bytes) {
  const std::vector<std::byte> object(bytes, std::byte{'k'});
  for (std::uint64_t number = 0; number < count; ++number) {
    if (auto stored = client.put(plain_object_key(number), object); !stored) {
      return client_failure(stored.error());
    }
  }
  return {};
}

Result<client::Lease> acquire_stored(client::Client& client, const std::string& key) {
  auto lease = client.acquire(key);
  if (!lease) return client_failure(lease.error());
  if (!*lease) return failure("the emulator has lost " + key);
  return **std::move(lease);
}

Result<double> operations_a_second(unsigned threads, std::chrono::milliseconds duration,
                                   const Operation& operation) {
  using std::chrono::steady_clock;
  constexpr std::chrono::milliseconds warm_up{100};
  enum Phase { warming, counting, ended };
  std::atomic<Phase> phase{warming};
  std::vector<Result<std::uint64_t>> counts(threads, 0);
  steady_clock::time_point start;
  steady_clock::time_point end;
  {
    std::vector<std::jthread> workers;
    for (unsigned thread = 0; thread < threads; ++thread) {
      workers.emplace_back([&, thread] {
        std::uint64_t count = 0;
        for (Phase now = phase; now != ended; now = phase) {
          if (const auto done = operation(thread); !done) {
            counts[thread] = tl::unexpected(done.error());
            return;
          }
          if (now == counting) ++count;
        }
        counts[thread] = count;
      });
    }
    std::this_thread::sleep_for(warm_up);
    phase = counting;
    start = steady_clock::now();
    std::this_thread::sleep_for(duration);
    phase = ended;
    end = steady_clock::now();
  }
  std::uint64_t total = 0;
  for (const auto& count : counts) {
    if (!count) return tl::unexpected(count.error());
    total += *count;
  }
  return static_cast<double>(total) / std::chrono::duration<double>(end - start).count();
}

}  // namespace hyperpod::bench
