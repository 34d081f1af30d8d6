// SPDX-License-Identifier: Apache-2.0
#include "text/host_port.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "hyperpod/base/text.h"

namespace hyperpod::emulator::text {
namespace {

tl::unexpected<Error> refuse(std::string_view text, std::string_view problem) {
  return tl::unexpected(
      Error{ErrorCode::invalid_option,
            fmt::format("{} {}; write HOST:PORT, such as 127.0.0.1:9200 or [::]:9200",
                        base::quoted(text), problem)});
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool may_stand_in_host(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7f && c != '[' && c != ']' && c != '/' && c != '@';
}

}  // namespace

Result<HostPort> parse_host_port(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return refuse(text, "is a URL");
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    const bool number = !text.empty() && std::ranges::all_of(text, is_digit);
    return refuse(text, number ? "names no host" : "names no port");
  }

  if (text.back() == ']') return refuse(text, "names no port");
  std::string_view host = text.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse(text, "has an IPv6 host without brackets");
  }
  if (host.empty()) return refuse(text, "names no host");
  if (!std::ranges::all_of(host, may_stand_in_host))
    return refuse(text, "has a host that is neither a name nor an address");

  const std::string_view digits = text.substr(colon + 1);
  std::uint16_t port = 0;
  const auto [rest, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (failure != std::errc{} || rest != digits.data() + digits.size()) {
    return refuse(text, "has a port that is not a number from 0 to 65535");
  }
  return HostPort{std::string(host), port};
}

}  // namespace hyperpod::emulator::text
