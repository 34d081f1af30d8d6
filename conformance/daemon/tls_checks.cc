// SPDX-License-Identifier: Apache-2.0
// TLS. The whole suite runs over it when the URL says https; these checks are about TLS itself.
#include <openssl/ssl.h>

#include "daemon/chapters.h"

namespace hyperpod::conformance::daemon {
namespace {

void need_tls(const Check& check) {
  if (!check.target().endpoint.tls)
    check.skip("the daemon is asked over plain HTTP; give an https URL");
}

void protocol_works_over_tls(Check& check) {
  need_tls(check);
  Session session = check.connect();
  const Name name = check.fresh_name("%2Fa@b");
  const std::string body = check.bytes(1'500'000);
  check.expect_status(session.put(name, body), 200, "a PUT over TLS");
  check.expect_status(session.put(name, body), 409, "a second PUT over TLS");
  check.expect_stored(session, name, body);
  check.expect_absent(session, check.fresh_name(), "it was never stored");
}

void old_versions_are_refused(Check& check) {
  need_tls(check);
  TlsSettings old = check.target().tls;
  old.max_version = TLS1_1_VERSION;
  const auto session = check.try_connect(check.target().endpoint, old, AF_UNSPEC);
  check.expect(!session, "a client that offers TLS 1.1 at most to be refused",
               "the handshake succeeded");
  check.expect_alive();
}

void plain_http_gets_nowhere(Check& check) {
  need_tls(check);
  Endpoint plain = check.target().endpoint;
  plain.tls = false;
  auto session = check.try_connect(plain, {}, AF_UNSPEC);
  if (!session) throw Violation{"a TCP connection", session.error().message};
  const Name name = check.fresh_name();
  (void)session->try_send_raw(session->head_of(put_request(name, "body")) + "body");
  std::optional<Response> response;
  try {
    response = session->response_or_close();
  } catch (const Violation& violation) {
    // A TLS alert is not HTTP, and is right here; silence is not.
    if (violation.seen.find("time ran out") != std::string::npos) throw;
  }
  check.expect(!response || response->status >= 400, "an error or a closed connection",
               response ? described(*response) : "");
  check.expect_alive();
}

}  // namespace

std::span<const CheckEntry> tls_checks() {
  using enum Profile;
  using enum Isolation;
  static constexpr CheckEntry entries[]{
      {"TLS-01", core, serial, protocol_works_over_tls},
      {"TLS-02", full, serial, old_versions_are_refused},
      {"TLS-03", full, serial, plain_http_gets_nowhere},
  };
  return entries;
}

}  // namespace hyperpod::conformance::daemon
