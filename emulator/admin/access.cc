// SPDX-License-Identifier: Apache-2.0
#include "admin/access.h"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/ip/address.hpp>
#include <boost/beast/core/string.hpp>
#include <utility>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::admin {
namespace {

using boost::beast::iequals;

// The host of "HOST", "HOST:PORT", "[ADDRESS]" or "[ADDRESS]:PORT", without brackets.
std::string_view without_port(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    const bool ends = end != host.npos && (end + 1 == host.size() || host[end + 1] == ':');
    return ends ? host.substr(1, end - 1) : std::string_view{};
  }
  return host.substr(0, host.find(':'));
}

bool is_address(std::string_view host) {
  boost::system::error_code ec;
  boost::asio::ip::make_address(std::string(host), ec);
  return !ec;
}

std::string own_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

bool is_json(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (type.ends_with(' ') || type.ends_with('\t')) type.remove_suffix(1);
  return iequals(type, "application/json");
}

// Takes as long whatever the first difference is, so that nobody guesses byte by byte.
bool same_secret(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// The credentials behind "Bearer ", whose case does not count; empty if it is something else.
std::string_view bearer(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (!iequals(authorization.substr(0, scheme.size()), scheme)) return {};
  authorization.remove_prefix(scheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

}  // namespace

Access::Access(std::vector<std::string> hosts, std::string token)
    : hosts_(std::move(hosts)), token_(std::move(token)) {
  const std::string own = own_name();
  hosts_.insert(hosts_.end(), {"localhost", own, own.substr(0, own.find('.'))});
}

bool Access::allows_host(std::string_view host) const {
  const std::string_view name = without_port(host);
  return is_address(name) ||
         std::ranges::any_of(hosts_, [&](const auto& each) { return iequals(each, name); });
}

std::optional<Refusal> Access::check(Guard guard, bool changes,
                                     const Provenance& provenance) const {
  if (guard == Guard::none) return std::nullopt;
  // A request of HTTP/1.0 may name no host; no browser sends one.
  if (!provenance.host.empty() && !allows_host(provenance.host)) {
    return Refusal{403,
                   fmt::format("the admin port is not served under the name {}; use an IP address "
                               "or localhost, or start the emulator with --admin-host",
                               base::quoted(provenance.host))};
  }
  if (!provenance.origin.empty() && !iequals(provenance.origin, "http://" + provenance.host)) {
    return Refusal{403,
                   fmt::format("pages of {} may not use the admin port; open its own page at /",
                               base::quoted(provenance.origin))};
  }
  if (guard == Guard::token && !token_.empty() &&
      !same_secret(bearer(provenance.authorization), token_)) {
    return Refusal{401,
                   "the token is missing or wrong; send Authorization: Bearer TOKEN, with what "
                   "stands in the file of --admin-token-file"};
  }
  if (changes && !is_json(provenance.content_type)) {
    return Refusal{415, "what changes something must be JSON; send Content-Type: application/json"};
  }
  return std::nullopt;
}

}  // namespace hyperpod::emulator::admin
