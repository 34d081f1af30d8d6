// SPDX-License-Identifier: Apache-2.0
#include "hyperpod/client/checkpoints.h"

#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>

#include "address.h"
#include "body_json.h"
#include "checkpoint/checksum.h"
#include "checkpoint/responses.h"
#include "checkpoint/shard_file.h"
#include "fork.h"
#include "hyperpod/client/config.h"
#include "transport/http_connection.h"
#include "transport/target.h"

namespace hyperpod::client {
namespace {

using checkpoint::Checksum;
using std::chrono::milliseconds;
using transport::HttpConnection;
using transport::HttpRequest;
using transport::HttpResponse;
using Method = HttpRequest::Method;
using Progress = decltype(CheckpointCall::progress);

constexpr std::string_view user_agent = "hyperpod-checkpoints/1.0";
constexpr std::size_t read_at_once = 256 << 10;
constexpr milliseconds longest_wait = std::chrono::minutes{5};
constexpr milliseconds longest_timeout = std::chrono::hours{24 * 365};

tl::unexpected<Error> failure(ErrorCode code, std::string message, int status = 0) {
  return tl::unexpected(Error{code, std::move(message), status});
}

bool is_success(int status) { return status / 100 == 2; }

bool may_be_repeated(int status) {
  return status == 429 || status == 500 || status == 502 || status == 503 || status == 504;
}

std::string namespace_target(std::string_view name) {
  return "/v1/cp/namespaces/" + transport::encode_segment(name);
}

std::string shard_target(const ShardAddress& shard) {
  return fmt::format("/v1/cp/checkpoints/{}/{}/{}", transport::encode_segment(shard.name),
                     shard.rank, shard.step);
}

std::string text_of(const ShardAddress& shard) {
  return fmt::format("the shard of rank {} and step {} of '{}'", shard.rank, shard.step,
                     shard.name);
}

// The body of a put. Its last piece is held back if the bytes are not those of the checksum, so
// that the daemon, which gets half a body, keeps what it has.
class CheckedSource final : public transport::BodySource {
 public:
  CheckedSource(ShardSource& source, std::uint64_t size, std::string checksum,
                const Progress& progress)
      : source_(source), size_(size), checksum_(std::move(checksum)), progress_(progress) {}

  std::uint64_t size() const override { return size_; }

  bool read(std::uint64_t offset, std::span<std::byte> into) override {
    if (offset == 0) running_.reset();
    if (progress_) progress_(offset, size_);
    if (auto result = source_.read(offset, into); !result) {
      error_ = std::move(result).error();
      return false;
    }
    running_.add(into);
    if (offset + into.size() == size_ && running_.base64() != checksum_) {
      error_ = Error{ErrorCode::invalid_argument,
                     "the shard's bytes have changed while it was sent; store it again when nobody "
                     "writes to it"};
      return false;
    }
    return true;
  }

  const std::optional<Error>& error() const { return error_; }

 private:
  ShardSource& source_;
  const std::uint64_t size_;
  const std::string checksum_;
  const Progress& progress_;
  Checksum running_;
  std::optional<Error> error_;
};

// The body of a get.
class CheckedSink final : public transport::BodySink {
 public:
  CheckedSink(ShardSink& sink, const Progress& progress) : sink_(sink), progress_(progress) {}

  bool begin(std::optional<std::uint64_t> length) override {
    length_ = length;
    size_ = 0;
    running_.reset();
    return keep(sink_.begin(length));
  }

  bool take(std::span<const std::byte> piece) override {
    running_.add(piece);
    size_ += piece.size();
    if (!keep(sink_.write(piece))) return false;
    if (progress_) progress_(size_, length_);
    return true;
  }

  std::uint64_t size() const { return size_; }
  std::string checksum() const { return running_.base64(); }
  const std::optional<Error>& error() const { return error_; }

 private:
  bool keep(Result<void> result) {
    if (!result) error_ = std::move(result).error();
    return result.has_value();
  }

  ShardSink& sink_;
  const Progress& progress_;
  std::optional<std::uint64_t> length_;
  std::uint64_t size_ = 0;
  Checksum running_;
  std::optional<Error> error_;
};

class BufferSource final : public ShardSource {
 public:
  explicit BufferSource(std::span<const std::byte> bytes) : bytes_(bytes) {}
  std::uint64_t size() const override { return bytes_.size(); }
  Result<void> read(std::uint64_t offset, std::span<std::byte> into) override {
    std::memcpy(into.data(), bytes_.data() + offset, into.size());
    return {};
  }

 private:
  const std::span<const std::byte> bytes_;
};

class BufferSink final : public ShardSink {
 public:
  explicit BufferSink(std::span<std::byte> buffer) : buffer_(buffer) {}
  Result<void> begin(std::optional<std::uint64_t> size) override {
    written_ = 0;
    return check(size.value_or(0));
  }
  Result<void> write(std::span<const std::byte> bytes) override {
    if (auto fits = check(written_ + bytes.size()); !fits) return fits;
    if (!bytes.empty()) std::memcpy(buffer_.data() + written_, bytes.data(), bytes.size());
    written_ += bytes.size();
    return {};
  }

 private:
  Result<void> check(std::uint64_t size) const {
    if (size <= buffer_.size()) return {};
    return failure(ErrorCode::too_large,
                   fmt::format("the shard has {} bytes or more, and the buffer only {}", size,
                               buffer_.size()));
  }

  const std::span<std::byte> buffer_;
  std::size_t written_ = 0;
};

bool is_html(const std::string& content_type) {
  constexpr std::string_view html = "text/html";
  return strncasecmp(content_type.c_str(), html.data(), html.size()) == 0;
}

}  // namespace

// What the calls share.
class Checkpoints::Core {
 public:
  Core(CheckpointOptions options, DaemonAddress address)
      : options_(std::move(options)),
        address_(std::move(address)),
        url_(fmt::format("{}://{}{}", address_.https ? "https" : "http", address_.authority(),
                         address_.path_prefix)),
        fork_generation_(fork_generation()) {}

  bool is_forked() const { return fork_generation() != fork_generation_; }

  // A response, or why the call is over.
  using Response = Result<HttpResponse>;

  // Sends what `make_request` gives, and again as the options say. `judge` says what is wrong with
  // a response whose status is a success, so that it is asked for again.
  template <class MakeRequest, class Judge>
  Response ask(const CheckpointCall& call, const MakeRequest& make_request, const Judge& judge,
               TimePoint deadline);

  template <class MakeRequest>
  Response ask(const CheckpointCall& call, const MakeRequest& make_request) {
    return ask(
        call, make_request, [](const HttpResponse&) { return std::optional<Error>(); },
        deadline_of(call));
  }

  Response ask(const CheckpointCall& call, Method method, const std::string& target) {
    return ask(call, [&] { return HttpRequest{.method = method, .target = target}; });
  }

  TimePoint deadline_of(const CheckpointCall& call) const {
    if (!call.timeout) return TimePoint::max();
    return options_.clock->now() + std::clamp(*call.timeout, milliseconds{0}, longest_timeout);
  }

  TimePoint now() const { return options_.clock->now(); }

  tl::unexpected<Error> malformed(const std::string& reason) const {
    return failure(ErrorCode::malformed_response, fmt::format("{} {}", url_, reason));
  }

  // Status and words for a refusal of `doing`, as in "store the shard", and the daemon's own.
  tl::unexpected<Error> refused(const HttpResponse& response, const std::string& doing) const {
    return failure(response.status == 413 ? ErrorCode::too_large : ErrorCode::refused,
                   fmt::format("{} refused to {}: status {}{}{}", url_, doing, response.status,
                               meaning(response.status), told_in(response.body)),
                   response.status);
  }

 private:
  static std::string_view meaning(int status) {
    switch (status) {
      case 404:
        return ", there is no such namespace, or the daemon has no checkpoint API";
      case 409:
        return ", it is there already, and stays as it is";
      case 413:
        return ", it is larger than all of the daemon's memory";
      case 507:
        return ", the daemon has no room for it; delete steps or retain fewer";
      default:
        return "";
    }
  }

  std::unique_ptr<HttpConnection> take();
  void give_back(std::unique_ptr<HttpConnection> connection);
  Duration wait_before(std::uint32_t retry, const std::string& retry_after) const;

  const CheckpointOptions options_;
  const DaemonAddress address_;
  const std::string url_;
  const std::uint32_t fork_generation_;
  std::mutex mutex_;  // guards idle_
  std::vector<std::unique_ptr<HttpConnection>> idle_;
};

std::unique_ptr<HttpConnection> Checkpoints::Core::take() {
  {
    std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      auto connection = std::move(idle_.back());
      idle_.pop_back();
      return connection;
    }
  }
  return std::make_unique<HttpConnection>(address_, options_.tls, options_.clock);
}

void Checkpoints::Core::give_back(std::unique_ptr<HttpConnection> connection) {
  if (!connection->is_reusable()) return;
  connection->resume();
  std::lock_guard lock(mutex_);
  if (idle_.size() < options_.idle_connections) idle_.push_back(std::move(connection));
}

Duration Checkpoints::Core::wait_before(std::uint32_t retry, const std::string& retry_after) const {
  std::uint32_t seconds = 0;
  const char* const last = retry_after.data() + retry_after.size();
  const auto [end, error] = std::from_chars(retry_after.data(), last, seconds);
  if (error == std::errc::result_out_of_range && end == last) return longest_wait;
  if (error == std::errc{} && end == last) {
    return std::min<Duration>(std::chrono::seconds{seconds}, longest_wait);
  }
  constexpr std::uint32_t most_doublings = 20;
  return std::min<Duration>(options_.retry_backoff * (1 << std::min(retry, most_doublings)),
                            longest_wait);
}

template <class MakeRequest, class Judge>
Checkpoints::Core::Response Checkpoints::Core::ask(const CheckpointCall& call,
                                                   const MakeRequest& make_request,
                                                   const Judge& judge, TimePoint deadline) {
  if (is_forked()) {
    return failure(ErrorCode::forked,
                   "this object was made before fork() and serves the parent process only; make "
                   "another one in the child");
  }
  auto connection = take();
  Response response;
  {
    const std::stop_callback cancel(call.stop, [&] { connection->cancel(); });
    for (std::uint32_t retry = 0;; ++retry) {
      HttpRequest request = make_request();
      request.user_agent = user_agent;
      auto outcome = connection->exchange(std::move(request), deadline, options_.stall_timeout);
      std::string retry_after;
      bool again = false;
      if (!outcome) {
        const auto& problem = outcome.error();
        again = problem.code != ErrorCode::cancelled && problem.code != ErrorCode::out_of_resources;
        response = failure(problem.code, problem.code == ErrorCode::cancelled
                                             ? std::string("the call was cancelled")
                                             : fmt::format("{} {}", url_, problem.reason));
      } else {
        retry_after = outcome->retry_after;
        again = may_be_repeated(outcome->status);
        response = *std::move(outcome);
        if (response->status == 404 && is_html(response->content_type)) {
          // Taken for a daemon's, it would mean that there is no checkpoint.
          response = malformed(
              "responds with a page of HTML, as no daemon does; is it another web server?");
        } else if (is_success(response->status)) {
          if (auto error = judge(*response)) {
            response = tl::unexpected(*std::move(error));
            again = true;
          }
        }
      }
      if (!again || retry >= options_.retries) break;
      const Duration wait = wait_before(retry, retry_after);
      if (wait >= deadline - now()) break;
      connection->rest(now() + wait);
      if (call.stop.stop_requested()) {
        response = failure(ErrorCode::cancelled, "the call was cancelled");
        break;
      }
    }
  }
  give_back(std::move(connection));
  return response;
}

namespace {

// Runs a call; running out of memory in it is an error, too.
template <class Function>
auto guarded(Function function) -> decltype(function()) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return failure(ErrorCode::out_of_resources, "no memory is to be had for the call");
  }
}

Result<void> check(std::string_view name) {
  if (!name.empty()) return {};
  return failure(ErrorCode::invalid_argument, "the name of a namespace must not be empty");
}

}  // namespace

Result<Checkpoints> Checkpoints::create(CheckpointOptions options) {
  return guarded([&]() -> Result<Checkpoints> {
    ClientOptions named;
    named.remote_url = options.url;
    named.use_https = options.use_https;
    if (options.url.empty()) {
      return failure(ErrorCode::invalid_option,
                     "the daemon address is empty; write http://HOST:PORT");
    }
    auto addresses = parse_addresses(named, process_environment());
    if (!addresses) return tl::unexpected(std::move(addresses).error());
    if (addresses->size() != 1) {
      return failure(ErrorCode::invalid_option,
                     fmt::format("'{}' names {} daemons, and checkpoints are kept in one",
                                 options.url, addresses->size()));
    }
    if (options.stall_timeout < milliseconds{1} || options.retry_backoff < milliseconds{0}) {
      return failure(ErrorCode::invalid_option,
                     "stall_timeout must be at least 1 ms, and retry_backoff not negative");
    }
    options.stall_timeout = std::min(options.stall_timeout, longest_timeout);
    options.retry_backoff = std::min(options.retry_backoff, longest_wait);
    if (!options.clock) options.clock = std::make_shared<RealClock>();
    return Checkpoints(std::make_shared<Core>(std::move(options), std::move(addresses->front())));
  });
}

Checkpoints::Checkpoints(std::shared_ptr<Core> core) : core_(std::move(core)) {}
Checkpoints::Checkpoints(Checkpoints&&) noexcept = default;

Checkpoints& Checkpoints::operator=(Checkpoints&& other) noexcept {
  if (this == &other) return *this;
  Checkpoints old(std::move(*this));
  core_ = std::move(other.core_);
  return *this;
}

Checkpoints::~Checkpoints() {
  if (core_ && core_->is_forked()) keep_forever(std::move(core_));
}

Result<std::optional<NamespaceNumbers>> Checkpoints::find_namespace(
    std::string_view name, const CheckpointCall& call) const {
  return guarded([&]() -> Result<std::optional<NamespaceNumbers>> {
    if (auto ok = check(name); !ok) return tl::unexpected(ok.error());
    const auto response = core_->ask(call, Method::get, namespace_target(name));
    if (!response) return tl::unexpected(response.error());
    if (response->status == 404) return std::optional<NamespaceNumbers>();
    if (!is_success(response->status)) {
      return core_->refused(*response, fmt::format("tell of the namespace '{}'", name));
    }
    const auto numbers = checkpoint::parse_namespace(response->body);
    if (!numbers) return core_->malformed(numbers.error());
    return std::optional(*numbers);
  });
}

Result<void> Checkpoints::create_namespace(std::string_view name, const NamespaceNumbers& numbers,
                                           const CheckpointCall& call) const {
  return guarded([&]() -> Result<void> {
    if (auto ok = check(name); !ok) return ok;
    if (numbers.num_ranks == 0 || numbers.steps_retained == 0) {
      return failure(ErrorCode::invalid_argument,
                     "num_ranks and steps_retained of a namespace must be at least 1");
    }
    const auto response =
        core_->ask(call, Method::post,
                   fmt::format("{}?num_ranks={}&steps_retained={}", namespace_target(name),
                               numbers.num_ranks, numbers.steps_retained));
    if (!response) return tl::unexpected(response.error());
    if (is_success(response->status)) return {};
    return core_->refused(*response, fmt::format("create the namespace '{}'", name));
  });
}

Result<bool> Checkpoints::delete_namespace(std::string_view name,
                                           const CheckpointCall& call) const {
  return guarded([&]() -> Result<bool> {
    if (auto ok = check(name); !ok) return tl::unexpected(ok.error());
    const auto response = core_->ask(call, Method::del, namespace_target(name));
    if (!response) return tl::unexpected(response.error());
    if (is_success(response->status)) return true;
    if (response->status == 404) return false;
    return core_->refused(*response, fmt::format("delete the namespace '{}'", name));
  });
}

Result<void> Checkpoints::put(const ShardAddress& shard, ShardSource& source,
                              const CheckpointCall& call) const {
  return guarded([&]() -> Result<void> {
    if (auto ok = check(shard.name); !ok) return ok;
    const TimePoint deadline = core_->deadline_of(call);
    const std::uint64_t size = source.size();
    Checksum checksum;
    {
      std::vector<std::byte> buffer(
          static_cast<std::size_t>(std::min<std::uint64_t>(size, read_at_once)));
      for (std::uint64_t offset = 0; offset < size;) {
        if (call.stop.stop_requested()) {
          return failure(ErrorCode::cancelled, "the call was cancelled");
        }
        if (core_->now() >= deadline) {
          return failure(ErrorCode::timed_out, "the shard could not be read in time");
        }
        const auto piece =
            std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), size - offset));
        if (auto read = source.read(offset, piece); !read) return read;
        checksum.add(piece);
        offset += piece.size();
      }
    }
    const std::string digest = checksum.base64();
    CheckedSource body(source, size, digest, call.progress);
    const auto make_request = [&] {
      return HttpRequest{.method = Method::post,
                         .target = shard_target(shard),
                         .source = &body,
                         .more_headers = fmt::format(
                             "Content-Type: application/octet-stream\r\nShard-Meta: {}\r\n",
                             checkpoint::shard_meta(digest))};
    };
    const auto response = core_->ask(
        call, make_request, [](const HttpResponse&) { return std::optional<Error>(); }, deadline);
    if (body.error()) return tl::unexpected(*body.error());
    if (!response) return tl::unexpected(response.error());
    if (!is_success(response->status)) {
      return core_->refused(*response,
                            fmt::format("store {} ({} bytes)", text_of(shard), body.size()));
    }
    if (call.progress) call.progress(size, size);
    return {};
  });
}

Result<void> Checkpoints::put(const ShardAddress& shard, std::span<const std::byte> bytes,
                              const CheckpointCall& call) const {
  BufferSource source(bytes);
  return put(shard, source, call);
}

Result<void> Checkpoints::put_file(const ShardAddress& shard, const std::string& path,
                                   const CheckpointCall& call) const {
  return guarded([&]() -> Result<void> {
    auto source = checkpoint::FileSource::open(path);
    if (!source) return tl::unexpected(std::move(source).error());
    return put(shard, *source, call);
  });
}

Result<std::optional<ShardRead>> Checkpoints::get(const ShardAddress& shard, ShardSink& sink,
                                                  const CheckpointCall& call) const {
  return guarded([&]() -> Result<std::optional<ShardRead>> {
    if (auto ok = check(shard.name); !ok) return tl::unexpected(ok.error());
    CheckedSink body(sink, call.progress);
    std::optional<std::string> announced;
    const auto make_request = [&] {
      return HttpRequest{.method = Method::get, .target = shard_target(shard), .sink = &body};
    };
    const auto judge = [&](const HttpResponse& response) -> std::optional<Error> {
      announced = checkpoint::checksum_in(response.shard_meta);
      const auto wrong = [&](std::string_view reason) {
        return core_->malformed(fmt::format("sent {} {}", text_of(shard), reason)).value();
      };
      if (response.status == 200 && response.ends_with_stream && !announced) {
        return wrong("with neither a length nor a checksum, so its end cannot be told");
      }
      if (announced && *announced != body.checksum()) {
        return wrong("with bytes that do not fit its checksum");
      }
      return std::nullopt;
    };
    auto response = core_->ask(call, make_request, judge, core_->deadline_of(call));
    if (body.error()) return tl::unexpected(*body.error());
    if (!response) return tl::unexpected(std::move(response).error());
    if (response->status == 404) return std::optional<ShardRead>();
    if (response->status != 200 && response->status != 204) {
      return core_->refused(*response, fmt::format("send {}", text_of(shard)));
    }
    // The status that stands for no bytes has no body to begin.
    if (response->status == 204 && !body.begin(0)) return tl::unexpected(*body.error());
    return std::optional(ShardRead{body.size(), announced.has_value()});
  });
}

Result<std::optional<ShardRead>> Checkpoints::get(const ShardAddress& shard,
                                                  std::span<std::byte> buffer,
                                                  const CheckpointCall& call) const {
  BufferSink sink(buffer);
  return get(shard, sink, call);
}

Result<std::optional<ShardRead>> Checkpoints::get_file(const ShardAddress& shard,
                                                       const std::string& path,
                                                       const CheckpointCall& call) const {
  return guarded([&]() -> Result<std::optional<ShardRead>> {
    auto sink = checkpoint::FileSink::open(path);
    if (!sink) return tl::unexpected(std::move(sink).error());
    auto read = get(shard, *sink, call);
    if (!read || !*read) return read;
    if (auto done = sink->commit(); !done) return tl::unexpected(std::move(done).error());
    return read;
  });
}

Result<bool> Checkpoints::delete_shard(const ShardAddress& shard,
                                       const CheckpointCall& call) const {
  return guarded([&]() -> Result<bool> {
    if (auto ok = check(shard.name); !ok) return tl::unexpected(ok.error());
    const auto response = core_->ask(call, Method::del, shard_target(shard));
    if (!response) return tl::unexpected(response.error());
    if (is_success(response->status)) return true;
    if (response->status == 404) return false;
    return core_->refused(*response, fmt::format("delete {}", text_of(shard)));
  });
}

Result<std::vector<std::uint64_t>> Checkpoints::latest(std::string_view name, std::uint64_t limit,
                                                       const CheckpointCall& call) const {
  return guarded([&]() -> Result<std::vector<std::uint64_t>> {
    if (auto ok = check(name); !ok) return tl::unexpected(ok.error());
    if (limit == 0) return std::vector<std::uint64_t>();
    const auto response = core_->ask(call, Method::get,
                                     fmt::format("/v1/cp/checkpoints/{}/latest?limit={}",
                                                 transport::encode_segment(name), limit));
    if (!response) return tl::unexpected(response.error());
    if (response->status == 404) return std::vector<std::uint64_t>();
    if (!is_success(response->status)) {
      return core_->refused(*response, fmt::format("tell the latest steps of '{}'", name));
    }
    auto steps = checkpoint::parse_steps(response->body);
    if (!steps) return core_->malformed(steps.error());
    if (steps->size() > limit) steps->resize(limit);
    return *std::move(steps);
  });
}

Result<void> Checkpoints::reset_cluster(const CheckpointCall& call) const {
  return guarded([&]() -> Result<void> {
    const auto response = core_->ask(call, Method::post, "/v1/cp/cluster/reset");
    if (!response) return tl::unexpected(response.error());
    if (is_success(response->status)) return {};
    return core_->refused(*response, "reset the cluster");
  });
}

}  // namespace hyperpod::client
