// SPDX-License-Identifier: Apache-2.0
#include "config/settings.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "hyperpod/base/text.h"
#include "text/host_port.h"
#include "text/units.h"

namespace hyperpod::emulator::config {
namespace {

template <class Number>
Result<Number> parse_integer(std::string_view text, int base, std::string_view noun) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number, base);
  if (failure == std::errc{} && rest == end) return number;
  return base::failed(ErrorCode::invalid_option,
                      fmt::format("{} is not {}", base::quoted(text), noun));
}

// A codec reads and shows one kind of value. `parse` may yield a wider type than the member has.

struct Text {
  static constexpr TomlType type = TomlType::string;
  static constexpr std::string_view form = "a string";
  static Result<std::string> parse(std::string_view text) { return std::string(text); }
  static std::string show(const std::string& text) { return text; }
};

struct File : Text {
  static constexpr std::string_view value = "FILE";
};

struct Directory : Text {
  static constexpr std::string_view value = "DIR";
};

struct Name : Text {
  static constexpr std::string_view value = "NAME";
};

struct Names {
  static constexpr TomlType type = TomlType::strings;
  static constexpr std::string_view value = "NAME";
  static constexpr std::string_view form = R"(an array of strings such as ["emulator"])";
  static Result<std::vector<std::string>> parse(std::string_view text) {
    std::vector<std::string> names;
    while (!text.empty()) {
      const std::size_t end = std::min(text.find(','), text.size());
      const std::string_view name = text.substr(0, end);
      if (name.empty() || name.find_first_of(" \t/:[]") != name.npos) {
        return base::failed(
            ErrorCode::invalid_option,
            fmt::format("{} is not a host name; write it without scheme and port, such "
                        "as emulator",
                        base::quoted(name)));
      }
      names.emplace_back(name);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return names;
  }
  static std::string show(const std::vector<std::string>& names) {
    return fmt::format("{}", fmt::join(names, ","));
  }
};

struct Address : Text {
  static constexpr std::string_view value = "HOST:PORT";
  static constexpr std::string_view form = R"(a string such as "127.0.0.1:9200")";
  static Result<std::string> parse(std::string_view text) {
    return text::parse_host_port(text).map(
        [&](const text::HostPort&) { return std::string(text); });
  }
};

// Empty where there is no such port.
struct AddressOrOff : Address {
  static constexpr std::string_view value = "HOST:PORT|off";
  static constexpr std::string_view form = R"(a string such as "127.0.0.1:9201" or "off")";
  static Result<std::string> parse(std::string_view text) {
    if (text == "off") return std::string();
    return Address::parse(text).map_error([](Error error) {
      error.message += ", or off";
      return error;
    });
  }
  static std::string show(const std::string& text) { return text.empty() ? "off" : text; }
};

struct Size {
  static constexpr TomlType type = TomlType::string;
  static constexpr std::string_view value = "SIZE";
  static constexpr std::string_view form = R"(a string with a unit, such as "64MiB")";
  static Result<std::uint64_t> parse(std::string_view text) { return text::parse_size(text); }
  static std::string show(std::uint64_t bytes) { return text::format_size(bytes); }
};

struct Time {
  static constexpr TomlType type = TomlType::string;
  static constexpr std::string_view value = "TIME";
  static constexpr std::string_view form = R"(a string with a unit, such as "30s")";
  static Result<std::chrono::milliseconds> parse(std::string_view text) {
    return text::parse_duration(text);
  }
  static std::string show(std::chrono::milliseconds time) { return text::format_duration(time); }
};

struct Integer {
  static constexpr TomlType type = TomlType::integer;
  static constexpr std::string_view value = "N";
  static constexpr std::string_view form = "a whole number";
  static Result<std::int64_t> parse(std::string_view text) {
    return parse_integer<std::int64_t>(text, 10, "a whole number");
  }
  static std::string show(std::int64_t number) { return std::to_string(number); }
};

struct Status : Integer {
  static constexpr std::string_view value = "STATUS";
};

struct Octal {
  static constexpr TomlType type = TomlType::string;  // 600 without quotes would be decimal
  static constexpr std::string_view value = "OCTAL";
  static constexpr std::string_view form = R"(a string of octal digits, such as "0600")";
  static Result<mode_t> parse(std::string_view text) {
    return parse_integer<mode_t>(text, 8, "an octal number; write it like 0600");
  }
  static std::string show(mode_t mode) { return fmt::format("{:04o}", mode); }
};

struct Boolean {
  static constexpr TomlType type = TomlType::boolean;
  static constexpr std::string_view value = "true|false";
  static constexpr std::string_view form = "true or false, without quotes";
  static Result<bool> parse(std::string_view text) {
    if (text == "true") return true;
    if (text == "false") return false;
    return base::failed(ErrorCode::invalid_option,
                        fmt::format("{} is neither true nor false", base::quoted(text)));
  }
  static std::string show(bool on) { return on ? "true" : "false"; }
};

// Enumerations: the words, in the order in which messages list them.
template <class Words>
struct Choice {
  static constexpr TomlType type = TomlType::string;
  static constexpr std::string_view value = Words::value;
  static constexpr std::string_view form = Words::form;
  using Enum = typename decltype(Words::words)::value_type::second_type;

  static Result<Enum> parse(std::string_view text) {
    for (const auto& [word, meaning] : Words::words) {
      if (word == text) return meaning;
    }
    return base::failed(ErrorCode::invalid_option,
                        fmt::format("{} is unknown; take one of {}", base::quoted(text), value));
  }
  static std::string show(Enum choice) {
    const auto found =
        std::ranges::find(Words::words, choice, [](auto& word) { return word.second; });
    return std::string(found->first);
  }
};

template <class Enum, std::size_t N>
using Words = std::array<std::pair<std::string_view, Enum>, N>;

struct PlacementWords {
  static constexpr std::string_view value = "contiguous|scattered|worst_case";
  static constexpr std::string_view form = R"(a string such as "contiguous")";
  static constexpr Words<Placement, 3> words{{{"contiguous", Placement::contiguous},
                                              {"scattered", Placement::scattered},
                                              {"worst_case", Placement::worst_case}}};
};

struct ReserveWords {
  static constexpr std::string_view value = "whole|on_use";
  static constexpr std::string_view form = R"(a string such as "whole")";
  static constexpr Words<Reserve, 2> words{
      {{"whole", Reserve::whole}, {"on_use", Reserve::on_use}}};
};

struct PutRaceWords {
  static constexpr std::string_view value = "first_complete|first_begun";
  static constexpr std::string_view form = R"(a string such as "first_complete")";
  static constexpr Words<PutRace, 2> words{
      {{"first_complete", PutRace::first_complete}, {"first_begun", PutRace::first_begun}}};
};

struct LevelWords {
  static constexpr std::string_view value = "trace|debug|info|warn|error|off";
  static constexpr std::string_view form = R"(a string such as "info")";
  static constexpr Words<std::optional<base::LogLevel>, 6> words{{{"trace", base::LogLevel::trace},
                                                                  {"debug", base::LogLevel::debug},
                                                                  {"info", base::LogLevel::info},
                                                                  {"warn", base::LogLevel::warn},
                                                                  {"error", base::LogLevel::error},
                                                                  {"off", std::nullopt}}};
};

struct ClockWords {
  static constexpr std::string_view value = "real|manual|adjustable";
  static constexpr std::string_view form = R"(a string such as "real")";
  static constexpr Words<ClockKind, 3> words{{{"real", ClockKind::real},
                                              {"manual", ClockKind::manual},
                                              {"adjustable", ClockKind::adjustable}}};
};

struct FormatWords {
  static constexpr std::string_view value = "text|json";
  static constexpr std::string_view form = R"(a string such as "text")";
  static constexpr Words<LogFormat, 2> words{
      {{"text", LogFormat::text}, {"json", LogFormat::json}}};
};

// The member at the end of a path of member pointers.
template <class Object>
auto& at(Object& object) {
  return object;
}
template <class Object, class Member, class... Rest>
auto& at(Object& object, Member member, Rest... rest) {
  return at(object.*member, rest...);
}

template <class Codec, class Member>
Result<void> assign(Member& member, std::string_view text) {
  const auto parsed = Codec::parse(text);
  if (!parsed) return tl::unexpected(parsed.error());
  if constexpr (std::is_integral_v<Member> && !std::is_same_v<Member, bool>) {
    if (!std::in_range<Member>(*parsed)) {
      using Range = std::numeric_limits<Member>;
      using Parsed = std::remove_cvref_t<decltype(*parsed)>;  // which may end sooner
      const auto most = std::in_range<Parsed>(Range::max()) ? static_cast<Parsed>(Range::max())
                                                            : std::numeric_limits<Parsed>::max();
      return base::failed(ErrorCode::invalid_option,
                          fmt::format("{} is out of range; take {} to {}", base::quoted(text),
                                      Codec::show(Range::min()), Codec::show(most)));
    }
  }
  member = static_cast<Member>(*parsed);
  return {};
}

struct Place {
  std::string_view group;
  std::string_view option;
  std::string_view key;
};

template <class Codec>
Setting describe(Place place, std::string_view help) {
  Setting setting;
  setting.option = place.option;
  setting.key = place.key;
  setting.group = place.group;
  setting.help = help;
  setting.value = Codec::value;
  setting.form = Codec::form;
  setting.type = Codec::type;
  return setting;
}

// A setting of the program, held at the end of a path of member pointers from Configuration.
template <class Codec, class... Path>
Setting own(Place place, std::string_view help, Path... path) {
  Setting setting = describe<Codec>(place, help);
  setting.set = [=](Configuration& configuration, std::string_view text) {
    return assign<Codec>(at(configuration, path...), text);
  };
  setting.show = [=](const Configuration& configuration) {
    return Codec::show(at(configuration, path...));
  };
  return setting;
}

// Options::behaviour.x is emulator.behaviour.x in the file; the names differ only where the real
// daemon has a key of its own.
std::string_view member_of_key(std::string_view key) {
  constexpr std::string_view own_table = "emulator.";
  if (key.starts_with(own_table)) return key.substr(own_table.size());
  if (key == "server.address") return "listen";
  if (key == "cache.shared_memory_name") return "shm_name";
  return key.substr(key.rfind('.') + 1);
}

// A setting of Options, held at the end of a path of member pointers from there.
template <class Codec, class... Path>
Setting option(Place place, std::string_view help, Path... path) {
  Setting setting = own<Codec>(place, help, &Configuration::options, path...);
  setting.member = member_of_key(place.key);
  return setting;
}

// A setting of the real daemon that is read, checked and warned about.
template <class Codec>
Setting without_effect(std::string_view key, std::string_view warning, bool repeated,
                       std::string_view help) {
  Setting setting = describe<Codec>({"Accepted without effect", "", key}, help);
  setting.warning = warning;
  setting.repeated = repeated;
  setting.set = [](Configuration&, std::string_view text) -> Result<void> {
    return Codec::parse(text).map([](const auto&) {});
  };
  setting.show = [](const Configuration&) { return std::string(); };
  return setting;
}

std::vector<Setting> make_settings() {
  constexpr std::string_view no_transfer =
      "accepted without effect: this version moves no data between nodes";
  constexpr std::string_view no_ssd =
      "accepted without effect: this version keeps everything in the segment";
  const auto segment = [](auto option, auto key) { return Place{"Segment", option, key}; };
  const auto port = [](auto option, auto key) { return Place{"Data port", option, key}; };
  const auto control = [](auto option, auto key) {
    return Place{"Control and observation", option, key};
  };
  const auto log = [](auto option, auto key) { return Place{"Log", option, key}; };
  const auto unknown = [](auto option, auto key) {
    return Place{"Behaviour of the real daemon that nobody has published", option, key};
  };
  const auto limit = [](auto option, auto key) {
    return Place{"Limits on what a peer can make the daemon spend", option, key};
  };
  using O = Options;
  using B = Behaviour;
  using L = Limits;
  using T = TlsOptions;

  return {
      option<Name>(segment("--shm-name", "cache.shared_memory_name"),
                   "Name of the segment, /dev/shm/NAME", &O::shm_name),
      option<Size>(segment("--capacity", "cache.capacity"),
                   "Size of the segment, a multiple of the block size", &O::capacity),
      option<Size>(segment("--block-size", "cache.block_size"),
                   "Unit of allocation; an object occupies whole blocks", &O::block_size),
      option<Octal>(segment("--shm-mode", "emulator.shm_mode"), "Permissions of the segment",
                    &O::shm_mode),
      option<Boolean>(segment("--replace-segment", "emulator.replace_segment"),
                      "Take the name over even from a segment that is not known to be stale",
                      &O::replace_segment),
      option<Choice<ReserveWords>>(
          segment("--reserve", "emulator.reserve"),
          "Take the segment's memory at start, or each block when a PUT first gets it",
          &O::reserve),
      option<Boolean>(segment("--prefault", "emulator.prefault"),
                      "Touch every page at start: slower start, faster first PUTs", &O::prefault),
      option<Choice<PlacementWords>>(segment("--placement", "emulator.placement"),
                                     "How the blocks of one object lie", &O::placement),

      option<Address>(port("--listen", "server.address"),
                      "Address of the data port; port 0: a free one", &O::listen),
      option<Integer>(port("--threads", "emulator.threads"), "I/O threads; 0: one per core",
                      &O::threads),
      own<File>(port("--ready-file", "emulator.ready_file"),
                "File that holds the ready line while it serves", &Configuration::ready_file),
      own<Boolean>(port("--exit-with-parent", "emulator.exit_with_parent"),
                   "Stop, as at SIGTERM, when the process that started it ends",
                   &Configuration::exit_with_parent),
      option<File>(port("--tls-cert", "emulator.tls.certificate_file"),
                   "PEM certificate chain; needs --tls-key", &O::tls, &T::certificate_file),
      option<File>(port("--tls-key", "emulator.tls.key_file"), "PEM private key, not encrypted",
                   &O::tls, &T::key_file),
      option<Directory>(port("--tls-self-signed", "emulator.tls.self_signed_directory"),
                        "Make ca.pem, cert.pem and key.pem here, or use those there", &O::tls,
                        &T::self_signed_directory),

      option<AddressOrOff>(control("--admin", "emulator.admin"),
                           "Address of the admin port, open to all who reach it", &O::admin),
      option<Names>(control("--admin-host", "emulator.admin_hosts"),
                    "Further name under which the admin port may be asked; repeatable",
                    &O::admin_hosts),
      own<File>(control("--admin-token-file", "emulator.admin_token_file"),
                "File with the bearer token that the admin port demands",
                &Configuration::admin_token_file),
      option<Boolean>(control("--admin-open", "emulator.admin_open"),
                      "Do not warn that the admin port is open to others without a token",
                      &O::admin_open),
      own<File>(control("--scenario", "emulator.scenario"),
                "YAML or JSON file of faults, in force from the first connection on",
                &Configuration::scenario),
      own<Choice<ClockWords>>(control("--clock", "emulator.clock"),
                              "manual stands still, adjustable runs, until the admin port moves it",
                              &Configuration::clock),
      option<Integer>(control("--journal-entries", "emulator.journal_entries"),
                      "Requests that the journal remembers; totals count them all",
                      &O::journal_entries),

      own<Choice<LevelWords>>(log("--log-level", "log.level"), "Least important messages to log",
                              &Configuration::log, &LogSettings::level),
      own<Choice<FormatWords>>(log("--log-format", "log.format"),
                               "Form of the log's lines on stderr", &Configuration::log,
                               &LogSettings::format),

      option<Status>(unknown("--miss-status", "emulator.behaviour.miss_status"),
                     "Lease request whose key is absent when its hold ends", &O::behaviour,
                     &B::miss_status),
      option<Status>(
          unknown("--unknown-release-status", "emulator.behaviour.unknown_release_status"),
          "Release of an unknown, released or expired id", &O::behaviour,
          &B::unknown_release_status),
      option<Status>(unknown("--empty-put-status", "emulator.behaviour.empty_put_status"),
                     "PUT without a body", &O::behaviour, &B::empty_put_status),
      option<Status>(unknown("--no-room-status", "emulator.behaviour.no_room_status"),
                     "PUT for which no room can be made", &O::behaviour, &B::no_room_status),
      option<Status>(unknown("--too-large-status", "emulator.behaviour.too_large_status"),
                     "PUT larger than the whole capacity", &O::behaviour, &B::too_large_status),
      option<Boolean>(unknown("--accept-chunked", "emulator.behaviour.accept_chunked"),
                      "Accept chunked PUT bodies; false answers 411", &O::behaviour,
                      &B::accept_chunked),
      option<Boolean>(unknown("--honour-expect", "emulator.behaviour.honour_expect"),
                      "Answer Expect: 100-continue; false answers 417", &O::behaviour,
                      &B::honour_expect),
      option<Time>(unknown("--default-hold", "emulator.behaviour.default_hold"),
                   "Hold of a lease request without timeout_ms", &O::behaviour, &B::default_hold),
      option<Time>(unknown("--default-ttl", "emulator.behaviour.default_ttl"),
                   "TTL of a lease request without ttl_s", &O::behaviour, &B::default_ttl),
      option<Time>(unknown("--max-hold", "emulator.behaviour.max_hold"),
                   "Longest hold, whatever timeout_ms asks for", &O::behaviour, &B::max_hold),
      option<Time>(unknown("--max-ttl", "emulator.behaviour.max_ttl"),
                   "Longest TTL, whatever ttl_s asks for", &O::behaviour, &B::max_ttl),
      option<Boolean>(unknown("--wake-waiters", "emulator.behaviour.wake_waiters"),
                      "Grant a waiting request the moment its key is stored", &O::behaviour,
                      &B::wake_waiters),
      option<Boolean>(
          unknown("--drop-abandoned-waiters", "emulator.behaviour.drop_abandoned_waiters"),
          "Forget a waiting request when its connection closes", &O::behaviour,
          &B::drop_abandoned_waiters),
      option<Choice<PutRaceWords>>(unknown("--put-race", "emulator.behaviour.put_race"),
                                   "Who wins when two PUTs of one key overlap", &O::behaviour,
                                   &B::put_race),
      option<Status>(
          unknown("--namespace-conflict-status", "emulator.behaviour.namespace_conflict_status"),
          "Checkpoints: a namespace created again with other numbers", &O::behaviour,
          &B::namespace_conflict_status),
      option<Status>(
          unknown("--absent-namespace-status", "emulator.behaviour.absent_namespace_status"),
          "Checkpoints: a shard stored into a namespace that is not there", &O::behaviour,
          &B::absent_namespace_status),
      option<Status>(unknown("--shard-address-status", "emulator.behaviour.shard_address_status"),
                     "Checkpoints: an invalid rank or step", &O::behaviour,
                     &B::shard_address_status),
      option<Status>(unknown("--shard-checksum-status", "emulator.behaviour.shard_checksum_status"),
                     "Checkpoints: a shard that does not fit its checksum", &O::behaviour,
                     &B::shard_checksum_status),
      option<Boolean>(unknown("--check-shards", "emulator.behaviour.check_shards"),
                      "Checkpoints: check shards against their checksum", &O::behaviour,
                      &B::check_shards),
      option<Boolean>(unknown("--accept-empty-shards", "emulator.behaviour.accept_empty_shards"),
                      "Checkpoints: accept empty shards", &O::behaviour, &B::accept_empty_shards),
      option<Boolean>(unknown("--replace-shards", "emulator.behaviour.replace_shards"),
                      "Checkpoints: a shard stored again replaces the first; false answers 409",
                      &O::behaviour, &B::replace_shards),
      option<Boolean>(
          unknown("--latest-counts-incomplete", "emulator.behaviour.latest_counts_incomplete"),
          "Checkpoints: a step is latest once one rank has stored it", &O::behaviour,
          &B::latest_counts_incomplete),
      option<Boolean>(unknown("--retire-steps", "emulator.behaviour.retire_steps"),
                      "Checkpoints: keep only the newest complete steps", &O::behaviour,
                      &B::retire_steps),
      option<Boolean>(unknown("--cluster-reset-drops-objects",
                              "emulator.behaviour.cluster_reset_drops_objects"),
                      "Checkpoints: a reset of the cluster drops KV objects too", &O::behaviour,
                      &B::cluster_reset_drops_objects),

      option<Size>(limit("--limit-head-bytes", "emulator.limits.head_bytes"),
                   "Request line and headers together", &O::limits, &L::head_bytes),
      option<Integer>(limit("--limit-headers", "emulator.limits.headers"), "Headers of a request",
                      &O::limits, &L::headers),
      option<Time>(limit("--limit-head-timeout", "emulator.limits.head_timeout"),
                   "From the first byte of a request head to its last", &O::limits,
                   &L::head_timeout),
      option<Time>(limit("--limit-stall-timeout", "emulator.limits.stall_timeout"),
                   "A body or a response without progress", &O::limits, &L::stall_timeout),
      option<Size>(limit("--limit-body-rate", "emulator.limits.body_rate"),
                   "Least average rate of a body, in bytes a second; 0B: any", &O::limits,
                   &L::body_rate),
      option<Time>(limit("--limit-body-timeout", "emulator.limits.body_timeout"),
                   "From the beginning of a body to its end", &O::limits, &L::body_timeout),
      option<Size>(limit("--limit-room-step", "emulator.limits.room_step"),
                   "Room reserved for a body at once, as it comes", &O::limits, &L::room_step),
      option<Time>(limit("--limit-idle-timeout", "emulator.limits.idle_timeout"),
                   "A connection without a request", &O::limits, &L::idle_timeout),
      option<Size>(limit("--limit-drain-bytes", "emulator.limits.drain_bytes"),
                   "Bytes read of a refused body before the connection is closed", &O::limits,
                   &L::drain_bytes),
      option<Integer>(limit("--limit-connections", "emulator.limits.connections"),
                      "Open connections; 0: no limit but descriptors", &O::limits, &L::connections),

      without_effect<Address>("transfer.address", no_transfer, false,
                              "Where daemons exchange data with each other"),
      without_effect<Directory>("cache.ssd.directory.path", no_ssd, true,
                                "Directory of a second tier"),
      without_effect<Size>("cache.ssd.directory.shard_size", no_ssd, true,
                           "Size of each file in it"),
      without_effect<Size>("cache.ssd.directory.capacity", no_ssd, true,
                           "Size of all its files together"),
  };
}

const Setting* find_setting(std::string_view Setting::*name, std::string_view wanted) {
  const auto found = std::ranges::find(settings(), wanted, name);
  return found == settings().end() ? nullptr : &*found;
}

// A cell of a Markdown table, as code.
std::string code_cell(std::string_view text) {
  if (text.empty()) return "";
  std::string escaped;
  for (const char c : text) escaped += c == '|' ? std::string("\\|") : std::string(1, c);
  return fmt::format("`{}`", escaped);
}

std::string option_cell(const Setting& setting) {
  if (setting.option.empty()) return "";
  const std::string_view joint = setting.type == TomlType::boolean ? "=" : " ";
  return code_cell(fmt::format("{}{}{}", setting.option, joint, setting.value));
}

}  // namespace

std::span<const Setting> settings() {
  static const std::vector<Setting> table = make_settings();
  return table;
}

std::string variable_of(std::string_view option) {
  std::string name = "HYPERPOD_EMULATOR_";
  for (const char c : option.substr(std::min(option.find_first_not_of('-'), option.size()))) {
    name += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  }
  return name;
}

const Setting* setting_of_key(std::string_view key) { return find_setting(&Setting::key, key); }

const Setting* setting_of_member(std::string_view member) {
  return find_setting(&Setting::member, member);
}

std::string settings_as_markdown() {
  std::string out;
  std::string_view group;
  for (const Setting& setting : settings()) {
    if (setting.group != group) {
      group = setting.group;
      out += fmt::format(
          "{}### {}\n\n| key in the file | on the command line | default | meaning "
          "|\n|---|---|---|---|\n",
          out.empty() ? "" : "\n", group);
    }
    out += fmt::format("| {} | {} | {} | {} |\n", code_cell(setting.key), option_cell(setting),
                       code_cell(setting.show(Configuration{})), setting.help);
  }
  return out;
}

}  // namespace hyperpod::emulator::config
