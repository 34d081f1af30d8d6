// SPDX-License-Identifier: Apache-2.0
// Defects of the segment, of pins and eviction, and of restarts.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance::defects {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

/// From here on an object counts as large: only the checks of pins and eviction send such.
constexpr std::uint64_t large = 4u << 20;

/// A mutation that changes the members of grants.
void mutate_grants(DaemonSetup& setup, std::function<void(Json&, const ReceivedRequest&)> change) {
  setup.mutation.emplace();
  setup.mutation->response = [change = std::move(change)](const ReceivedRequest& request,
                                                          ResponseMessage& response) {
    if (!request.head.is_acquire() || response.status != 200) return;
    Json grant = Json::parse(response.body, nullptr, false);
    change(grant, request);
    response.body = grant.dump();
  };
}

/// The bytes of a grant's fragments, within a segment.
std::vector<std::span<char>> places_of(const ResponseMessage& grant, std::span<char> segment) {
  std::vector<std::span<char>> places;
  const Json json = Json::parse(grant.body, nullptr, false);
  for (const Json& fragment : json["offsets"]) {
    places.push_back(segment.subspan(fragment["offset"], fragment["len"]));
  }
  return places;
}

/// The fragments of leased objects are written over while others are stored.
void writes_over_leased_objects(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto leased = std::make_shared<std::vector<std::span<char>>>();
  setup.mutation->response = [leased, direct = setup.direct](const ReceivedRequest& request,
                                                             ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200) {
      for (const auto place : places_of(response, direct->segment())) leased->push_back(place);
    }
    if (!request.head.is_put() || request.head.content_length() < large) return;
    for (const auto place : *leased) place[0] = static_cast<char>(~place[0]);
    leased->clear();
  };
}

/// The daemon never learns of leases: they are released as soon as they are granted.
void evicts_leased_objects(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->response = [direct = setup.direct](const ReceivedRequest& request,
                                                     ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200) direct->release(id_of(response));
    if (request.head.is_release()) response = ResponseMessage::of(200);
  };
}

/// What is leased at the moment at which a PUT of some size begins loses its place to it.
void gives_away_what_it_is_about_to_lease(DaemonSetup& setup) {
  setup.mutation.emplace();
  constexpr std::uint64_t some = 200'000;
  struct Leased {
    std::span<char> place;
    TimePoint at;
  };
  auto leased = std::make_shared<std::vector<Leased>>();
  setup.mutation->response = [leased, direct = setup.direct](const ReceivedRequest& request,
                                                             ResponseMessage& response) {
    if (!request.head.is_acquire() || response.status != 200) return;
    for (const auto place : places_of(response, direct->segment()))
      leased->push_back({place, now()});
  };
  setup.mutation->answered = [leased](const ReceivedRequest& request, const ResponseMessage&) {
    const std::uint64_t size = request.head.content_length();
    if (!request.head.is_put() || size < some || size >= large) return;
    for (const Leased& one : *leased)
      if (one.at + 2ms > request.at) one.place[0] = static_cast<char>(~one.place[0]);
    leased->clear();
  };
}

void moves_leased_objects(DaemonSetup& setup) {
  auto seen = std::make_shared<std::set<std::string>>();
  mutate_grants(setup, [seen](Json& grant, const ReceivedRequest& request) {
    if (seen->insert(request.head.object()).second) return;
    for (Json& fragment : grant["offsets"]) {
      const std::uint64_t offset = fragment["offset"];
      fragment["offset"] = offset >= (1u << 20) ? offset - (1u << 20) : offset + (1u << 20);
    }
  });
}

void never_evicts(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto used = std::make_shared<std::uint64_t>(0);
  setup.mutation->request = [used, capacity = setup.options.capacity](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_put()) return std::nullopt;
    if (*used + head.content_length() > capacity) return ResponseMessage::of(507);
    *used += head.content_length();
    return std::nullopt;
  };
}

/// A second pin is taken with each lease on a large object; it ends with the release if `released`,
/// and with nothing else.
auto pinning_twice(bool released) {
  return [released](DaemonSetup& setup) {
    setup.mutation.emplace();
    auto second = std::make_shared<std::map<std::string, std::string>>();
    auto sizes = std::make_shared<std::map<std::string, std::uint64_t>>();
    setup.mutation->response = [second, sizes, released, direct = setup.direct](
                                   const ReceivedRequest& request, ResponseMessage& response) {
      const std::string object = request.head.object();
      if (request.head.is_put()) (*sizes)[object] = request.head.content_length();
      const bool granted = request.head.is_acquire() && response.status == 200;
      if (granted && (*sizes)[object] >= large) (*second)[id_of(response)] = direct->pin(object);
      if (request.head.is_release() && released)
        direct->release((*second)[request.head.lease_id()]);
    };
  };
}

void has_a_segment_of_another_size(DaemonSetup& setup) {
  setup.told_capacity = setup.options.capacity;
  setup.options.capacity -= setup.options.block_size;
}

void opens_its_segment_to_all(DaemonSetup& setup) { setup.options.shm_mode = 0666; }

/// What is done to the segment once the cache has been filled.
auto changing_its_segment(std::function<void(int fd, std::uint64_t size)> change) {
  return [change = std::move(change)](DaemonSetup& setup) {
    setup.mutation.emplace();
    setup.mutation->answered = [change, direct = setup.direct, size = setup.options.capacity](
                                   const ReceivedRequest& request, const ResponseMessage&) {
      if (!request.head.is_put() || request.head.content_length() < large) return;
      const int fd = ::shm_open(("/" + direct->shm_name()).c_str(), O_RDWR, 0);
      if (fd < 0) return;
      change(fd, size);
      ::close(fd);
    };
  };
}

void make_longer(int fd, std::uint64_t size) {
  (void)::ftruncate(fd, static_cast<off_t>(size + 4096));
}

void open_to_all(int fd, std::uint64_t) { (void)::fchmod(fd, 0644); }

void is_off_by_one(DaemonSetup& setup) {
  mutate_grants(setup, [](Json& grant, const ReceivedRequest&) {
    for (Json& fragment : grant["offsets"])
      fragment["offset"] = fragment["offset"].get<std::uint64_t>() + 1;
  });
}

void lists_fragments_backwards(DaemonSetup& setup) {
  setup.options.placement = emulator::Placement::scattered;
  mutate_grants(setup, [](Json& grant, const ReceivedRequest&) {
    std::ranges::reverse(grant["offsets"].get_ref<Json::array_t&>());
  });
}

/// What a held request was granted shows up in the segment some milliseconds later.
void grants_before_the_bytes_are_there(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->response = [direct = setup.direct](const ReceivedRequest& request,
                                                     ResponseMessage& response) {
    const bool held = request.head.parameter("timeout_ms").value_or("0") != "0";
    if (!request.head.is_acquire() || !held || response.status != 200) return;
    for (const auto place : places_of(response, direct->segment())) {
      const std::string bytes(place.begin(), place.end());
      std::ranges::fill(place, '\0');
      direct->later(30ms, [place, bytes] { std::ranges::copy(bytes, place.begin()); });
    }
  };
}

/// A segment of zeros, if nothing stands under the name.
void make_where_there_is_none(const std::string& name, std::uint64_t size) {
  const int fd = ::shm_open(("/" + name).c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
  if (fd < 0) return;
  (void)::ftruncate(fd, static_cast<off_t>(size));
  ::close(fd);
}

void loses_its_segments_name(DaemonSetup& setup) {
  setup.mutation.emplace();
  // The first PUT is the suite's own question whether this is the right segment.
  setup.mutation->answered = [puts = 0, direct = setup.direct](const ReceivedRequest& request,
                                                               const ResponseMessage&) mutable {
    if (request.head.is_put() && ++puts == 2) ::shm_unlink(("/" + direct->shm_name()).c_str());
  };
}

void replaces_its_segment(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->answered = [puts = 0, direct = setup.direct, size = setup.options.capacity](
                                 const ReceivedRequest& request, const ResponseMessage&) mutable {
    if (!request.head.is_put() || ++puts != 2) return;  // the first as above
    ::shm_unlink(("/" + direct->shm_name()).c_str());
    make_where_there_is_none(direct->shm_name(), size);
  };
}

void keeps_its_segment_over_restarts(DaemonSetup& setup) { setup.restarts = false; }

void stores_nothing_after_a_restart(DaemonSetup& setup) {
  setup.mutation.emplace();
  const auto inode = [direct = setup.direct] {
    const auto facts = look_at_segment(direct->shm_name());
    return facts ? facts->inode : 0;
  };
  auto first = std::make_shared<ino_t>(0);
  setup.mutation->request =
      [inode, first](RequestHead& head, const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (*first == 0) *first = inode();
    if (!head.is_put() || inode() == *first) return std::nullopt;
    return ResponseMessage::of(500);
  };
}

/// Ids go on as if nothing had happened: every id that was ever given can be released once.
void keeps_leases_over_restarts(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto live = std::make_shared<std::set<std::string>>();
  setup.mutation->response = [live](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_acquire() && response.status == 200) live->insert(id_of(response));
    if (request.head.is_release() && live->erase(request.head.lease_id()) > 0)
      response = ResponseMessage::of(200);
  };
}

void makes_a_lost_segment_anew(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->answered = [direct = setup.direct, size = setup.options.capacity](
                                 const ReceivedRequest&, const ResponseMessage&) {
    make_where_there_is_none(direct->shm_name(), size);
  };
}

void stops_when_its_segment_is_lost(DaemonSetup& setup) {
  setup.mutation.emplace();
  setup.mutation->request = [direct = setup.direct](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_put() || look_at_segment(direct->shm_name())) return std::nullopt;
    return ResponseMessage::of(503);
  };
}

}  // namespace

std::vector<Defect> memory_defects() {
  return {
      {"writes_over_leased_objects",
       "reuses the fragments of leased objects",
       {"PIN-01"},
       writes_over_leased_objects},
      {"evicts_leased_objects",
       "evicts objects under a live lease",
       {"PIN-01", "PIN-02", "PUT-12"},
       evicts_leased_objects},
      {"gives_away_what_it_is_about_to_lease",
       "gives the room of an object away at the moment at which it is leased",
       {"PIN-02"},
       gives_away_what_it_is_about_to_lease},
      {"moves_leased_objects",
       "moves objects under a live lease",
       {"PIN-02"},
       moves_leased_objects},
      {"never_evicts", "answers 507 once the cache has been filled", {"PIN-03"}, never_evicts},
      {"pins_beyond_expiry",
       "keeps the pin of a lease that has expired",
       {"PIN-04"},
       pinning_twice(true)},
      {"pins_beyond_release",
       "keeps the pin of a lease that was released",
       {"REL-03", "PIN-04"},
       pinning_twice(false)},
      {"has_a_segment_of_another_size",
       "has a segment of another size than its capacity",
       {"SHM-01"},
       has_a_segment_of_another_size},
      {"opens_its_segment_to_all",
       "lets everybody read and write its segment",
       {"SHM-02"},
       opens_its_segment_to_all},
      {"grows_its_segment",
       "makes its segment longer when the cache is full",
       {"SHM-01"},
       changing_its_segment(make_longer),
       {"PIN-03"}},
      {"opens_its_segment_late",
       "lets everybody read its segment once the cache is full",
       {"SHM-02"},
       changing_its_segment(open_to_all),
       {"PIN-03"}},
      {"is_off_by_one",
       "gives offsets that are too large by one",
       {"SHM-03", "PUT-01"},
       is_off_by_one},
      {"lists_fragments_backwards",
       "lists the fragments of an object in the wrong order",
       {"SHM-03"},
       lists_fragments_backwards},
      {"grants_before_the_bytes_are_there",
       "grants held requests before it has copied the bytes",
       {"SHM-04"},
       grants_before_the_bytes_are_there},
      {"loses_its_segments_name",
       "unlinks its segment while it runs",
       {"SHM-05"},
       loses_its_segments_name},
      {"replaces_its_segment",
       "puts another segment under the name while it runs",
       {"SHM-05"},
       replaces_its_segment},
      {"keeps_its_segment_over_restarts",
       "has the same segment after a restart",
       {"RESTART-01"},
       keeps_its_segment_over_restarts},
      {"stores_nothing_after_a_restart",
       "answers 500 to PUTs after a restart",
       {"RESTART-02"},
       stores_nothing_after_a_restart},
      {"keeps_leases_over_restarts",
       "releases leases from before a restart",
       {"RESTART-03"},
       keeps_leases_over_restarts},
      {"makes_a_lost_segment_anew",
       "makes a segment that was unlinked anew",
       {"RESTART-04"},
       makes_a_lost_segment_anew},
      {"stops_when_its_segment_is_lost",
       "answers 503 while its segment has no name",
       {"RESTART-05"},
       stops_when_its_segment_is_lost},
  };
}

}  // namespace hyperpod::conformance::defects
