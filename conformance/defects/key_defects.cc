// SPDX-License-Identifier: Apache-2.0
// Defects in how keys and buckets are told apart.
#include <algorithm>
#include <cctype>
#include <functional>
#include <map>
#include <memory>
#include <set>

#include "defects/defective_daemon.h"

namespace hyperpod::conformance::defects {
namespace {

struct Parts {
  std::string bucket;
  std::string key;
};

/// A mutation that changes bucket and key of every request for an object, or refuses it.
void mutate_names(DaemonSetup& setup,
                  std::function<std::optional<ResponseMessage>(Parts&)> change) {
  setup.mutation.emplace();
  setup.mutation->request = [change = std::move(change)](
                                RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    constexpr std::string_view before = "/v1/kv/";
    const std::string object = head.object();
    const auto slash = object.find('/', before.size());
    if (!object.starts_with(before) || slash == std::string::npos) return std::nullopt;
    Parts parts{object.substr(before.size(), slash - before.size()), object.substr(slash + 1)};
    auto refused = change(parts);
    head.target.replace(0, object.size(), std::string(before) + parts.bucket + "/" + parts.key);
    return refused;
  };
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

auto replacing(std::string from, std::string to) {
  return [from = std::move(from), to = std::move(to)](DaemonSetup& setup) {
    mutate_names(setup, [from, to](Parts& parts) -> std::optional<ResponseMessage> {
      replace_all(parts.key, from, to);
      return std::nullopt;
    });
  };
}

auto refusing(std::function<bool(const std::string&)> refused) {
  return [refused = std::move(refused)](DaemonSetup& setup) {
    mutate_names(setup, [refused](Parts& parts) -> std::optional<ResponseMessage> {
      if (refused(parts.key)) return ResponseMessage::of(400);
      return std::nullopt;
    });
  };
}

void splits_at_encoded_slashes(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    const auto slash = parts.key.find("%2F");
    if (slash != std::string::npos && slash > 0) parts.key.resize(slash);
    return std::nullopt;
  });
}

void ignores_case(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    for (char& c : parts.key) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return std::nullopt;
  });
}

void truncates_keys(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    if (parts.key.size() > 128 && parts.key.find('%') == std::string::npos) parts.key.resize(128);
    return std::nullopt;
  });
}

void hashes_keys_to_12_bits(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    if (parts.key.find("KEY-10") == std::string::npos) return std::nullopt;
    parts.key = "hash-" + std::to_string(std::hash<std::string>()(parts.key) % 4096);
    return std::nullopt;
  });
}

/// Buckets whose names differ in an ending are one.
void ignores_the_end_of_buckets(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    constexpr std::string_view ending = "-other";
    if (parts.bucket.ends_with(ending)) parts.bucket.resize(parts.bucket.size() - ending.size());
    return std::nullopt;
  });
}

/// Whether one of these names is the beginning of the other.
bool begin_alike(const std::string& one, const std::string& other) {
  return one != other && (one.starts_with(other) || other.starts_with(one));
}

/// A request that waits gets what is stored under a key that begins as its own does.
void wakes_by_the_beginning(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto held = std::make_shared<std::set<std::string>>();
  setup.mutation->request = [held](RequestHead& head,
                                   const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const std::string object = head.object();
    if (head.is_acquire() && head.parameter("timeout_ms").value_or("0") != "0")
      held->insert(object);
    if (!head.is_put()) return std::nullopt;
    const auto alike = std::ranges::find_if(
        *held, [&](const std::string& one) { return begin_alike(one, object); });
    if (alike != held->end()) head.target.replace(0, object.size(), *alike);
    return std::nullopt;
  };
  setup.mutation->response = [held](const ReceivedRequest& request, ResponseMessage&) {
    if (request.head.is_acquire()) held->erase(request.head.object());
  };
}

/// While a body is under way, a PUT whose key differs from its key in case alone is a second one.
void ignores_case_under_way(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto under_way = std::make_shared<std::map<std::string, std::string>>();
  const auto folded = [](std::string text) {
    for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return text;
  };
  setup.mutation->request = [=](RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    if (!head.is_put()) return std::nullopt;
    const std::string object = head.object();
    const auto [first, is_new] = under_way->emplace(folded(object), object);
    if (is_new || first->second == object) return std::nullopt;
    return ResponseMessage::of(409);
  };
  setup.mutation->response = [=](const ReceivedRequest& request, ResponseMessage&) {
    if (request.head.is_put()) under_way->erase(folded(request.head.object()));
  };
}

/// What waits under one spelling of a key is not found under another.
void wakes_by_the_spelling(DaemonSetup& setup) {
  setup.mutation.emplace();
  auto stored = std::make_shared<std::set<std::string>>();
  const auto spelt_alike = [](std::string object) {
    replace_all(object, "%40", "@");
    return object;
  };
  setup.mutation->request = [=](RequestHead& head,
                                const ReceivedRequest&) -> std::optional<ResponseMessage> {
    const std::string object = head.object();
    if (head.is_acquire() && !stored->contains(spelt_alike(object)))
      replace_all(head.target, "%40", "%2540");
    return std::nullopt;
  };
  setup.mutation->response = [=](const ReceivedRequest& request, ResponseMessage& response) {
    if (request.head.is_put() && response.status == 200)
      stored->insert(spelt_alike(request.head.object()));
  };
}

bool has_high_bytes(const std::string& key) {
  for (auto at = key.find('%'); at != std::string::npos; at = key.find('%', at + 1)) {
    if (key.size() > at + 1 && key[at + 1] >= '8') return true;
  }
  return false;
}

void takes_lower_case_hex_for_text(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    for (const char* digits : {"%2f", "%c3", "%a9"})
      replace_all(parts.key, digits, std::string("%25") + (digits + 1));
    return std::nullopt;
  });
}

void wants_buckets_made_before(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    if (parts.bucket == daemon::Target().bucket) return std::nullopt;
    return ResponseMessage::of(404);
  });
}

void ignores_buckets(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    parts.bucket = "all";
    return std::nullopt;
  });
}

void takes_bucket_names_as_they_come(DaemonSetup& setup) {
  mutate_names(setup, [](Parts& parts) -> std::optional<ResponseMessage> {
    replace_all(parts.bucket, "%", "%25");
    return std::nullopt;
  });
}

}  // namespace

std::vector<Defect> key_defects() {
  const auto longer_than_100 = [](const std::string& key) {
    return key.size() > 100 && key.find("llama") != std::string::npos;
  };
  const auto with_parentheses = [](const std::string& key) {
    return key.find_first_of("(),;") != std::string::npos;
  };
  return {
      {"takes_a_bare_at_for_another",
       "takes @ and %40 for two characters",
       {"KEY-01"},
       replacing("@", "%2540")},
      {"splits_at_encoded_slashes",
       "takes %2F for a separator and drops what follows",
       {"KEY-02"},
       splits_at_encoded_slashes},
      {"decodes_twice", "decodes keys twice", {"KEY-03"}, replacing("%25", "%")},
      {"takes_plus_for_space",
       "takes a plus in a path for a space",
       {"KEY-04"},
       replacing("+", "%20")},
      {"refuses_bare_punctuation",
       "answers 400 to ( ) , ; in a path",
       {"KEY-05"},
       refusing(with_parentheses)},
      {"refuses_utf8", "answers 400 to keys beyond ASCII", {"KEY-06"}, refusing(has_high_bytes)},
      {"ignores_case", "takes upper and lower case for the same", {"KEY-07"}, ignores_case},
      {"ignores_case_under_way",
       "takes upper and lower case for the same while bodies are under way",
       {"KEY-07"},
       ignores_case_under_way},
      {"wakes_by_the_beginning",
       "wakes a request with the object of a longer or shorter key",
       {"HOLD-01", "HOLD-08"},
       wakes_by_the_beginning},
      {"wakes_by_the_spelling",
       "wakes no request whose key is spelt otherwise than the PUT's",
       {"HOLD-04"},
       wakes_by_the_spelling},
      {"truncates_keys",
       "tells keys apart by their first 128 characters only",
       {"KEY-07"},
       truncates_keys},
      {"refuses_long_model_names",
       "answers 400 to LMCache keys over 100 characters",
       {"KEY-08"},
       refusing(longer_than_100)},
      {"takes_lower_case_hex_for_text",
       "does not decode %2f in lower case",
       {"KEY-09"},
       takes_lower_case_hex_for_text},
      {"wants_buckets_made_before",
       "answers 404 to a PUT into an unknown bucket",
       {"BUCKET-01"},
       wants_buckets_made_before},
      {"ignores_buckets", "keeps all buckets in one", {"BUCKET-02"}, ignores_buckets},
      {"takes_bucket_names_as_they_come",
       "does not decode bucket names",
       {"BUCKET-03"},
       takes_bucket_names_as_they_come},
      {"hashes_keys_to_12_bits",
       "tells keys apart by a hash of 12 bits",
       {"KEY-10"},
       hashes_keys_to_12_bits},
      {"ignores_the_end_of_buckets",
       "wakes a request with the object of the same key in another bucket",
       {"HOLD-08"},
       ignores_the_end_of_buckets},
  };
}

}  // namespace hyperpod::conformance::defects
