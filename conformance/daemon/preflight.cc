#include "daemon/preflight.h"

namespace hyperpod::conformance {
namespace {

constexpr Requirement preparation{"START", Chapter::store, Mark::client, "", ""};
// Pieces are looked for, not the whole object: a daemon may have scattered it.
constexpr std::size_t object_size = 4096;
constexpr std::size_t piece_size = 64;
constexpr std::uint64_t searched = 16ull << 30;

tl::unexpected<Obstacle> obstacle(Obstacle::Kind kind, std::string explanation) {
  return tl::unexpected(Obstacle{kind, std::move(explanation)});
}

/// Whether the bytes are where the lease says, or anywhere at all.
bool holds(const Segment& segment, const Answer& granted, const std::string& body, Check& check) {
  try {
    if (check.read(check.grant_in(granted)) == body) return true;
  } catch (const Violation&) {
    // A malformed grant is for the checks to tell.
  }
  for (std::size_t at = 0; at < body.size(); at += piece_size) {
    if (segment.contains(std::string_view(body).substr(at, piece_size), searched)) return true;
  }
  return false;
}

}  // namespace

tl::expected<std::shared_ptr<const Segment>, Obstacle> preflight(const Target& target) {
  Check check(target, preparation, nullptr, 0);
  auto session = check.try_connect(target.endpoint, target.tls, AF_UNSPEC);
  if (!session) return obstacle(Obstacle::Kind::unreachable, session.error().message);
  const Name name = check.fresh_name();
  const std::string body = check.bytes(object_size);
  std::optional<Answer> stored;
  std::optional<Answer> granted;
  try {
    stored = session->put(name, body);
    Session second = check.connect();
    granted = second.acquire(name);
  } catch (const Violation& violation) {
    return obstacle(Obstacle::Kind::no_such_daemon,
                    "what listens on " + target.endpoint.url() +
                        " is no such daemon: it was asked for " + violation.expected + ", but " +
                        violation.seen + "; check the URL, its port and http or https");
  }
  if (stored->status >= 400 && granted->status != 200) {
    return obstacle(Obstacle::Kind::no_such_daemon,
                    "what listens on " + target.endpoint.url() +
                        " is no such daemon: it answers a PUT under /v1/kv/ with " +
                        described(*stored) + " and a lease request with " + described(*granted) +
                        "; check the URL and its port");
  }
  auto segment = Segment::open(target.shm_name);
  if (!segment) return obstacle(Obstacle::Kind::segment, segment.error().message);
  auto shared = std::make_shared<const Segment>(*std::move(segment));
  Check reader(target, preparation, shared, 0);
  const bool right = granted->status != 200 || holds(*shared, *granted, body, reader);
  reader.tidy();
  if (right) return shared;
  return obstacle(Obstacle::Kind::segment,
                  "the daemon granted a lease, but what was stored is nowhere in /dev/shm/" +
                      target.shm_name +
                      ": it uses a segment of another name, or another machine's or container's "
                      "/dev/shm; give its shared_memory_name as --shm-name");
}

}  // namespace hyperpod::conformance
