// SPDX-License-Identifier: Apache-2.0
// Whether what listens is such a daemon. It is asked two things that change nothing: for the path
// `/`, which it does not have, and for the lease of a key that nobody stored.
#include <spdlog/fmt/fmt.h>

#include "cli/doctor/checks.h"
#include "cli/doctor/unique_key.h"
#include "leases/lease_response.h"
#include "transport/http_connection.h"
#include "transport/target.h"

namespace hyperpod::client::cli::doctor {
namespace {

using SteadyClock = std::chrono::steady_clock;
using Answer = transport::HttpOutcome;

constexpr const char* correct_the_port =
    "correct the address: the daemon's port is 9200 (9240 is for its peers; 9201 is the emulator's "
    "admin port)";

class ProtocolCheck {
 public:
  ProtocolCheck(const Machine& machine, const ClientOptions& options, const DaemonAddress& daemon,
                Report& report)
      : machine_(machine), options_(options), daemon_(daemon), report_(report) {}

  bool run() {
    const Answer root =
        ask(daemon_, options_.tls, {.method = transport::HttpRequest::Method::get, .target = "/"});
    if (!root) {
      explain_failure(root.error());
      return false;
    }
    constexpr int bad_request = 400;  // which a TLS server may say to plain HTTP
    if (root->status == bad_request && check_for_tls()) return false;

    const auto start = SteadyClock::now();
    const Answer miss = ask(
        daemon_, options_.tls,
        {.target = transport::lease_target(options_.bucket, unique_key("absent"),
                                           std::chrono::milliseconds{0}, std::chrono::seconds{1})});
    const std::chrono::duration<double, std::milli> taken = SteadyClock::now() - start;
    if (!miss) {
      explain_failure(miss.error());
      return false;
    }
    return judge(*root, *miss, taken);
  }

 private:
  Answer ask(const DaemonAddress& daemon, const TlsOptions& tls,
             const transport::HttpRequest& request) {
    transport::HttpConnection connection(daemon, tls);
    return connection.exchange(request, SteadyClock::now() + machine_.patience.answer);
  }

  bool answers(bool https) {
    DaemonAddress daemon = daemon_;
    daemon.https = https;
    return ask(daemon, {.ca_file = {}, .verify_server = false},
               {.method = transport::HttpRequest::Method::get, .target = "/"})
        .has_value();
  }

  bool check_for_tls() {
    if (daemon_.https || !answers(true)) return false;
    report_.problem("daemon-speaks-https", "it speaks HTTPS, and the address says HTTP",
                    "write https:// in remote_url, or set sagemaker_hyperpod_use_https");
    return true;
  }

  void explain_failure(const transport::TransportFailure& failure) {
    if (check_for_tls()) return;
    if (daemon_.https && answers(true)) {
      report_.problem("daemon-certificate", fmt::format("it speaks HTTPS, but {}", failure.reason),
                      "name the authority's file with sagemaker_hyperpod_tls_ca_file, and address "
                      "the daemon by a name that its certificate has");
    } else if (daemon_.https && answers(false)) {
      report_.problem("daemon-speaks-http", "it speaks plain HTTP, and the address says HTTPS",
                      "write http:// in remote_url, or unset sagemaker_hyperpod_use_https");
    } else if (failure.code == ErrorCode::timed_out) {
      report_.problem(
          "daemon-silent",
          fmt::format("it accepts the connection and has not answered within {} ms",
                      machine_.patience.answer.count()),
          "the daemon hangs (restart it), or what listens there speaks first in another "
          "protocol");
    } else if (failure.code == ErrorCode::malformed_response) {
      report_.problem("daemon-not-http", fmt::format("what listens there {}", failure.reason),
                      correct_the_port);
    } else {
      report_.problem("daemon-hangs-up", fmt::format("what listens there {}", failure.reason),
                      "look into the daemon's log; or something else listens on this port");
    }
  }

  bool judge(const transport::HttpResponse& root, const transport::HttpResponse& miss,
             std::chrono::duration<double, std::milli> taken) {
    constexpr int not_found = 404;
    constexpr int gateway_timeout = 504;
    const nlohmann::json details = {{"root_status", root.status},
                                    {"miss_status", miss.status},
                                    {"miss_content_type", miss.content_type},
                                    {"miss_ms", taken.count()}};
    const bool is_daemon_root = root.status == not_found;
    // The daemon's errors have no body or a JSON one; web servers put pages there.
    const bool has_page = !miss.body.empty() && !miss.content_type.starts_with("application/json");
    if ((miss.status == not_found || miss.status == gateway_timeout) && !has_page) {
      if (!is_daemon_root) {
        report_.warning("daemon-other-root",
                        fmt::format("it misses as the daemon does, but answers {} to GET /, where "
                                    "the daemon has 404",
                                    root.status),
                        "make sure that it is the daemon and no proxy before it", details);
        return true;
      }
      report_.ok("daemon",
                 fmt::format("it answers as the daemon does: 404 to GET /, {} to the lease of an "
                             "absent key, in {:.2f} ms",
                             miss.status, taken.count()),
                 details);
      return true;
    }
    if (miss.status == 200) {
      release(miss);
      report_.problem("daemon-grants-absent", "it grants a lease of a key that nobody stored",
                      "it is not such a daemon, or it has a defect", details);
    } else if (has_page || !is_daemon_root) {
      report_.problem(
          "daemon-other-server",
          fmt::format("another web server listens there: it answers {} to GET / and {} "
                      "({}) to the lease of an absent key, where the daemon has 404 and "
                      "504",
                      root.status, miss.status,
                      miss.content_type.empty() ? "no type" : miss.content_type),
          correct_the_port, details);
    } else {
      report_.problem(
          "daemon-refuses",
          fmt::format("it answers {} to the lease of an absent key, where the daemon has "
                      "504 or 404",
                      miss.status),
          "look into the daemon's log; a proxy in between may refuse, too", details);
    }
    return false;
  }

  void release(const transport::HttpResponse& answer) {
    const auto lease = leases::parse_lease_response(answer.content_type, answer.body);
    const std::string& id = lease ? lease->id : lease.error().id;
    if (!id.empty()) ask(daemon_, options_.tls, {.target = transport::release_target(id)});
  }

  const Machine& machine_;
  const ClientOptions& options_;
  const DaemonAddress& daemon_;
  Report& report_;
};

}  // namespace

bool check_protocol(const Machine& machine, const ClientOptions& options,
                    const DaemonAddress& daemon, Report& report) {
  return ProtocolCheck(machine, options, daemon, report).run();
}

}  // namespace hyperpod::client::cli::doctor
