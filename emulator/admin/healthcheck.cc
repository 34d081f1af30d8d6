// SPDX-License-Identifier: Apache-2.0
#include "admin/healthcheck.h"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <iomanip>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "hyperpod/base/text.h"
#include "text/host_port.h"

namespace hyperpod::emulator::admin {
namespace {

namespace asio = boost::asio;

constexpr std::chrono::seconds patience{3};

tl::unexpected<Error> fail(const std::string& url, std::string_view problem) {
  return tl::make_unexpected(
      Error{ErrorCode::address_unusable, fmt::format("{}: {}", base::printable(url), problem)});
}

}  // namespace

Result<void> check_health(const std::string& url) {
  constexpr std::string_view scheme = "http://";
  constexpr std::string_view form =
      "is not an admin port's URL; write it as http://HOST:PORT, such as http://127.0.0.1:9201, or "
      "http://HOST:PORT/readyz to ask for readiness";
  constexpr std::string_view readiness = "/readyz";
  std::string_view rest = url;
  if (!rest.starts_with(scheme)) return fail(url, form);
  rest.remove_prefix(scheme.size());
  const bool asks_for_readiness = rest.ends_with(readiness);
  if (asks_for_readiness) {
    rest.remove_suffix(readiness.size());
  } else if (rest.ends_with('/')) {
    rest.remove_suffix(1);
  }
  const auto address = text::parse_host_port(rest);
  if (!address) return fail(url, form);

  asio::ip::tcp::iostream connection;
  connection.expires_after(patience);
  connection.connect(address->host, std::to_string(address->port));
  connection << fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
                            asks_for_readiness ? readiness : "/healthz", rest);
  std::string version;
  int status = 0;
  if (!(connection >> std::setw(16) >> version >> status) || !version.starts_with("HTTP/1.")) {
    const std::string problem =
        connection.error() ? connection.error().message() : "what came is not HTTP";
    return fail(
        url,
        fmt::format("no answer ({}); is an emulator running, with its admin port there?", problem));
  }
  if (status == 404) {
    return fail(url,
                "knows nothing of health, as a data port does not; name the admin port, which the "
                "ready line tells (http://127.0.0.1:9201 unless --admin says otherwise)");
  }
  if (status == 200) return {};
  std::string response(std::istreambuf_iterator<char>(connection), {});
  response.erase(0, response.find("\r\n\r\n"));
  const auto body = nlohmann::json::parse(response, nullptr, false);
  const std::string why = body.is_object() ? body.value("message", "") : "";
  return fail(url,
              fmt::format("answers {}{}{}", status, why.empty() ? "" : ": ", base::printable(why)));
}

}  // namespace hyperpod::emulator::admin
