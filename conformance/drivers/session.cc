// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <thread>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/client/config.h"
#include "payload.h"

namespace hyperpod::driver {
namespace {

using client::ChunkLayout;
using client::Client;
using client::Error;
using client::GetStatus;
using client::PutOutcome;
using client::Result;

// How long an operation may take to enter the client before the next is begun all the same.
constexpr std::chrono::seconds entry_patience{1};
// How long a forked child may take.
constexpr std::chrono::seconds fork_patience{5};

const char* const no_client = "there is no client yet; send \"configure\" first";

// A put or a get of which everything but the call has been done, so that calls can begin at once.
using Call = std::function<Json(Client&)>;

ChunkLayout layout_of(std::uint64_t size) {
  return {client::MemoryFormat::kv_2ltd,
          {{client::ElementType::uint8, {2, 1, static_cast<std::int32_t>(size / 2), 1}}}};
}

// Whether there is a layout for it: a size that is odd or 0 can only be an object without header.
bool can_be_chunk(std::uint64_t size) { return size > 0 && size % 2 == 0; }

Json outcome_of(const Error& error) {
  return {{"outcome", "error"},
          {"detail", std::string(client::to_string(error.code)) + ": " + error.message}};
}

Json outcome_of(const Result<PutOutcome>& put) {
  if (!put) return outcome_of(put.error());
  return {{"outcome", *put == PutOutcome::stored ? "stored" : "exists"}};
}

// Of a client::GetOutcome or a client::ChunkOutcome; the payload of a hit is what `read` begins
// with.
template <class Got>
Json outcome_of(const Result<Got>& got, std::span<const std::byte> read) {
  if (!got) return outcome_of(got.error());
  if (got->status == GetStatus::lease_expired) {
    return {{"outcome", "miss"}, {"detail", "the lease expired before the bytes were read"}};
  }
  if (got->status == GetStatus::miss) return {{"outcome", "miss"}};
  return {{"outcome", "hit"}, {"size", got->size}, {"sha256", sha256(read.first(got->size))}};
}

Json outcome_of(const Result<bool>& exists) {
  if (!exists) return outcome_of(exists.error());
  return {{"outcome", *exists ? "hit" : "miss"}};
}

Call prepare(const Put& put) {
  return [put, bytes = payload(put.seed, put.size)](Client& client) {
    return outcome_of(can_be_chunk(put.size) ? client.put_chunk(put.key, layout_of(put.size), bytes)
                                             : client.put(put.key, bytes));
  };
}

Call prepare(const Get& get) {
  return [get, buffer = std::vector<std::byte>(get.size)](Client& client) mutable {
    if (!can_be_chunk(get.size)) return outcome_of(client.get(get.key, buffer), buffer);
    return outcome_of(client.get_chunk(get.key, buffer, layout_of(get.size)), buffer);
  };
}

Call prepare(const Exists& exists) {
  return [exists](Client& client) { return outcome_of(client.exists(exists.key)); };
}

// The operation begun last is counted as in flight, as queued or as ended. Others may be between
// two requests just now, and a daemon may keep a client from entering at all, hence the bound.
void wait_for_entry(const Client& client, const std::atomic<std::size_t>& ended,
                    std::size_t begun) {
  const auto give_up = std::chrono::steady_clock::now() + entry_patience;
  while (std::chrono::steady_clock::now() < give_up) {
    const std::size_t gone = ended;
    const client::Statistics now = client.statistics();
    if (gone + now.requests_in_flight + now.requests_queued >= begun) return;
    std::this_thread::sleep_for(std::chrono::microseconds{20});
  }
}

// What a batch says of an object: with headers, `read` is a whole chunk.
Json batch_outcome(const Result<client::GetOutcome>& got, std::span<const std::byte> read,
                   std::size_t header_bytes) {
  if (!got || !got->is_hit() || header_bytes == 0) return outcome_of(got, read);
  const auto header = client::decode_chunk_header(read.first(got->size), 1);
  if (!header) return outcome_of(header.error());
  if (header_bytes + header->payload_bytes != got->size) {
    return {{"outcome", "error"}, {"detail", "the chunk is not as long as its header says"}};
  }
  return outcome_of(
      Result<client::GetOutcome>(client::GetOutcome{GetStatus::hit, got->size - header_bytes}),
      read.subspan(header_bytes));
}

}  // namespace

Answer Session::operator()(const Hello&) {
  return Json{{"client", "hyperpod::client " HYPERPOD_VERSION},
              {"operations", operation_names()},
              {"parameters", parameter_names()},
              {"header", "configurable"}};
}

// The parameters go the way that a user's go: through LMCache's configuration, of which JSON is as
// good a form as YAML.
Answer Session::operator()(const Configure& configure) {
  client_.reset();
  Json extra_config{{"sagemaker_hyperpod_shared_memory_name", nullptr}};
  if (configure.bucket) extra_config["sagemaker_hyperpod_bucket"] = *configure.bucket;
  if (configure.segment) {
    extra_config["sagemaker_hyperpod_shared_memory_name"] = *configure.segment;
  }
  for (const auto& [name, value] : configure.parameters.items()) {
    extra_config[name == "save_chunk_meta" ? name : "sagemaker_hyperpod_" + name] = value;
  }
  const Json config{{"remote_url", configure.url}, {"extra_config", extra_config}};
  auto loaded = client::parse_options(config.dump(), "configure");
  if (!loaded) return tl::unexpected(loaded.error().message);
  for (const std::string& warning : loaded->warnings) {
    std::fprintf(stderr, "hyperpod-driver: %s\n", warning.c_str());
  }
  headers_ = loaded->options.save_chunk_meta;
  auto client = Client::create(std::move(loaded->options));
  if (!client) return tl::unexpected(client.error().message);
  client_ = std::move(*client);
  return Json::object();
}

Answer Session::operator()(const Put& put) {
  if (!client_) return tl::unexpected(no_client);
  return prepare(put)(*client_);
}

Answer Session::operator()(const Get& get) {
  if (!client_) return tl::unexpected(no_client);
  return prepare(get)(*client_);
}

Answer Session::operator()(const Exists& exists) {
  if (!client_) return tl::unexpected(no_client);
  return prepare(exists)(*client_);
}

Answer Session::operator()(const BatchPut& batch) {
  if (!client_) return tl::unexpected(no_client);
  std::vector<std::vector<std::byte>> payloads;
  std::vector<client::PutItem> items;
  for (const Put& put : batch.items) {
    payloads.push_back(payload(put.seed, put.size));
    client::PutItem& item = items.emplace_back(client::PutItem{put.key, payloads.back()});
    if (can_be_chunk(put.size)) item.layout = layout_of(put.size);
  }
  Json results = Json::array();
  for (const auto& outcome : client_->batched_put(items)) results.push_back(outcome_of(outcome));
  return Json{{"results", std::move(results)}};
}

Answer Session::operator()(const BatchGet& batch) {
  if (!client_) return tl::unexpected(no_client);
  const std::size_t header_bytes = headers_ ? client::chunk_header_bytes(1) : 0;
  std::vector<std::vector<std::byte>> buffers;
  std::vector<client::GetItem> items;
  for (const Get& get : batch.items) {
    buffers.emplace_back(header_bytes + get.size);
    items.push_back({get.key, buffers.back()});
  }
  const auto outcomes = client_->batched_get(items);
  Json results = Json::array();
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    results.push_back(batch_outcome(outcomes[i], buffers[i], header_bytes));
  }
  return Json{{"results", std::move(results)}};
}

Answer Session::operator()(const BatchContains& batch) {
  if (!client_) return tl::unexpected(no_client);
  const auto outcome = client_->batched_contains(batch.keys);
  Json answer{{"hits", outcome.hits}};
  if (outcome.error) answer["detail"] = outcome.error->message;
  return answer;
}

Answer Session::operator()(const Concurrent& concurrent) {
  if (!client_) return tl::unexpected(no_client);
  std::vector<Call> calls;
  for (const auto& operation : concurrent.operations) {
    calls.push_back(std::visit([](const auto& one) { return prepare(one); }, operation));
  }
  std::vector<Json> results(calls.size());
  std::atomic<std::size_t> ended = 0;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    threads.emplace_back([&, i] {
      results[i] = calls[i](*client_);
      ++ended;
    });
    wait_for_entry(*client_, ended, i + 1);
  }
  for (std::thread& thread : threads) thread.join();
  return Json{{"results", std::move(results)}};
}

Answer Session::operator()(const Stats&) {
  if (!client_) return tl::unexpected(no_client);
  const client::Statistics counted = client_->statistics();
  return Json{{"get_success", counted.get_success},
              {"get_failure", counted.get_failure},
              {"put_success", counted.put_success},
              {"put_failure", counted.put_failure},
              {"leases_acquired", counted.lease_acquired},
              {"leases_released", counted.lease_released},
              {"connections", counted.connections_open},
              {"in_flight", counted.requests_in_flight},
              {"queued", counted.requests_queued},
              {"circuit_open", client_->daemons().front().circuit_open}};
}

Answer Session::operator()(const Close&) {
  if (client_) client_->close();
  return Json::object();
}

// The child reports through a pipe, and leaves nothing of this process's standard streams behind.
Answer Session::operator()(const Fork& fork) {
  if (!client_) return tl::unexpected(no_client);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return tl::unexpected(std::string("no pipe is to be had"));
  base::FileDescriptor read_end(ends[0]);
  base::FileDescriptor write_end(ends[1]);
  Call get = prepare(fork.get);
  const pid_t child = ::fork();
  if (child < 0) return tl::unexpected(std::string("no process is to be had"));
  if (child == 0) {
    const std::string told = get(*client_).dump(-1, ' ', false, Json::error_handler_t::replace);
    client_.reset();
    (void)!::write(write_end.get(), told.data(), told.size());
    ::_exit(0);
  }
  write_end.reset();
  const auto deadline = std::chrono::steady_clock::now() + fork_patience;
  std::string told;
  bool hung = false;
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{read_end.get(), POLLIN, 0};
    if (::poll(&readable, 1, static_cast<int>(std::max<long>(left.count(), 0))) == 0) {
      hung = true;
      ::kill(child, SIGKILL);
      break;
    }
    std::array<char, 4096> buffer;
    const ssize_t got = ::read(read_end.get(), buffer.data(), buffer.size());
    if (got == 0) break;
    if (got > 0) told.append(buffer.data(), static_cast<std::size_t>(got));
  }
  ::waitpid(child, nullptr, 0);
  Json answer = Json::parse(told, nullptr, false);
  if (!answer.is_object()) {
    answer = {{"outcome", "error"}, {"detail", hung ? "the child hung" : "the child crashed"}};
  }
  answer["hung"] = hung;
  return answer;
}

}  // namespace hyperpod::driver
