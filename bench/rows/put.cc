// Storing: bytes must reach the segment about as fast as TCP can carry them there.
#include <algorithm>
#include <bit>

#include "load/answer.h"
#include "load/uploads.h"
#include "load/workloads.h"
#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"
#include "servers.h"

namespace hyperpod::bench {
namespace {

constexpr std::uint64_t mebibyte = 1ull << 20;
constexpr std::uint64_t body_bytes = 16 * mebibyte;
constexpr std::uint64_t capacity = 512 * mebibyte;
constexpr double bound = 0.9;
// What a machine of today carries in a second or so: the bodies of a round, by its length.
constexpr std::uint64_t bodies_a_second = 128;

Result<bool> http_accepted(std::string_view received) {
  const auto parsed = parse_answer(received);
  if (parsed.result == ParseResult::incomplete) return false;
  if (parsed.answer.status == 200) return true;
  return failure("the emulator answered a body with " + std::to_string(parsed.answer.status) +
                 ": " + std::string(parsed.answer.body));
}

Result<bool> raw_accepted(std::string_view received) { return received == "ok"; }

std::string raw_head(std::uint64_t /*number*/) {
  std::string head(sizeof body_bytes, '\0');
  std::copy_n(std::bit_cast<const char*>(&body_bytes), head.size(), head.begin());
  return head;
}

// One contender's uploads; numbers its bodies on, so that every key is a new one.
class Sender {
 public:
  Sender(const Server& server, unsigned connections, std::string_view body,
         decltype(Upload::head) head, decltype(Upload::accepted) accepted)
      : upload_{.port = server.port,
                .connections = connections,
                .first = 0,
                .count = 0,
                .body = body,
                .head = std::move(head),
                .accepted = std::move(accepted)} {}

  /// Bytes a second.
  Result<double> send(std::uint64_t bodies) {
    upload_.first += upload_.count;
    upload_.count = bodies;
    return upload(upload_);
  }

 private:
  Upload upload_;
};

Result<Finding> measure_over(unsigned connections, const Settings& settings) {
  const auto emulator = start_emulator(capacity, mebibyte);
  if (!emulator) return tl::unexpected(emulator.error());
  const auto receiver = start_raw_receiver(capacity);
  if (!receiver) return tl::unexpected(receiver.error());
  const std::string body(body_bytes, 'k');
  const auto head = [](std::uint64_t number) { return put_head(number, body_bytes); };
  Sender ours(*emulator, connections, body, head, http_accepted);
  Sender theirs(*receiver, connections, body, raw_head, raw_accepted);

  // Both have touched every page of their mappings before the first round; from then on the
  // emulator evicts and the receiver goes round.
  constexpr std::uint64_t whole_mapping = capacity / body_bytes;
  if (auto warm = ours.send(whole_mapping); !warm) return tl::unexpected(warm.error());
  if (auto warm = theirs.send(whole_mapping); !warm) return tl::unexpected(warm.error());

  const auto bodies = std::max<std::uint64_t>(
      connections, bodies_a_second * static_cast<std::uint64_t>(settings.slice.count()) / 1000);
  const auto comparison = compare(
      settings.rounds, [&] { return ours.send(bodies); }, [&] { return theirs.send(bodies); });
  if (!comparison) return tl::unexpected(comparison.error());
  const auto mebibytes = [](double bytes) { return grouped(bytes / mebibyte) + " MiB/s"; };
  nlohmann::json details = comparison->details();
  details["unit"] = "bytes/s";
  details["bytes_a_round"] = bodies * body_bytes;
  return Finding{comparison->ratio() >= bound, mebibytes(median(comparison->ours)),
                 "raw TCP " + mebibytes(median(comparison->theirs)),
                 fixed(comparison->ratio(), 2) + " x", std::move(details)};
}

}  // namespace

Row put_against_raw_tcp(unsigned connections) {
  return {"put-" + std::to_string(connections),
          "PUT of 16 MiB bodies, connections: " + std::to_string(connections), ">= 0.9 x raw TCP",
          [connections](const Settings& settings) { return measure_over(connections, settings); }};
}

}  // namespace hyperpod::bench
