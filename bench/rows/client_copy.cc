// SPDX-License-Identifier: Apache-2.0
// Reading through the client against memcpy: what its checks and its two requests cost beside the
// bytes themselves.
//
// Both contenders read the same objects, out of the client's own mapping and into the same buffer.
// The objects together exceed the caches of most machines, so that the bytes come from memory.
#include <cstring>
#include <string>
#include <vector>

#include "load/connection.h"
#include "load/response.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/client.h"
#include "rows/comparison.h"
#include "rows/rows.h"

namespace hyperpod::bench {
namespace {
namespace client_copy {

using std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint64_t mebibyte = 1ull << 20;
// Sixteen fragments in an object of 1 MiB where they are scattered.
constexpr std::uint64_t block_size = 64ull << 10;
constexpr std::uint64_t total_bytes = 128 * mebibyte;
// Room enough for scattered blocks to lie apart.
constexpr std::uint64_t capacity = 3 * total_bytes;
// A turn is one sweep over all objects, of some 30 ms; many short turns outlast a busy neighbour.
constexpr unsigned turns_a_round = 8;

class Reader;
using Reading = Result<Seconds> (Reader::*)(const std::string& key);

class Reader {
 public:
  static Result<Reader> over(const Server& emulator, std::size_t object_bytes) {
    auto client = make_client(emulator);
    if (!client) return tl::unexpected(client.error());
    auto socket = connect_to(emulator.port);
    if (!socket) return tl::unexpected(socket.error());
    Reader reader(std::move(*client), *std::move(socket), object_bytes);
    const auto stored = store_with_client(reader.client_, reader.keys_.size(), object_bytes);
    if (!stored) return tl::unexpected(stored.error());
    return reader;
  }

  Result<Seconds> copy(const std::string& key) {
    return timed_with_lease(key, [this](const client::Lease& lease) -> Result<void> {
      if (auto copied = lease.copy_to(buffer_); !copied) return client_failure(copied.error());
      return {};
    });
  }

  Result<Seconds> memcpy_alone(const std::string& key) {
    return timed_with_lease(key, [this](const client::Lease& lease) -> Result<void> {
      memcpy_of(lease);
      return {};
    });
  }

  /// What any client needs that asks before it reads: one request over a socket, and memcpy.
  Result<Seconds> request_and_memcpy(const std::string& key) {
    std::string id;
    auto taken = timed_with_lease(key, [&](const client::Lease& lease) -> Result<void> {
      const auto number = static_cast<std::uint64_t>(&key - keys_.data());
      const auto granted = ask_over(socket_.get(), lease_request(number, 5000));
      if (!granted) return tl::unexpected(granted.error());
      id = lease_id(granted->body);
      memcpy_of(lease);
      return {};
    });
    if (!taken) return taken;
    const auto released = ask_over(socket_.get(), release_request(id));
    if (!released) return tl::unexpected(released.error());
    return taken;
  }

  Result<Seconds> get(const std::string& key) {
    const auto start = steady_clock::now();
    const auto got = client_.get(key, buffer_);
    const Seconds taken = steady_clock::now() - start;
    if (!got) return client_failure(got.error());
    if (!got->is_hit()) return failure("the emulator has lost " + key);
    return taken;
  }

  /// Bytes a second over all objects.
  Result<double> sweep(Reading read) {
    Seconds taken{};
    for (const std::string& key : keys_) {
      const auto one = (this->*read)(key);
      if (!one) return tl::unexpected(one.error());
      taken += *one;
    }
    return static_cast<double>(total_bytes) / taken.count();
  }

  Result<std::size_t> fragments_of_first() {
    auto lease = acquire_stored(client_, keys_.front());
    if (!lease) return tl::unexpected(lease.error());
    return lease->fragments().size();
  }

 private:
  Reader(client::Client client, base::FileDescriptor socket, std::size_t object_bytes)
      : client_(std::move(client)), socket_(std::move(socket)), buffer_(object_bytes) {
    for (std::uint64_t number = 0; number < total_bytes / object_bytes; ++number) {
      keys_.push_back(plain_object_key(number));
    }
  }

  void memcpy_of(const client::Lease& lease) {
    std::byte* to = buffer_.data();
    for (const auto& fragment : lease.fragments()) {
      std::memcpy(to, fragment.data(), fragment.size());
      to += fragment.size();
    }
  }

  template <class Copy>
  Result<Seconds> timed_with_lease(const std::string& key, Copy copy) {
    auto lease = acquire_stored(client_, key);
    if (!lease) return tl::unexpected(lease.error());
    const auto start = steady_clock::now();
    const auto copied = copy(*lease);
    const Seconds taken = steady_clock::now() - start;
    if (!copied) return tl::unexpected(copied.error());
    return taken;
  }

  client::Client client_;
  base::FileDescriptor socket_;
  std::vector<std::byte> buffer_;
  std::vector<std::string> keys_;
};

// `floor`, if any, is measured beside it, in rounds of its own.
Result<Finding> against_memcpy(std::size_t object_bytes, Placement placement, double bound,
                               Reading read, Reading floor, const Settings& settings) {
  const auto emulator = start_emulator(capacity, block_size, placement);
  if (!emulator) return tl::unexpected(emulator.error());
  auto reader = Reader::over(*emulator, object_bytes);
  if (!reader) return tl::unexpected(reader.error());
  const auto fragments = reader->fragments_of_first();
  if (!fragments) return tl::unexpected(fragments.error());

  const auto ours = [&] { return reader->sweep(read); };
  const auto theirs = [&] { return reader->sweep(&Reader::memcpy_alone); };
  // The mapping's pages have to be touched before either is measured.
  if (auto warm = theirs(); !warm) return tl::unexpected(warm.error());
  const auto comparison = compare(settings.rounds * turns_a_round, ours, theirs);
  if (!comparison) return tl::unexpected(comparison.error());
  const auto mebibytes = [](double bytes) { return grouped(bytes / mebibyte) + " MiB/s"; };
  nlohmann::json details = comparison->details();
  details["unit"] = "bytes/s";
  details["fragments"] = *fragments;
  std::string against = "memcpy " + mebibytes(median(comparison->theirs));
  if (floor != nullptr) {
    const auto least = compare(
        settings.rounds * turns_a_round, [&] { return reader->sweep(floor); }, theirs);
    if (!least) return tl::unexpected(least.error());
    details["request_and_memcpy"] = least->ratio();
    against += ", behind a raw request " + fixed(least->ratio(), 2) + " x";
  }
  return Finding{comparison->ratio() >= bound, mebibytes(median(comparison->ours)),
                 std::move(against), fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

}  // namespace client_copy
}  // namespace

Row client_copy(std::size_t object_mebibytes, Placement placement) {
  using namespace client_copy;
  const bool scattered = placement == Placement::scattered;
  const std::string size = std::to_string(object_mebibytes);
  const auto measure = [object_mebibytes, placement](const Settings& settings) {
    constexpr double bound = 0.9;
    return against_memcpy(object_mebibytes * mebibyte, placement, bound, &Reader::copy, nullptr,
                          settings);
  };
  return {"client-copy-" + size + (scattered ? "-scattered" : ""),
          "client: copy of " + size + " MiB" + (scattered ? ", scattered" : ""), ">= 0.9 x memcpy",
          measure};
}

Row client_get() {
  using namespace client_copy;
  const auto measure = [](const Settings& settings) {
    constexpr double bound = 0.92;
    return against_memcpy(16 * mebibyte, Placement::contiguous, bound, &Reader::get,
                          &Reader::request_and_memcpy, settings);
  };
  return {"client-get", "client: whole get of 16 MiB", ">= 0.92 x memcpy", measure};
}

}  // namespace hyperpod::bench
