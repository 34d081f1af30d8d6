// SPDX-License-Identifier: Apache-2.0
#include "daemon/check.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <exception>
#include <thread>

#include "daemon/names.h"
#include "probe/json.h"

namespace hyperpod::conformance::daemon {
namespace {

constexpr std::uint64_t largest_filled = 16ull << 30;

[[noreturn]] void no_grant(const Response& response, const std::string& why) {
  throw Violation{R"(a grant {"id": STRING, "offsets": [{"offset": N, "len": N}, …]})",
                  why + ", in " + described(response) + ": " + response.body.substr(0, 200),
                  Symptom::grant};
}

std::uint64_t number_in(const Response& response, const JsonValue& fragment, const char* name) {
  const JsonValue* member = fragment.find(name);
  if (member == nullptr) no_grant(response, std::string("a fragment has no ") + name);
  const auto number = member->unsigned_integer();
  if (!number) no_grant(response, std::string(name) + " is not an integer of 0 or more");
  return *number;
}

Grant parse_grant(const Response& response) {
  const auto json = parse_json(response.body);
  if (!json || json->kind != JsonValue::Kind::object)
    no_grant(response, "the body is not a JSON object");
  const JsonValue* id = json->find("id");
  const bool is_string = id != nullptr && id->kind == JsonValue::Kind::string;
  if (id == nullptr || !(is_string || id->is_integer())) no_grant(response, "there is no id");
  const JsonValue* offsets = json->find("offsets");
  if (offsets == nullptr || offsets->kind != JsonValue::Kind::array)
    no_grant(response, "there is no array of offsets");
  Grant grant{.id = is_string ? id->string() : std::string(id->text),
              .fragments = {},
              .id_is_string = is_string,
              .asked = response.sent};
  if (grant.id.empty()) no_grant(response, "the id is empty");
  for (const JsonValue& fragment : offsets->elements) {
    grant.fragments.push_back(
        {number_in(response, fragment, "offset"), number_in(response, fragment, "len")});
  }
  return grant;
}

/// Of many objects in a full cache some may give way, so each is tried again by itself.
void do_patiently(const std::function<void(Session&, std::size_t)>& work, Session& session,
                  std::size_t i) {
  for (int attempt = 1; attempt < attempts_where_missing; ++attempt) {
    try {
      return work(session, i);
    } catch (const Missing&) {
      continue;
    }
  }
  work(session, i);
}

std::string listed(const std::vector<Fragment>& fragments) {
  std::string text;
  for (const Fragment& fragment : fragments) {
    if (text.size() > 200) return text + " …";
    text += (text.empty() ? "" : ", ") + std::to_string(fragment.offset) + "+" +
            std::to_string(fragment.len);
  }
  return "[" + text + "]";
}

}  // namespace

std::uint64_t Grant::size() const {
  std::uint64_t sum = 0;
  for (const Fragment& fragment : fragments) sum += fragment.len;
  return sum;
}

bool is_json(std::string_view text) { return parse_json(text).has_value(); }

std::string described(const Response& response) {
  const std::string type = response.media_type();
  return std::to_string(response.status) + " (" + (type.empty() ? "no content type" : type) + ", " +
         std::to_string(response.body.size()) + " bytes)" +
         (response.to_repetition ? ", to a request sent once more, for the first time the "
                                   "connection was closed without a response"
                                 : "");
}

Check::Check(const Target& target, const Requirement& requirement,
             std::shared_ptr<const Segment> segment, std::uint64_t seed)
    : check::Check(requirement, target.profile, target.time_scale),
      target_(target),
      segment_(std::move(segment)),
      random_(seed) {}

std::uint64_t Check::capacity() const {
  if (target_.capacity == 0)
    skip("it would evict what others have stored; give --capacity to allow that");
  if (target_.capacity > largest_filled) skip("a cache over 16 GiB takes too long to fill");
  return target_.capacity;
}

void Check::expect_status(const Response& response, int status, std::string_view to_what,
                          Symptom symptom) const {
  expect_one_of(response, {status}, to_what, symptom);
}

void Check::expect_one_of(const Response& response, std::initializer_list<int> statuses,
                          std::string_view to_what, Symptom symptom) const {
  std::string list;
  for (const int status : statuses) list += (list.empty() ? "" : " or ") + std::to_string(status);
  expect(std::ranges::find(statuses, response.status) != statuses.end(),
         list + " to " + std::string(to_what), described(response), symptom);
}

void Check::expect_miss(const Response& response, std::string expected) const {
  expect(is_miss(response), std::move(expected), described(response),
         response.status / 100 == 2 ? Symptom::granted : Symptom::refused);
}

Name Check::fresh_name(std::string_view suffix) {
  const std::lock_guard lock(mutex_);
  // The number does not stand at the end, where a suffix could make another name's of it.
  return {encoded(target_.bucket), target_.run_id + "-" + std::to_string(++names_) + "-" +
                                       std::string(requirement().id) + std::string(suffix)};
}

std::string Check::bytes(std::size_t size) {
  const std::lock_guard lock(mutex_);
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size; at += 8) {
    const std::uint64_t word = random_();
    std::memcpy(text.data() + at, &word, std::min<std::size_t>(8, size - at));
  }
  return text;
}

Session Check::connect() {
  auto session = try_connect(target_.endpoint, target_.tls, AF_UNSPEC);
  if (session) return *std::move(session);
  const Requirement* by = target_.lost->load();
  if (by != nullptr && by != &requirement()) throw NotJudged{by->id, session.error().message};
  // Where nobody listens, that is told once, by whoever watches the run.
  if (session.error().code == ErrorCode::unreachable)
    throw Violation{"a connection to " + target_.endpoint.url(), session.error().message};
  lose("a connection to " + target_.endpoint.url(), session.error().message);
}

bool Check::is_reachable() {
  return try_connect(target_.endpoint, target_.tls, AF_UNSPEC).has_value();
}

bool Check::is_gone(bool closely) {
  Endpoint plain = target_.endpoint;
  plain.tls = false;
  const TimePoint end = now() + span(std::chrono::seconds(1));
  while (true) {
    auto session = try_connect(plain, {}, AF_UNSPEC);
    if (!session && session.error().code != ErrorCode::unreachable) return false;
    if (session && !(closely && session->closes_within(span(std::chrono::milliseconds(50)))))
      return false;
    if (now() >= end) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Check::expect_not_lost() {
  const Requirement* by = target_.lost->load();
  if (by != nullptr && by != &requirement() && !is_reachable())
    throw NotJudged{by->id, "nobody listens at " + target_.endpoint.url()};
}

void Check::lose(std::string expected, std::string seen) {
  // What is warned of hides no MUST.
  if (requirement().level() == Level::must) *target_.lost = &requirement();
  throw Violation{std::move(expected), std::move(seen)};
}

Result<Session> Check::try_connect(const Endpoint& endpoint, const TlsSettings& tls, int family) {
  const Duration patience = span(std::chrono::seconds(5));
  auto connection = Connection::open(endpoint, now() + patience, tls, family);
  if (!connection) return tl::unexpected(connection.error());
  // What replaces it when the daemon closes it; all in copies, for the session may outlive them.
  const auto again = [endpoint, tls, family, patience] {
    return Connection::open(endpoint, now() + patience, tls, family);
  };
  return Session(*std::move(connection), endpoint.authority(), patience, transcript(), again);
}

std::vector<Session> Check::connect_many(std::size_t count) {
  std::vector<Session> sessions;
  sessions.reserve(count);
  while (sessions.size() < count) sessions.push_back(connect());
  return sessions;
}

Name Check::stored(Session& session, std::size_t size) {
  const Name name = fresh_name();
  store(session, name, bytes(size));
  return name;
}

void Check::side_by_side(std::size_t count,
                         const std::function<void(Session&, std::size_t)>& work) {
  // Few, so that a small cache keeps their objects; more where responses come late, so that these
  // cost no more than seconds.
  constexpr std::size_t few = 8;
  constexpr std::size_t many = 32;
  std::vector<Session> sessions = connect_many(std::min(count, few));
  if (sessions.empty()) return;
  Duration least = Duration::max();  // Of a busy machine one is late, of a slow daemon all.
  for (int i = 0; i < 3; ++i)
    least = std::min<Duration>(least, sessions[0].release("no-such-lease").took());
  while (least > std::chrono::milliseconds(30) && sessions.size() < std::min(count, many))
    sessions.push_back(connect());
  std::atomic<std::size_t> next = 0;
  std::mutex guard;  // of `thrown`
  std::exception_ptr thrown;
  {
    std::vector<std::jthread> threads;
    threads.reserve(sessions.size());
    for (Session& session : sessions) {
      threads.emplace_back([&] {
        try {
          for (std::size_t i = next++; i < count; i = next++) do_patiently(work, session, i);
        } catch (...) {
          next = count;
          const std::lock_guard lock(guard);
          if (!thrown) thrown = std::current_exception();
        }
      });
    }
  }
  if (thrown) std::rethrow_exception(thrown);
}

void Check::store(Session& session, const Name& name, std::string_view body) {
  const Response response = session.put(name, body);
  expect(response.status / 100 == 2, "200 to the PUT of a new key", described(response));
}

Grant Check::lease(Session& session, const Name& name, const LeaseTerms& terms) {
  const Response response = session.acquire(name, terms);
  expect_present(response, "a lease on a key that was stored");
  expect(response.status / 100 == 2, "a lease on a key that was stored", described(response));
  return grant_in(response);
}

std::vector<Grant> Check::lease_many(std::vector<Session>& sessions, const Name& name,
                                     std::size_t count, const LeaseTerms& terms,
                                     std::string_view what) {
  std::vector<Grant> grants;
  while (grants.size() < count) {
    const std::span some =
        std::span(sessions).first(std::min(sessions.size(), count - grants.size()));
    for (Session& session : some) session.send(acquire_request(name, terms));
    for (Session& session : some) {
      const Response response = session.response();
      expect_present(response, "the grant of " + std::string(what));
      expect(response.status / 100 == 2, "the grant of " + std::string(what), described(response));
      grants.push_back(grant_in(response));
    }
  }
  return grants;
}

std::optional<Response> Check::release_many(std::vector<Session>& sessions,
                                            std::span<const Grant> grants) {
  std::optional<Response> odd;
  while (!grants.empty()) {
    const std::size_t some = std::min(sessions.size(), grants.size());
    for (std::size_t i = 0; i < some; ++i) sessions[i].send(release_request(grants[i].id));
    for (std::size_t i = 0; i < some; ++i) {
      Response response = sessions[i].response();
      if (response.status != 200 && !odd) odd = std::move(response);
      forget(grants[i]);
    }
    grants = grants.subspan(some);
  }
  return odd;
}

Grant Check::grant_in(const Response& response) {
  Grant grant = parse_grant(response);
  const std::lock_guard lock(mutex_);
  open_leases_.push_back(grant.id);
  return grant;
}

void Check::release(Session& session, const Grant& grant) {
  (void)session.release(grant.id);
  forget(grant);
}

void Check::forget(const Grant& grant) {
  const std::lock_guard lock(mutex_);
  std::erase(open_leases_, grant.id);
}

std::string Check::read(const Grant& grant) const {
  auto bytes = segment_->read(grant.fragments);
  if (!bytes)
    throw Violation{"fragments inside the segment", bytes.error().message, Symptom::place};
  return *std::move(bytes);
}

void Check::expect_bytes(const Grant& grant, std::string_view bytes, std::string_view whose) const {
  if (const std::uint64_t size = grant.size(); size != bytes.size()) {
    throw Violation{
        "fragments of the " + std::to_string(bytes.size()) + " bytes of " + std::string(whose),
        "fragments of " + std::to_string(size) + " bytes at " + listed(grant.fragments),
        Symptom::place};
  }
  const std::string found = read(grant);
  if (found == bytes) return;
  const auto differ = std::ranges::mismatch(found, bytes);
  throw Violation{"the " + std::to_string(bytes.size()) + " bytes of " + std::string(whose),
                  std::to_string(found.size()) + " bytes at " + listed(grant.fragments) +
                      ", which differ from byte " + std::to_string(differ.in1 - found.begin()) +
                      " on",
                  Symptom::bytes};
}

void Check::expect_stored(Session& session, const Name& name, std::string_view bytes) {
  const Grant grant = lease(session, name);
  expect_bytes(grant, bytes, "the object " + name.key);
  release(session, grant);
}

void Check::expect_stored_or_gone(Session& session, const Name& name, std::string_view bytes) {
  const Response response = session.acquire(name);
  if (response.status / 100 != 2) return;
  const Grant grant = grant_in(response);
  expect_bytes(grant, bytes, "the object " + name.key);
  release(session, grant);
}

void Check::expect_absent(Session& session, const Name& name, std::string_view why) {
  const Response response = session.acquire(name);
  expect_miss(response, "a miss (504 or 404): " + std::string(why));
}

void Check::expect_present(const Response& response, std::string_view what) const {
  if (is_miss(response)) throw Missing{{std::string(what), described(response)}};
}

void Check::expect_taken(const Response& response, std::string_view what) const {
  if (response.status / 100 == 2)
    throw Missing{{"409 to " + std::string(what), described(response)}};
}

void Check::expect_alive() {
  Session session = connect();
  const Name name = fresh_name();
  const std::string body = bytes(64);
  store(session, name, body);
  expect_stored(session, name, body);
}

void Check::remap() {
  auto segment = Segment::open(target_.shm_name);
  if (!segment) throw Violation{"the segment under its name", segment.error().message};
  segment_ = std::make_shared<const Segment>(*std::move(segment));
}

void Check::release_open_leases() {
  if (open_leases_.empty()) return;
  auto session = try_connect(target_.endpoint, target_.tls, AF_UNSPEC);
  if (!session) return;
  try {
    for (const std::string& id : open_leases_) (void)session->release(id);
  } catch (const Violation&) {
    // What cannot be released now ends with its TTL.
  }
}

void Check::begin_again() {
  release_open_leases();
  open_leases_.clear();
  forget_figures();
}

}  // namespace hyperpod::conformance::daemon
