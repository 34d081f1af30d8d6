// SPDX-License-Identifier: Apache-2.0
#include "daemon/preflight.h"

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>

namespace hyperpod::conformance::daemon {
namespace {

constexpr Requirement preparation{"START", Chapter::store, Mark::client, "", ""};
// Pieces are looked for, not the whole object: a daemon may have scattered it.
constexpr std::size_t object_size = 4096;
constexpr std::size_t searched_size = 64;
constexpr std::uint64_t searched = 4ull << 30;
// With less, the checks that run beside each other evict one another's objects.
constexpr std::uint64_t smallest_cache = 64u << 20;
// With room for fewer, beside what others have leased, checks find none for what they store.
constexpr std::size_t objects_at_once = 56;
constexpr auto at_once_ttl = std::chrono::seconds(3);
// With fewer, the checks that run beside each other fail for that; CONC-01 demands more.
constexpr std::size_t connections_at_once = 60;

tl::unexpected<Obstacle> obstacle(Obstacle::Kind kind, std::string explanation) {
  return tl::unexpected(Obstacle{kind, std::move(explanation)});
}

/// Whether the response is a grant that can be understood.
std::optional<Grant> grant_of(Check& check, const Response& response) {
  try {
    if (response.status == 200) return check.grant_in(response);
  } catch (const Violation&) {
    // A malformed grant is for the checks to tell.
  }
  return std::nullopt;
}

/// Whether these bytes are where the grant says, or a part of them anywhere in the segment.
bool found_in(const Segment& segment, const std::optional<Grant>& grant, std::string_view body) {
  if (const auto read = segment.read(grant ? grant->fragments : std::vector<Fragment>());
      read && *read == body) {
    return true;
  }
  return segment.contains(body.substr(0, searched_size), searched) ||
         segment.contains(body.substr(body.size() / 2, searched_size), searched);
}

/// The same for a body that comes behind its head: a daemon may lose what comes with it, which is
/// for the checks to tell.
bool found_when_sent_apart(Check& check, const Segment& segment) {
  const Name name = check.fresh_name();
  const std::string body = check.bytes(object_size);
  try {
    Session session = check.connect();
    session.send_raw(session.head_of(put_request(name, body)));
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    session.send_raw(body);
    (void)session.response();
    return found_in(segment, grant_of(check, session.acquire(name)), body);
  } catch (const Violation&) {
    return false;
  }
}

/// What came of a request: a response, or what was wrong with it.
struct Seen {
  std::optional<Response> response;
  std::string text;  ///< For messages.
};

Seen seen_of(const std::function<Response()>& exchange) {
  try {
    Response response = exchange();
    std::string text = described(response);
    return {std::move(response), std::move(text)};
  } catch (const Violation& violation) {
    return {std::nullopt, "something else than " + violation.expected + ": " + violation.seen};
  }
}

tl::unexpected<Obstacle> no_such_daemon(const Target& target, const std::string& why) {
  return obstacle(Obstacle::Kind::no_such_daemon,
                  "what listens on " + target.endpoint.url() + " is not such a daemon: " + why +
                      "; check the URL, its port, and whether it is http or https");
}

std::string in_mib(std::uint64_t bytes) {
  return bytes < 1u << 20 ? std::to_string(bytes) + " bytes" : std::to_string(bytes >> 20) + " MiB";
}

/// What makes the daemon's capacity, or what the suite is told of it, unfit to judge by.
std::optional<std::string> trouble_with_size(const Target& target, const Segment& segment) {
  const std::uint64_t size = segment.facts().size;
  const std::string path = "/dev/shm/" + target.shm_name;
  // Exactly, SHM-01 compares them.
  const bool alike = target.capacity <= 2 * size && size <= 2 * target.capacity;
  if (target.capacity != 0 && !alike) {
    return "--capacity tells of " + in_mib(target.capacity) + ", and " + path + " has " +
           in_mib(size) + "; give the capacity that the daemon was started with, with its unit";
  }
  const std::uint64_t capacity = target.capacity != 0 ? target.capacity : size;
  if (capacity >= smallest_cache) return std::nullopt;
  return "a cache of " + in_mib(capacity) +
         " is too small for the checks, which would evict one "
         "another's objects; start the daemon with " +
         in_mib(smallest_cache) + " or more";
}

/// Stores and leases one object; false where its PUT is refused again and again.
bool fits(Check& check, const Name& name) {
  for (int i = 0; i < 3; ++i) {
    Session session = check.connect();  // A refusal may cost one.
    const int status = session.put(name, "x").status;
    if (status >= 400 && status != 409) continue;
    const Response response = check.connect().acquire(name, {.ttl = at_once_ttl});
    if (response.status == 200) (void)check.grant_in(response);
    return true;
  }
  return false;
}

/// Whether `objects_at_once` can be stored while all of them are leased. Anything that goes wrong
/// but a PUT that is refused again and again is for the checks to tell.
bool has_room(Check& check) {
  try {
    std::vector<Session> sessions = check.connect_many(14);
    std::vector<Grant> grants;
    std::vector<Name> missed;
    for (std::size_t stored = 0; stored < objects_at_once; stored += sessions.size()) {
      std::vector<Name> names;
      for (Session& session : sessions) {
        names.push_back(check.fresh_name());
        session.send(put_request(names.back(), "x"));
      }
      for (std::size_t i = 0; i < sessions.size(); ++i) {
        (void)sessions[i].response();
        sessions[i].send(acquire_request(names[i], {.ttl = at_once_ttl}));
      }
      for (std::size_t i = 0; i < sessions.size(); ++i) {
        const Response response = sessions[i].response();
        if (response.status == 200) {
          grants.push_back(check.grant_in(response));
        } else {
          missed.push_back(names[i]);
        }
      }
    }
    // One that was stored at the same time may have taken its room before it was leased.
    if (!std::ranges::all_of(missed, [&](const Name& name) { return fits(check, name); }))
      return false;
    (void)check.release_many(sessions, grants);
  } catch (const Violation&) {
    return true;
  }
  return true;
}

enum class Fate { answered, closed, silent };

Fate fate_of(Session& session, Duration limit) {
  try {
    return session.response_or_close(limit) ? Fate::answered : Fate::closed;
  } catch (const Violation&) {
    return Fate::silent;
  }
}

/// Whether a new connection is answered, now or soon.
bool comes_to_be_answered(Check& check) {
  const TimePoint deadline = now() + check.span(std::chrono::seconds(5));
  do {
    auto session = check.try_connect(check.target().endpoint, check.target().tls, AF_UNSPEC);
    if (session) {
      session->send(release_request("no-such-lease"));
      if (fate_of(*session, check.span(std::chrono::seconds(5))) == Fate::answered) return true;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  } while (now() < deadline);
  return false;
}

/// How many connections are answered while all of them are open, where that is fewer than
/// `connections_at_once` for their number: all beyond it are refused, or answered once those are
/// closed. A daemon that is slow, or loses a response, is for the checks to tell.
std::optional<std::size_t> few_connections(Check& check) {
  std::vector<Session> open;
  while (open.size() < connections_at_once) {
    auto next = check.try_connect(check.target().endpoint, check.target().tls, AF_UNSPEC);
    if (!next) break;
    open.push_back(*std::move(next));
  }
  for (Session& session : open) session.send(release_request("no-such-lease"));
  // Each has its time from the response before on: a daemon may answer one after the other.
  Duration limit = check.span(std::chrono::seconds(5));
  std::size_t answered = 0;
  bool closed = false;
  std::vector<Session> silent;
  for (Session& session : open) {
    const Fate fate = fate_of(session, limit);
    if (fate == Fate::answered && closed) return std::nullopt;  // It was not for their number.
    if (fate == Fate::answered) ++answered;
    if (fate == Fate::closed) closed = true;
    if (fate != Fate::silent) continue;
    limit = std::chrono::milliseconds(10);  // The others have had their time by now.
    silent.push_back(std::move(session));
  }
  if (answered == 0 || answered == connections_at_once) return std::nullopt;
  open.clear();
  if (silent.empty()) return comes_to_be_answered(check) ? std::optional(answered) : std::nullopt;
  const auto comes_late = [&](Session& session) {
    return fate_of(session, limit) == Fate::answered;
  };
  const TimePoint deadline = now() + check.span(std::chrono::seconds(5));
  do {
    if (std::ranges::any_of(silent, comes_late)) return answered;
  } while (now() < deadline);
  return std::nullopt;
}

/// What few connections are called; nullopt where there are enough.
std::optional<Obstacle> trouble_with_connections(Check& check) {
  auto few = few_connections(check);
  // Again, for a machine may stand still for as long as that, and a daemon may lose a request. What
  // has just been closed may still count.
  std::optional<std::size_t> before;
  for (int i = 0; few && few != before && i < 3; ++i)
    before = std::exchange(few, few_connections(check));
  if (!few || few != before) return std::nullopt;
  return Obstacle{Obstacle::Kind::few_connections,
                  "the daemon serves no more than " + std::to_string(*few) +
                      (*few == 1 ? " connection" : " connections") +
                      " at once: one more gets its response when these are closed; one engine "
                      "opens 128 (CONC-01), and no check is run with fewer than " +
                      std::to_string(connections_at_once)};
}

}  // namespace

tl::expected<std::shared_ptr<const Segment>, Obstacle> preflight(const Target& target,
                                                                 std::uint64_t seed) {
  Check check(target, preparation, nullptr, seed);
  auto session = check.try_connect(target.endpoint, target.tls, AF_UNSPEC);
  if (!session) {
    const bool tls = session.error().code == ErrorCode::tls_unusable;
    return obstacle(Obstacle::Kind::unreachable,
                    session.error().message + (tls ? "; is it an HTTPS port?" : ""));
  }
  const Name name = check.fresh_name();
  const std::string body = check.bytes(object_size);
  // One of whose responses only one kind can be read is such a daemon: the checks tell what is
  // wrong.
  Seen stored = seen_of([&] { return session->put(name, body); });
  Seen granted = seen_of([&] { return check.connect().acquire(name); });
  if (!stored.response && !granted.response) return no_such_daemon(target, granted.text);
  const std::string responses = "it answers a PUT under /v1/kv/ with " + stored.text +
                                " and a lease request with " + granted.text;
  const bool leased = granted.response && granted.response->status == 200;
  // 507 is what such a daemon says where all of its cache is leased (PUT-12).
  const bool served = leased || (stored.response &&
                                 (stored.response->status < 400 || stored.response->status == 507));
  if (!served) return no_such_daemon(target, responses);
  const auto grant = leased ? grant_of(check, *granted.response) : std::nullopt;
  auto segment = Segment::open(target.shm_name);
  if (segment &&
      (!leased || found_in(*segment, grant, body) || found_when_sent_apart(check, *segment))) {
    check.release_open_leases();
    { const Session closed = *std::move(session); }  // It counts as well.
    if (const auto trouble = trouble_with_connections(check)) return tl::unexpected(*trouble);
    if (const auto trouble = trouble_with_size(target, *segment))
      return obstacle(Obstacle::Kind::segment, *trouble);
    const bool room = has_room(check);
    check.release_open_leases();
    if (!room) {
      return obstacle(Obstacle::Kind::segment,
                      "the daemon refuses to store " + std::to_string(objects_at_once) +
                          " small objects that are leased at once, which the checks need; wait "
                          "until the leases of others have ended, or start it with a larger cache "
                          "or smaller blocks");
    }
    return std::make_shared<const Segment>(*std::move(segment));
  }
  if (leased && !grant) return no_such_daemon(target, responses);
  if (!segment) return obstacle(Obstacle::Kind::segment, segment.error().message);
  return obstacle(Obstacle::Kind::segment,
                  "the daemon granted a lease, but what was stored is nowhere in /dev/shm/" +
                      target.shm_name +
                      ": it uses a segment of another name, or another machine's or container's "
                      "/dev/shm; give its shared_memory_name as --shm-name");
}

}  // namespace hyperpod::conformance::daemon
