#include "hyperpod/client/client.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "client_core.h"

namespace hyperpod::client {
namespace {

std::shared_ptr<spdlog::logger> stderr_logger() {
  auto sink = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("hyperpod.client", std::move(sink));
  logger->set_level(spdlog::level::warn);
  return logger;
}

// What a copy's error means for a get: a lease that went is no error.
Result<GetStatus> status_of(const Result<void>& copied) {
  if (copied) return GetStatus::hit;
  if (copied.error().code == ErrorCode::lease_expired) return GetStatus::lease_expired;
  return tl::unexpected(copied.error());
}

Error buffer_too_small(std::string_view key, std::uint64_t size, std::uint64_t room) {
  return {ErrorCode::too_large,
          fmt::format("'{}' has {} bytes, and the buffer only {}", key, size, room)};
}

// Leases `key` and hands the lease to `read`, which returns the outcome of a get.
template <class Outcome, class Read>
Result<Outcome> with_lease(ClientCore& core, std::string_view key, const ReadOptions& options,
                           TimePoint deadline, const Read& read) {
  auto outcome = [&]() -> Result<Outcome> {
    auto lease = core.acquire(key, options, deadline);
    if (!lease) return tl::unexpected(std::move(lease).error());
    if (!*lease) return Outcome{};
    Result<Outcome> got = read(**lease);
    core.release(**lease, deadline);
    return got;
  }();
  outcome ? core.count_get(outcome->status) : core.count_get_error();
  return outcome;
}

Result<GetOutcome> get_into(ClientCore& core, std::string_view key, std::span<std::byte> buffer,
                            const ReadOptions& options, TimePoint deadline) {
  return with_lease<GetOutcome>(
      core, key, options, deadline, [&](const Lease& lease) -> Result<GetOutcome> {
        if (lease.size() > buffer.size()) {
          return tl::unexpected(buffer_too_small(key, lease.size(), buffer.size()));
        }
        const auto status = status_of(lease.copy_to(buffer.first(lease.size())));
        if (!status) return tl::unexpected(status.error());
        return GetOutcome{*status, *status == GetStatus::hit ? lease.size() : 0};
      });
}

// What a chunk's object holds: its layout, and where its payload begins.
struct ChunkPlan {
  GetStatus status;
  ChunkLayout layout;
  std::uint64_t payload_offset;
};

Result<ChunkPlan> plan_chunk(const Lease& lease, const ChunkLayout& expected, bool has_header) {
  if (!has_header) {
    auto layout = partial_layout(expected, lease.size());
    if (!layout) return tl::unexpected(std::move(layout).error());
    return ChunkPlan{GetStatus::hit, *std::move(layout), 0};
  }
  std::vector<std::byte> bytes(
      std::min<std::uint64_t>(chunk_header_bytes(expected.groups.size()), lease.size()));
  const auto status = status_of(lease.copy_to(bytes));
  if (!status) return tl::unexpected(status.error());
  if (*status != GetStatus::hit) return ChunkPlan{*status, {}, 0};
  auto header = decode_chunk_header(bytes, expected.groups.size());
  if (!header) return tl::unexpected(std::move(header).error());
  if (bytes.size() + header->payload_bytes != lease.size()) {
    return tl::unexpected(Error{ErrorCode::malformed_response,
                                fmt::format("the chunk header tells {} bytes, but {} follow it",
                                            header->payload_bytes, lease.size() - bytes.size())});
  }
  return ChunkPlan{GetStatus::hit, std::move(header->layout), bytes.size()};
}

Result<PutOutcome> put_item(ClientCore& core, const PutItem& item, TimePoint deadline) {
  if (!item.layout || !core.options().save_chunk_meta) {
    return core.put(item.key, {}, item.bytes, deadline);
  }
  const auto header = encode_chunk_header(*item.layout, item.bytes.size());
  if (!header) return tl::unexpected(header.error());
  return core.put(item.key, *header, item.bytes, deadline);
}

// The outcome of `call(i)` for each item, worked out side by side.
template <class Outcome, class Call>
std::vector<Result<Outcome>> for_each_item(ClientCore& core, std::size_t count, const Call& call) {
  std::vector<Result<Outcome>> outcomes(count);
  core.workers().for_each(count, [&](std::size_t i) { outcomes[i] = call(i); });
  return outcomes;
}

}  // namespace

Result<Client> Client::create(ClientOptions options) {
  auto logger = options.logger ? options.logger : stderr_logger();
  const auto warnings = normalise(options);
  if (!warnings) return tl::unexpected(warnings.error());
  for (const std::string& warning : *warnings) logger->warn("{}", warning);
  auto addresses = parse_addresses(options, process_environment());
  if (!addresses) return tl::unexpected(std::move(addresses).error());
  return Client(
      std::make_shared<ClientCore>(std::move(options), *std::move(addresses), std::move(logger)));
}

Client::Client(std::shared_ptr<ClientCore> core) : core_(std::move(core)) {}
Client::Client(Client&&) noexcept = default;

Client& Client::operator=(Client&& other) noexcept {
  if (core_) core_->close();
  core_ = std::move(other.core_);
  return *this;
}

Client::~Client() {
  if (core_) core_->close();
}

Result<PutOutcome> Client::put(std::string_view key, std::span<const std::byte> object) {
  return put_item(*core_, {key, object}, core_->put_deadline());
}

Result<PutOutcome> Client::put_chunk(std::string_view key, const ChunkLayout& layout,
                                     std::span<const std::byte> payload) {
  return put_item(*core_, {key, payload, layout}, core_->put_deadline());
}

Result<GetOutcome> Client::get(std::string_view key, std::span<std::byte> buffer,
                               const ReadOptions& read) {
  return get_into(*core_, key, buffer, read, core_->read_deadline(read));
}

Result<ObjectOutcome> Client::get(std::string_view key, const ReadOptions& read) {
  return with_lease<ObjectOutcome>(
      *core_, key, read, core_->read_deadline(read),
      [](const Lease& lease) -> Result<ObjectOutcome> {
        auto data = std::make_unique_for_overwrite<std::byte[]>(lease.size());
        const auto status = status_of(lease.copy_to({data.get(), lease.size()}));
        if (!status) return tl::unexpected(status.error());
        if (*status != GetStatus::hit) return ObjectOutcome{*status, nullptr, 0};
        return ObjectOutcome{*status, std::move(data), lease.size()};
      });
}

Result<ChunkOutcome> Client::get_chunk(std::string_view key, std::span<std::byte> payload,
                                       const ChunkLayout& expected, const ReadOptions& read) {
  const bool has_header = core_->options().save_chunk_meta;
  return with_lease<ChunkOutcome>(
      *core_, key, read, core_->read_deadline(read),
      [&](const Lease& lease) -> Result<ChunkOutcome> {
        auto plan = plan_chunk(lease, expected, has_header);
        if (!plan) return tl::unexpected(std::move(plan).error());
        if (plan->status != GetStatus::hit) return ChunkOutcome{plan->status, 0, {}};
        const std::uint64_t size = lease.size() - plan->payload_offset;
        if (size > payload.size()) {
          return tl::unexpected(buffer_too_small(key, size, payload.size()));
        }
        const auto status = status_of(lease.copy_to(payload.first(size), plan->payload_offset));
        if (!status) return tl::unexpected(status.error());
        if (*status != GetStatus::hit) return ChunkOutcome{*status, 0, {}};
        return ChunkOutcome{*status, size, std::move(plan->layout)};
      });
}

Result<std::optional<Lease>> Client::acquire(std::string_view key, const ReadOptions& read) {
  return core_->acquire(key, read, core_->read_deadline(read));
}

Result<bool> Client::exists(std::string_view key, const ReadOptions& read) {
  return core_->exists(key, read, core_->read_deadline(read));
}

std::vector<Result<GetOutcome>> Client::batched_get(std::span<const GetItem> items,
                                                    const ReadOptions& read) {
  return for_each_item<GetOutcome>(
      *core_, items.size(), [&, deadline = core_->read_deadline(read)](std::size_t i) {
        return get_into(*core_, items[i].key, items[i].buffer, read, deadline);
      });
}

std::vector<Result<PutOutcome>> Client::batched_put(std::span<const PutItem> items) {
  return for_each_item<PutOutcome>(*core_, items.size(),
                                   [&, deadline = core_->put_deadline()](std::size_t i) {
                                     return put_item(*core_, items[i], deadline);
                                   });
}

ContainsOutcome Client::batched_contains(std::span<const std::string> keys,
                                         const ReadOptions& read) {
  ContainsOutcome outcome;
  const TimePoint deadline = core_->read_deadline(read);
  for (const std::string& key : keys) {
    auto found = core_->exists(key, read, deadline);
    if (!found) outcome.error = std::move(found).error();
    if (!found || !*found) break;
    ++outcome.hits;
  }
  return outcome;
}

void Client::close() { core_->close(); }
Statistics Client::statistics() const { return core_->statistics(); }
std::vector<DaemonState> Client::daemons() const { return core_->daemons(); }

}  // namespace hyperpod::client
