// SPDX-License-Identifier: Apache-2.0
// Variables, file and address: what a client started here would be told.
#include <arpa/inet.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "cli/client_options.h"
#include "cli/doctor/checks.h"
#include "config_variable.h"

namespace hyperpod::client::cli::doctor {
namespace {

constexpr const char* node_ip = "NODE_IP";

std::string how_to_define(std::string_view name) {
  return fmt::format(
      "define {0} in the pod's env, above every variable that uses it:\n"
      "  - name: {0}\n"
      "    valueFrom: {{fieldRef: {{fieldPath: status.hostIP}}}}",
      name);
}

// What Kubernetes leaves of $(NAME) where NAME was not known to it.
std::optional<std::string> unexpanded_in(std::string_view text) {
  const auto begin = text.find("$(");
  if (begin == std::string_view::npos) return std::nullopt;
  const auto end = text.find(')', begin);
  if (end == std::string_view::npos) return std::nullopt;
  return std::string(text.substr(begin + 2, end - begin - 2));
}

// What the file says alone.
Result<LoadedOptions> load_file(const Machine& machine, const std::string& path) {
  return load_options(path, [&machine](const std::string& name) -> std::optional<std::string> {
    if (name.starts_with("LMCACHE_")) return std::nullopt;
    return machine.environment(name);
  });
}

class ConfigurationCheck {
 public:
  ConfigurationCheck(const Machine& machine, const Inquiry& inquiry, Report& report)
      : machine_(machine), inquiry_(inquiry), report_(report) {}

  std::optional<Configuration> run() {
    if (!check_file()) return std::nullopt;
    auto loaded = load_options(inquiry_.config_file, machine_.environment);
    if (!loaded) {
      report_.problem("config-unusable", loaded.error().message, "correct it there");
      return std::nullopt;
    }
    for (const std::string& warning : loaded->warnings) {
      report_.warning("config-doubtful", warning, "correct it there");
    }
    report_overridden(*loaded);

    Configuration configuration{std::move(loaded->options), {}};
    inquiry_.override_options(configuration.options);
    if (configuration.options.remote_url.empty()) {
      configuration.options.remote_url = default_url;
      report_.warning("remote-url-missing",
                      fmt::format("nothing says where the daemon is; looking at {}", default_url),
                      "set LMCACHE_REMOTE_URL or remote_url to sagemaker-hyperpod://$NODE_IP:9200; "
                      "LMCache uses no daemon without");
    }
    if (!normalise_options(configuration.options)) return std::nullopt;
    if (!check_variables(configuration.options.remote_url)) return std::nullopt;
    auto daemons = parse_addresses(configuration.options, machine_.environment);
    if (!daemons) {
      report_.problem("url-unusable", daemons.error().message, "correct remote_url");
      return std::nullopt;
    }
    configuration.daemons = *std::move(daemons);
    check_brackets(configuration.options.remote_url);
    for (const DaemonAddress& daemon : configuration.daemons) {
      check_address(daemon, configuration.options);
    }
    return configuration;
  }

 private:
  // Empty if no file is named.
  std::string file_name() const {
    if (inquiry_.config_file) return *inquiry_.config_file;
    return machine_.environment("LMCACHE_CONFIG_FILE").value_or("");
  }

  // As load_options() takes it: nullopt if it is not set or empty.
  std::optional<std::string> variable(const std::string& name) const {
    const auto text = machine_.environment(name);
    auto value = text ? variable_value(*text) : std::string();
    if (!value.empty()) return value;
    if (text) report_.ok("variable-empty", fmt::format("{} is empty, as if it were not set", name));
    return std::nullopt;
  }

  // Reading what is not a regular file may never end.
  bool check_file() {
    if (file_name().empty()) {
      report_.ok("config-file", "no file: LMCACHE_CONFIG_FILE is not set");
      return true;
    }
    const std::string source = inquiry_.config_file ? "the command line" : "LMCACHE_CONFIG_FILE";
    std::error_code error;
    if (!std::filesystem::is_regular_file(file_name(), error)) {
      report_.problem("config-file-missing",
                      fmt::format("'{}', which {} names, {}", file_name(), source,
                                  std::filesystem::exists(file_name(), error)
                                      ? "is not a regular file"
                                      : "does not exist or may not be looked at"),
                      "mount the file, or correct the name");
      return false;
    }
    report_.ok("config-file", fmt::format("file {}, named by {}", file_name(), source));
    return true;
  }

  // Variables win over the file, which surprises those who edit the file.
  void report_overridden(const LoadedOptions& loaded) {
    const auto url = variable("LMCACHE_REMOTE_URL");
    const auto extra = variable("LMCACHE_EXTRA_CONFIG");
    if (url) report_.ok("remote-url-variable", fmt::format("LMCACHE_REMOTE_URL is {}", *url));
    if (file_name().empty()) return;
    const auto file = load_file(machine_, file_name());
    if (!file) return;
    const std::string& file_url = file->options.remote_url;
    if (url && !file_url.empty() && file_url != loaded.options.remote_url) {
      report_.warning("remote-url-overridden",
                      fmt::format("LMCACHE_REMOTE_URL ({}) wins over remote_url in {} ({})", *url,
                                  file_name(), file_url),
                      "unset LMCACHE_REMOTE_URL if the file is right; an operator may have set it");
    }
    if (!extra) return;
    std::vector<std::string> lost;
    std::ranges::set_difference(file->keys, loaded.keys, std::back_inserter(lost));
    if (lost.empty()) return;
    report_.warning(
        "extra-config-overridden",
        fmt::format("LMCACHE_EXTRA_CONFIG replaces extra_config in {} as a whole, so that {} of "
                    "the file {} no effect",
                    file_name(), fmt::join(lost, ", "), lost.size() == 1 ? "has" : "have"),
        "put all of them into LMCACHE_EXTRA_CONFIG, or unset it", {{"keys", lost}});
  }

  bool normalise_options(ClientOptions& options) {
    const auto raised = normalise(options);
    if (!raised) {
      report_.problem("config-unusable", raised.error().message, "correct it");
      return false;
    }
    for (const std::string& warning : *raised) {
      report_.warning("config-raised", warning, "write a value in its range");
    }
    if (!options.shared_memory_name && options.remote_url.find('#') == std::string::npos) {
      report_.warning("shared-memory-disabled",
                      "no segment is named (None), so objects are stored and never read",
                      "set sagemaker_hyperpod_shared_memory_name; real nodes have "
                      "ai_toolkit_cache");
    }
    return true;
  }

  bool check_variables(const std::string& remote_url) {
    if (const auto name = unexpanded_in(remote_url)) {
      report_.problem(
          "variable-unexpanded",
          fmt::format("the address {} holds $({}) as it stands: Kubernetes replaces it only in "
                      "the value of a variable below the one that defines {}, and in no file",
                      remote_url, *name, *name),
          how_to_define(*name) + fmt::format("\nor write ${{{}}}, which is replaced here", *name),
          {{"variable", *name}});
      return false;
    }
    bool usable = true;
    for (const std::string& name : variables_in(remote_url)) {
      const auto value = machine_.environment(name);
      const nlohmann::json details = {{"variable", name}};
      if (!value || value->empty()) {
        report_.problem("variable-unset",
                        fmt::format("the address {} needs {}, which is {}", remote_url, name,
                                    value ? "empty" : "not set"),
                        how_to_define(name), details);
        usable = false;
      } else if (const auto inner = unexpanded_in(*value)) {
        report_.problem(
            "variable-unexpanded",
            fmt::format("{} is {}: Kubernetes did not know {} there", name, *value, *inner),
            how_to_define(*inner), details);
        usable = false;
      } else {
        report_.ok("variable", fmt::format("{} is {}", name, *value), details);
      }
    }
    return usable;
  }

  void check_address(const DaemonAddress& daemon, const ClientOptions& options) {
    report_.ok("address",
               fmt::format("{} means {}://{}{}, bucket {}, segment {}", options.remote_url,
                           daemon.https ? "https" : "http", daemon.authority(), daemon.path_prefix,
                           options.bucket, daemon.segment.value_or("none")),
               {{"host", daemon.host}, {"port", daemon.port}, {"https", daemon.https}});
    const bool is_ipv6 = daemon.host.find(':') != std::string::npos;
    constexpr std::uint16_t http_port = 80;
    constexpr std::uint16_t https_port = 443;
    if (daemon.port == http_port || daemon.port == https_port) {
      report_.warning(
          "url-no-port",
          fmt::format("the address goes to port {}, which is what it means without a "
                      "port; daemons listen on 9200",
                      daemon.port),
          fmt::format("write {}:9200", is_ipv6 ? "[" + daemon.host + "]" : daemon.host));
    }
    const auto node = machine_.environment(node_ip);
    const bool is_loopback =
        daemon.host == "localhost" || daemon.host == "::1" || daemon.host.starts_with("127.");
    if (node && !node->empty() && !is_loopback && !is_same_address(daemon.host, *node) &&
        is_address(daemon.host)) {
      report_.warning("url-not-this-node",
                      fmt::format("the address names {}, but this node is {} (NODE_IP): the leases "
                                  "of another node's daemon cannot be read here",
                                  daemon.host, *node),
                      "write $NODE_IP instead of a fixed address");
    }
  }

  // Our client puts brackets around it. LMCache's own does not, and then has no port.
  void check_brackets(const std::string& remote_url) {
    for (const std::string& name : variables_in(remote_url)) {
      const std::string value = machine_.environment(name).value_or("");
      const bool in_brackets = remote_url.find("[$" + name + "]") != std::string::npos ||
                               remote_url.find("[${" + name + "}]") != std::string::npos;
      if (value.find(':') == std::string::npos || value.starts_with('[') || in_brackets) {
        continue;
      }
      report_.warning("ipv6-no-brackets",
                      fmt::format("{} is the IPv6 address {}, and {} puts no brackets around it: "
                                  "this client does, LMCache's own cannot use such an address",
                                  name, value, remote_url),
                      fmt::format("write [${}]", name), {{"variable", name}});
    }
  }

  static bool is_same_address(const std::string& a, const std::string& b) {
    std::array<unsigned char, sizeof(in6_addr)> bytes_a{};
    std::array<unsigned char, sizeof(in6_addr)> bytes_b{};
    if (inet_pton(AF_INET6, a.c_str(), bytes_a.data()) == 1 &&
        inet_pton(AF_INET6, b.c_str(), bytes_b.data()) == 1) {
      return bytes_a == bytes_b;
    }
    return a == b;
  }

  static bool is_address(std::string_view host) {
    return host.find(':') != std::string_view::npos ||
           std::ranges::all_of(host, [](char c) { return c == '.' || (c >= '0' && c <= '9'); });
  }

  const Machine& machine_;
  const Inquiry& inquiry_;
  Report& report_;
};

}  // namespace

std::optional<Configuration> check_configuration(const Machine& machine, const Inquiry& inquiry,
                                                 Report& report) {
  return ConfigurationCheck(machine, inquiry, report).run();
}

}  // namespace hyperpod::client::cli::doctor
