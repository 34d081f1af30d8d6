// Defects of the segment, of pins and eviction, and of restarts.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::ordered_json;

/// From here on an object counts as large: only the checks of pins and eviction send such.
constexpr std::uint64_t large = 4u << 20;

/// A lie that changes the members of grants.
void lie_about_grants(Making& making, std::function<void(Json&, const Asked&)> change) {
  making.lie.emplace();
  making.lie->answer = [change = std::move(change)](const Asked& asked, AnswerMessage& answer) {
    if (!asked.head.is_acquire() || answer.status != 200) return;
    Json grant = Json::parse(answer.body, nullptr, false);
    change(grant, asked);
    answer.body = grant.dump();
  };
}

std::string id_of(const AnswerMessage& grant) {
  return Json::parse(grant.body, nullptr, false).value("id", "");
}

/// The bytes of a grant's fragments, within a segment.
std::vector<std::span<char>> places_of(const AnswerMessage& grant, std::span<char> segment) {
  std::vector<std::span<char>> places;
  const Json json = Json::parse(grant.body, nullptr, false);
  for (const Json& fragment : json["offsets"]) {
    places.push_back(segment.subspan(fragment["offset"], fragment["len"]));
  }
  return places;
}

/// The fragments of leased objects are written over while others are stored.
void writes_over_leased_objects(Making& making) {
  making.lie.emplace();
  auto leased = std::make_shared<std::vector<std::span<char>>>();
  making.lie->answer = [leased, stage = making.backstage](const Asked& asked,
                                                          AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 200) {
      for (const auto place : places_of(answer, stage->segment())) leased->push_back(place);
    }
    if (!asked.head.is_put() || asked.head.content_length() < large) return;
    for (const auto place : *leased) place[0] = static_cast<char>(~place[0]);
    leased->clear();
  };
}

/// The daemon never learns of leases: they are released as soon as they are granted.
void evicts_leased_objects(Making& making) {
  making.lie.emplace();
  making.lie->answer = [stage = making.backstage](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 200) stage->release(id_of(answer));
    if (asked.head.is_release()) answer = AnswerMessage::of(200);
  };
}

void moves_leased_objects(Making& making) {
  auto seen = std::make_shared<std::set<std::string>>();
  lie_about_grants(making, [seen](Json& grant, const Asked& asked) {
    if (seen->insert(asked.head.object()).second) return;
    for (Json& fragment : grant["offsets"]) {
      const std::uint64_t offset = fragment["offset"];
      fragment["offset"] = offset >= (1u << 20) ? offset - (1u << 20) : offset + (1u << 20);
    }
  });
}

void never_evicts(Making& making) {
  making.lie.emplace();
  auto used = std::make_shared<std::uint64_t>(0);
  making.lie->request = [used, capacity = making.options.capacity](
                            RequestHead& head, const Asked&) -> std::optional<AnswerMessage> {
    if (!head.is_put()) return std::nullopt;
    if (*used + head.content_length() > capacity) return AnswerMessage::of(507);
    *used += head.content_length();
    return std::nullopt;
  };
}

/// A second pin is taken with each lease on a large object; it ends with the release if `released`,
/// and with nothing else.
auto pinning_twice(bool released) {
  return [released](Making& making) {
    making.lie.emplace();
    auto second = std::make_shared<std::map<std::string, std::string>>();
    auto sizes = std::make_shared<std::map<std::string, std::uint64_t>>();
    making.lie->answer = [second, sizes, released, stage = making.backstage](
                             const Asked& asked, AnswerMessage& answer) {
      const std::string object = asked.head.object();
      if (asked.head.is_put()) (*sizes)[object] = asked.head.content_length();
      const bool granted = asked.head.is_acquire() && answer.status == 200;
      if (granted && (*sizes)[object] >= large) (*second)[id_of(answer)] = stage->pin(object);
      if (asked.head.is_release() && released) stage->release((*second)[asked.head.lease_id()]);
    };
  };
}

void has_a_segment_of_another_size(Making& making) {
  making.told_capacity = making.options.capacity;
  making.options.capacity -= making.options.block_size;
}

void opens_its_segment_to_all(Making& making) { making.options.shm_mode = 0666; }

void is_off_by_one(Making& making) {
  lie_about_grants(making, [](Json& grant, const Asked&) {
    for (Json& fragment : grant["offsets"])
      fragment["offset"] = fragment["offset"].get<std::uint64_t>() + 1;
  });
}

void lists_fragments_backwards(Making& making) {
  making.options.placement = emulator::Placement::scattered;
  lie_about_grants(making, [](Json& grant, const Asked&) {
    std::ranges::reverse(grant["offsets"].get_ref<Json::array_t&>());
  });
}

/// What a held request was granted shows up in the segment some milliseconds later.
void grants_before_the_bytes_are_there(Making& making) {
  making.lie.emplace();
  making.lie->answer = [stage = making.backstage](const Asked& asked, AnswerMessage& answer) {
    const bool held = asked.head.parameter("timeout_ms").value_or("0") != "0";
    if (!asked.head.is_acquire() || !held || answer.status != 200) return;
    for (const auto place : places_of(answer, stage->segment())) {
      const std::string bytes(place.begin(), place.end());
      std::ranges::fill(place, '\0');
      stage->later(30ms, [place, bytes] { std::ranges::copy(bytes, place.begin()); });
    }
  };
}

void loses_its_segments_name(Making& making) {
  making.lie.emplace();
  // The first PUT is the suite's own question whether this is the right segment.
  making.lie->answered = [puts = 0, stage = making.backstage](const Asked& asked,
                                                              const AnswerMessage&) mutable {
    if (asked.head.is_put() && ++puts == 2) ::shm_unlink(("/" + stage->shm_name()).c_str());
  };
}

void keeps_its_segment_over_restarts(Making& making) { making.restarts = false; }

void stores_nothing_after_a_restart(Making& making) {
  making.lie.emplace();
  const auto inode = [stage = making.backstage] {
    const auto facts = look_at_segment(stage->shm_name());
    return facts ? facts->inode : 0;
  };
  auto first = std::make_shared<ino_t>(0);
  making.lie->request = [inode, first](RequestHead& head,
                                       const Asked&) -> std::optional<AnswerMessage> {
    if (*first == 0) *first = inode();
    if (!head.is_put() || inode() == *first) return std::nullopt;
    return AnswerMessage::of(500);
  };
}

/// Ids go on as if nothing had happened: every id that was ever given can be released once.
void keeps_leases_over_restarts(Making& making) {
  making.lie.emplace();
  auto live = std::make_shared<std::set<std::string>>();
  making.lie->answer = [live](const Asked& asked, AnswerMessage& answer) {
    if (asked.head.is_acquire() && answer.status == 200) live->insert(id_of(answer));
    if (asked.head.is_release() && live->erase(asked.head.lease_id()) > 0)
      answer = AnswerMessage::of(200);
  };
}

void makes_a_lost_segment_anew(Making& making) {
  making.lie.emplace();
  making.lie->answered = [stage = making.backstage, size = making.options.capacity](
                             const Asked&, const AnswerMessage&) {
    const int fd = ::shm_open(("/" + stage->shm_name()).c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0) return;
    (void)::ftruncate(fd, static_cast<off_t>(size));
    ::close(fd);
  };
}

void stops_when_its_segment_is_lost(Making& making) {
  making.lie.emplace();
  making.lie->request = [stage = making.backstage](RequestHead& head,
                                                   const Asked&) -> std::optional<AnswerMessage> {
    if (!head.is_put() || look_at_segment(stage->shm_name())) return std::nullopt;
    return AnswerMessage::of(503);
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

}  // namespace hyperpod::conformance
