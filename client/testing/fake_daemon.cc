// SPDX-License-Identifier: Apache-2.0
#include "fake_daemon.h"

#include <algorithm>
#include <stdexcept>

namespace hyperpod::client::testing {
namespace {

FakeDaemon::Handler always(std::string text) {
  return [text = std::move(text)](const SeenRequest&) { return text; };
}

bool is_release(const SeenRequest& request) { return request.line.starts_with("POST /v1/leases/"); }

}  // namespace

FakeDaemon::FakeDaemon(const std::string& segment_name)
    : segment_name_(segment_name),
      segment_(std::make_unique<TestSegment>(segment_name, segment_size)),
      on_lease_(always(answer(504))),
      on_release_(always(answer(200))),
      on_put_(always(answer(200))),
      server_([this](Conversation& conversation) { serve(conversation); }) {}

void FakeDaemon::on_lease(Handler handler) {
  std::lock_guard lock(mutex_);
  on_lease_ = std::move(handler);
}

void FakeDaemon::grant(
    std::string_view id,
    std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> offsets_and_lengths) {
  on_lease(always(answer(200, lease_body(id, offsets_and_lengths))));
}

void FakeDaemon::on_release(Handler handler) {
  std::lock_guard lock(mutex_);
  on_release_ = std::move(handler);
}

void FakeDaemon::on_put(Handler handler) {
  std::lock_guard lock(mutex_);
  on_put_ = std::move(handler);
}

void FakeDaemon::replace_segment() {
  auto fresh = std::make_unique<TestSegment>(segment_name_, segment_size);
  segment_->forget();
  segment_ = std::move(fresh);
}

void FakeDaemon::unlink_segment() { segment_->unlink(); }

void FakeDaemon::serve(Conversation& conversation) {
  while (const auto request = conversation.read_request()) {
    {
      std::lock_guard lock(mutex_);
      requests_.push_back(*request);
      most_at_once_ = std::max(most_at_once_, ++at_once_);
    }
    const auto text = handle(*request);
    {
      std::lock_guard lock(mutex_);
      --at_once_;
    }
    if (!text) return;
    conversation.send(*text);
  }
}

std::optional<std::string> FakeDaemon::handle(const SeenRequest& request) {
  Handler handler;
  {
    std::lock_guard lock(mutex_);
    handler = request.line.starts_with("PUT ") ? on_put_
              : is_release(request)            ? on_release_
                                               : on_lease_;
  }
  return handler(request);
}

std::vector<SeenRequest> FakeDaemon::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

std::vector<std::string> FakeDaemon::released() const {
  std::vector<std::string> ids;
  for (const SeenRequest& request : requests()) {
    if (!is_release(request)) continue;
    const auto begin = std::string_view("POST /v1/leases/").size();
    ids.push_back(request.line.substr(begin, request.line.find('/', begin) - begin));
  }
  return ids;
}

int FakeDaemon::most_at_once() const {
  std::lock_guard lock(mutex_);
  return most_at_once_;
}

std::shared_ptr<base::LogSink> quiet_logger() {
  class Quiet final : public base::LogSink {
    bool enabled(base::LogLevel) const noexcept override { return false; }
    void write(base::LogLevel, std::string_view) noexcept override {}
  };
  return std::make_shared<Quiet>();
}

ClientOptions options_for(const FakeDaemon& daemon) {
  ClientOptions options;
  options.remote_url = daemon.url();
  options.shared_memory_name = daemon.segment_name();
  options.timeout = std::chrono::seconds{1};
  options.logger = quiet_logger();
  return options;
}

bool settles(const Client& client) {
  return eventually([&] {
    const Statistics s = client.statistics();
    return s.lease_acquired == s.lease_released + s.lease_release_failed + s.lease_lost;
  });
}

Client make_client(ClientOptions options) {
  auto client = Client::create(std::move(options));
  if (!client) throw std::runtime_error(client.error().message);
  return *std::move(client);
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace hyperpod::client::testing
