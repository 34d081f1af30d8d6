// SPDX-License-Identifier: Apache-2.0
#include "probe/endpoint.h"

#include <charconv>

namespace hyperpod::conformance::probe {
namespace {

tl::unexpected<Error> unusable(std::string_view url, std::string_view why) {
  return tl::unexpected(Error{
      ErrorCode::invalid_argument,
      "the URL \"" + std::string(url) + "\" " + std::string(why) + "; write http://HOST:PORT"});
}

bool parse_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port != 0;
}

}  // namespace

std::string Endpoint::authority() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::string Endpoint::url() const { return (tls ? "https://" : "http://") + authority(); }

Result<Endpoint> parse_url(std::string_view url) {
  Endpoint endpoint;
  std::string_view rest = url;
  if (rest.starts_with("https://")) {
    endpoint.tls = true;
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return unusable(url, "does not begin with http:// or https://");
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  if (rest.find_first_of("/?#@ ") != std::string_view::npos) {
    return unusable(url, "has more than a host and a port");
  }
  const auto bracket = rest.starts_with('[') ? rest.find(']') : std::string_view::npos;
  const auto colon = rest.find(':', bracket == std::string_view::npos ? 0 : bracket);
  endpoint.host = std::string(rest.substr(0, colon));
  if (bracket != std::string_view::npos) endpoint.host = std::string(rest.substr(1, bracket - 1));
  if (endpoint.host.empty()) return unusable(url, "names no host");
  if (colon != std::string_view::npos && !parse_port(rest.substr(colon + 1), endpoint.port)) {
    return unusable(url, "has a port that is not a number from 1 to 65535");
  }
  return endpoint;
}

}  // namespace hyperpod::conformance::probe
