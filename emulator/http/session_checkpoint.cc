// SPDX-License-Identifier: Apache-2.0
// The requests of the checkpoint API (protocol, "Checkpoints").
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "http/body_sink.h"
#include "http/session.h"

namespace hyperpod::emulator::http {
namespace {

// A slow reader makes progress with each piece; see Limits::stall_timeout.
constexpr std::size_t written_at_once = 1 << 20;

Response success() { return {}; }

Response absent(std::string_view what) { return refusal(404, "absent", what); }

}  // namespace

Awaitable<Response> Session::checkpoint(const RequestHead& head, const Route& route) {
  if (route.operation == Operation::put_shard) co_return co_await put_shard(head, route);
  co_await discard_body(head);
  if (outlived()) close();
  if (peer_gone()) co_return Response{};  // for nobody
  checkpoint::Store& store = service_.checkpoints;
  switch (route.operation) {
    case Operation::create_namespace:
      co_return create_namespace(route);
    case Operation::get_namespace: {
      const auto options = store.find(route.bucket);
      if (!options) co_return absent("There is no such namespace.");
      co_return Response{.body = fmt::format(R"({{"num_ranks":{},"steps_to_retain_per_rank":{}}})",
                                             options->num_ranks, options->steps_retained)};
    }
    case Operation::delete_namespace:
      if (store.remove(route.bucket)) co_return success();
      co_return absent("There is no such namespace.");
    case Operation::delete_shard:
      if (store.remove_shard({route.bucket, route.rank, route.step})) co_return success();
      co_return absent("There is no such shard.");
    case Operation::latest_steps: {
      const auto steps = store.latest(route.bucket, route.limit);
      if (!steps) co_return absent("There is no such namespace.");
      co_return Response{.body = fmt::format("[{}]", fmt::join(*steps, ","))};
    }
    case Operation::reset_cluster:
      store.reset();
      if (behaviour_.cluster_reset_drops_objects) service_.engine.drop_objects();
      co_return success();
    default:
      co_return get_shard(route);
  }
}

Response Session::create_namespace(const Route& route) const {
  if (service_.checkpoints.create(route.bucket, route.created) != checkpoint::Creation::conflict) {
    return success();
  }
  return refusal(behaviour_.namespace_conflict_status, "conflict",
                 "The namespace is there with other numbers, which stay.");
}

Response Session::get_shard(const Route& route) const {
  auto shard = service_.checkpoints.read({route.bucket, route.rank, route.step});
  if (!shard) return absent("There is no such shard.");
  Response response;
  response.shard = *std::move(shard);
  return response;
}

Awaitable<Response> Session::put_shard(const RequestHead& head, const Route& route) {
  // Before the body is read, which takes the head's place.
  const std::optional<std::string> meta(head.shard_meta);
  if (auto refused = refused_form(head)) {
    co_await discard_body(head);
    co_return *std::move(refused);
  }
  const checkpoint::Address address{route.bucket, route.rank, route.step};
  if (!behaviour_.replace_shards && service_.checkpoints.read(address)) {
    co_await discard_body(head);
    co_return refusal(409, "exists", "The shard is stored already; its bytes stay as they are.");
  }
  auto writer = service_.checkpoints.begin(address, head.body_size());
  if (!writer) {
    co_return co_await refuse_body(head, refused(writer.error()));
  }
  const auto announced =
      meta && behaviour_.check_shards ? checkpoint::announced_checksum(*meta) : std::nullopt;
  std::optional<checkpoint::Checksum> checksum;
  if (announced) checksum.emplace();
  BodySink sink(writer->room(), worker().scratch(), checksum ? &*checksum : nullptr);
  const auto ended = co_await receive_whole(head, sink);
  if (ended) co_return *ended;
  if (exchange_->entry.bytes_in == 0 && !behaviour_.accept_empty_shards) {
    co_return refused(core::PutRefusal::empty);
  }
  if (checksum && checksum->base64() != *announced) {
    co_return refusal(behaviour_.shard_checksum_status, "checksum",
                      "The bytes do not fit the checksum in Shard-Meta; what was there stays.");
  }
  const auto stored = writer->commit(meta);
  if (!stored && stored.error() == checkpoint::Refusal::lost) {
    close();
    co_return Response{};  // for nobody
  }
  if (!stored) co_return refused(stored.error());
  co_return success();
}

Response Session::refused(checkpoint::Refusal why) const {
  switch (why) {
    case checkpoint::Refusal::no_namespace:
      return refusal(behaviour_.absent_namespace_status, "absent", "There is no such namespace.");
    case checkpoint::Refusal::no_rank:
      return refusal(behaviour_.shard_address_status, "shard_address",
                     "The namespace has no such rank; ranks count from 0 to num_ranks - 1.");
    case checkpoint::Refusal::too_large:
      return refused(core::PutRefusal::too_large);
    case checkpoint::Refusal::no_memory:
      return refused(core::PutRefusal::no_memory);
    case checkpoint::Refusal::lost:  // and told to nobody
    case checkpoint::Refusal::no_room:
      break;
  }
  return refused(core::PutRefusal::no_room);
}

Awaitable<void> Session::write_shard(const checkpoint::Shard& shard, std::uint64_t at_most) {
  if (!shard.bytes) co_return;
  const Worker::Body under_way(worker());
  const auto& dribble = effects().dribble;
  for (const auto piece : shard.bytes->bytes()) {
    std::string_view left(reinterpret_cast<const char*>(piece.data()),
                          std::min<std::uint64_t>(piece.size(), at_most));
    at_most -= left.size();
    while (!left.empty() && !peer_gone()) {
      const auto part = left.substr(0, dribble ? 1 : written_at_once);
      if (dribble) co_await pause(*dribble, false);
      co_await write(part);
      left.remove_prefix(part.size());
    }
    if (peer_gone()) co_return;
  }
}

}  // namespace hyperpod::emulator::http
