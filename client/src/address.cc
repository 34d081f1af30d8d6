// SPDX-License-Identifier: Apache-2.0
#include "address.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "invalid_option.h"
#include "segment_name.h"

namespace hyperpod::client {
namespace {

constexpr std::uint16_t http_port = 80;
constexpr std::uint16_t https_port = 443;

bool is_name_character(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }

// A reference to a variable, $NAME or ${NAME}, as Python's os.path.expandvars() has it.
struct Reference {
  std::string name;
  std::size_t begin;
  std::size_t end;
};

// The first one from `position` on; a dollar that begins none is text.
std::optional<Reference> find_reference(std::string_view text, std::size_t position) {
  for (auto dollar = text.find('$', position); dollar != std::string_view::npos;
       dollar = text.find('$', dollar + 1)) {
    if (text.substr(dollar + 1).starts_with('{')) {
      const auto end = text.find('}', dollar);
      if (end == std::string_view::npos || end == dollar + 2) continue;
      return Reference{std::string(text.substr(dollar + 2, end - dollar - 2)), dollar, end + 1};
    }
    const auto rest = text.substr(dollar + 1);
    const auto length =
        std::find_if_not(rest.begin(), rest.end(), is_name_character) - rest.begin();
    if (length == 0) continue;
    const auto size = static_cast<std::size_t>(length);
    return Reference{std::string(rest.substr(0, size)), dollar, dollar + 1 + size};
  }
  return std::nullopt;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

bool is_ipv6(std::string_view host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  const std::string address(host.substr(0, host.find('%')));
  return inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1;
}

// Whether the host of an address begins at the end of `before`.
bool is_before_host(std::string_view before) {
  before = trim(before);
  return before.empty() || before.ends_with("://") || before.ends_with(',');
}

// What a variable has for an address, or an error that tells what is wrong with it.
Result<std::string> value_of(const std::string& name, const Environment& environment) {
  constexpr const char* remedy =
      "on Kubernetes, define it from status.hostIP and before any variable that uses it";
  const auto value = environment(name);
  if (!value) {
    return tl::unexpected(invalid(
        fmt::format("remote_url uses ${}, which is not set in the environment; {}", name, remedy)));
  }
  if (trim(*value).empty()) {
    return tl::unexpected(
        invalid(fmt::format("remote_url uses ${}, which is set and empty; {}", name, remedy)));
  }
  if (trim(*value) != *value || value->starts_with('"') || value->starts_with('\'')) {
    return tl::unexpected(invalid(fmt::format(
        "remote_url uses ${}, whose value {} has quotes or white space around it; remove them",
        name, *value)));
  }
  return *value;
}

// Puts the values of variables in place of their names. An IPv6 address that is a whole host gets
// the brackets it needs.
Result<std::string> expand(std::string_view text, const Environment& environment) {
  std::string expanded;
  std::size_t done = 0;
  while (const auto reference = find_reference(text, done)) {
    auto value = value_of(reference->name, environment);
    if (!value) return tl::unexpected(std::move(value).error());
    expanded += text.substr(done, reference->begin - done);
    const bool brackets = is_ipv6(*value) && is_before_host(expanded);
    expanded += brackets ? "[" + *value + "]" : *value;
    done = reference->end;
  }
  expanded += text.substr(done);
  return expanded;
}

bool consume(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Schemes have no case (RFC 9110, section 4.2.3).
bool consume_scheme(std::string_view& text, std::string_view scheme) {
  if (text.size() < scheme.size()) return false;
  if (strncasecmp(text.data(), scheme.data(), scheme.size()) != 0) return false;
  text.remove_prefix(scheme.size());
  return true;
}

bool is_host_name(std::string_view host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '-' || c == '_';
  });
}

bool is_path(std::string_view path) {
  return std::all_of(path.begin(), path.end(), [](char c) {
    return std::isgraph(static_cast<unsigned char>(c)) && c != '?' && c != '#';
  });
}

std::optional<std::uint16_t> read_port(std::string_view text) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size() || port == 0) return std::nullopt;
  return port;
}

// ADDRESS or ADDRESS%ZONE, whose percent sign may stand as %25 (RFC 6874).
std::optional<std::string> read_ipv6(std::string_view text) {
  if (!is_ipv6(text)) return std::nullopt;
  const auto percent = text.find('%');
  if (percent == std::string_view::npos) return std::string(text);
  std::string_view zone = text.substr(percent + 1);
  if (zone.size() > 2 && zone.starts_with("25")) zone.remove_prefix(2);
  if (!is_host_name(zone)) return std::nullopt;
  return fmt::format("{}%{}", text.substr(0, percent), zone);
}

// HOST, HOST:PORT, [IPV6], [IPV6]:PORT, or IPV6:PORT, which is what Kubernetes makes of
// $(NODE_IP):PORT.
std::optional<std::string> read_authority(std::string_view text, DaemonAddress& address) {
  std::string_view port;
  if (consume(text, "[")) {
    const auto bracket = text.find(']');
    if (bracket == std::string_view::npos) return "has a bracket that is not closed";
    const auto host = read_ipv6(text.substr(0, bracket));
    if (!host) return "has no IPv6 address between its brackets";
    address.host = *host;
    port = text.substr(bracket + 1);
    if (!port.empty() && !consume(port, ":")) return "has no colon before its port";
    if (port.empty() && text.ends_with(':')) return "has an empty port";
  } else if (std::ranges::count(text, ':') > 1) {
    const auto colon = text.rfind(':');
    const auto host = read_ipv6(text.substr(0, colon));
    port = text.substr(colon + 1);
    if (!is_ipv6(text) && !host) return "has more than one colon";
    if (!host || !read_port(port)) return "holds an IPv6 address without [brackets]";
    address.host = *host;
  } else {
    const auto colon = text.find(':');
    address.host = text.substr(0, colon);
    if (!is_host_name(address.host)) return "has no host";
    if (colon != std::string_view::npos) {
      port = text.substr(colon + 1);
      if (port.empty()) return "has an empty port";
    }
  }
  if (port.empty()) {
    address.port = address.https ? https_port : http_port;
    return std::nullopt;
  }
  const auto number = read_port(port);
  if (!number) return "has a port that is not a number from 1 to 65535";
  address.port = *number;
  return std::nullopt;
}

Result<DaemonAddress> parse_one(std::string_view text, const ClientOptions& options) {
  const auto fail = [&](std::string_view what) {
    return tl::unexpected(invalid(fmt::format(
        "the daemon address '{}' {}; write sagemaker-hyperpod://HOST:PORT", text, what)));
  };
  DaemonAddress address;
  address.https = options.use_https;
  address.segment = options.shared_memory_name;

  std::string_view rest = text;
  consume_scheme(rest, "sagemaker-hyperpod://");
  if (consume_scheme(rest, "https://")) {
    address.https = true;
  } else if (consume_scheme(rest, "http://")) {
    address.https = false;
  }
  if (rest.find("://") != std::string_view::npos) {
    return fail("has a scheme that is neither sagemaker-hyperpod, http nor https");
  }
  if (const auto hash = rest.find('#'); hash != std::string_view::npos) {
    address.segment = std::string(rest.substr(hash + 1));
    if (auto error = check_segment_name(*address.segment)) return tl::unexpected(*error);
    rest = rest.substr(0, hash);
  }
  if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
    address.path_prefix = rest.substr(slash);
    while (address.path_prefix.ends_with('/')) address.path_prefix.pop_back();
    if (!is_path(address.path_prefix)) return fail("has a path that cannot be sent");
    rest = rest.substr(0, slash);
  }
  if (auto problem = read_authority(rest, address)) return fail(*problem);
  return address;
}

std::optional<Error> check_distinct(const std::vector<DaemonAddress>& addresses) {
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (addresses[i].authority() == addresses[j].authority()) {
        return invalid(
            fmt::format("the daemon {} is listed twice; list it once", addresses[i].authority()));
      }
      if (addresses[i].segment && addresses[i].segment == addresses[j].segment) {
        return invalid(fmt::format(
            "{} and {} cannot both have the segment '{}'; name each daemon's own behind its "
            "address, as in HOST:PORT#SEGMENT",
            addresses[j].authority(), addresses[i].authority(), *addresses[i].segment));
      }
    }
  }
  return std::nullopt;
}

}  // namespace

std::string DaemonAddress::authority() const {
  const bool brackets = host.find(':') != std::string::npos;
  return brackets ? fmt::format("[{}]:{}", host, port) : fmt::format("{}:{}", host, port);
}

std::string DaemonAddress::host_header() const {
  // A zone means something on this machine only (RFC 6874, section 1).
  const std::string name = host.substr(0, host.find('%'));
  std::string bracketed = name.find(':') == std::string::npos ? name : fmt::format("[{}]", name);
  if (port == (https ? https_port : http_port)) return bracketed;
  return fmt::format("{}:{}", bracketed, port);
}

std::vector<std::string> variables_in(std::string_view remote_url) {
  std::vector<std::string> names;
  std::size_t done = 0;
  while (auto reference = find_reference(remote_url, done)) {
    names.push_back(std::move(reference->name));
    done = reference->end;
  }
  return names;
}

Result<std::vector<DaemonAddress>> parse_addresses(const ClientOptions& options,
                                                   const Environment& environment) {
  auto expanded = expand(options.remote_url, environment);
  if (!expanded) return tl::unexpected(std::move(expanded).error());
  std::string_view rest = trim(*expanded);
  if (rest.empty()) {
    return tl::unexpected(
        invalid("the daemon address is empty; write sagemaker-hyperpod://HOST:PORT"));
  }
  std::vector<DaemonAddress> addresses;
  while (true) {
    const auto comma = rest.find(',');
    const auto text = trim(rest.substr(0, comma));
    const bool has_comma = !addresses.empty() || comma != std::string_view::npos;
    if (text.empty() && has_comma) {
      return tl::unexpected(invalid(
          fmt::format("the address '{}' has a comma with no daemon {} it; remove it",
                      trim(*expanded), comma == std::string_view::npos ? "behind" : "before")));
    }
    auto address = parse_one(text, options);
    if (!address) return tl::unexpected(std::move(address).error());
    addresses.push_back(*std::move(address));
    if (comma == std::string_view::npos) break;
    rest = rest.substr(comma + 1);
  }
  if (auto error = check_distinct(addresses)) return tl::unexpected(*std::move(error));
  return addresses;
}

}  // namespace hyperpod::client
