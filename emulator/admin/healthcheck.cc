// SPDX-License-Identifier: Apache-2.0
#include "admin/healthcheck.h"

#include <fmt/format.h>
#include <httplib.h>

#include <chrono>
#include <string_view>

#include "text/host_port.h"
#include "text/printable.h"

namespace hyperpod::emulator::admin {
namespace {

constexpr std::chrono::seconds patience{3};

tl::unexpected<Error> fail(const std::string& url, std::string_view problem) {
  return tl::make_unexpected(
      Error{ErrorCode::address_unusable, fmt::format("{}: {}", text::printable(url), problem)});
}

}  // namespace

Result<void> check_health(const std::string& url) {
  constexpr std::string_view scheme = "http://";
  constexpr std::string_view form =
      "is no admin port's URL; write it as http://HOST:PORT, such as http://127.0.0.1:9201";
  std::string_view rest = url;
  if (!rest.starts_with(scheme)) return fail(url, form);
  rest.remove_prefix(scheme.size());
  if (rest.ends_with('/')) rest.remove_suffix(1);
  const auto address = text::parse_host_port(rest);
  if (!address) return fail(url, form);

  httplib::Client client(address->host, address->port);
  client.set_connection_timeout(patience);
  client.set_read_timeout(patience);
  const auto answer = client.Get("/healthz");
  if (!answer) {
    return fail(url,
                fmt::format("no answer ({}); is an emulator running, with its admin port there?",
                            httplib::to_string(answer.error())));
  }
  if (answer->status == 404) {
    return fail(url,
                "knows nothing of health, as a data port does not; name the admin port, which the "
                "ready line tells (http://127.0.0.1:9201 unless --admin says otherwise)");
  }
  if (answer->status != 200) return fail(url, fmt::format("answers {}", answer->status));
  return {};
}

}  // namespace hyperpod::emulator::admin
