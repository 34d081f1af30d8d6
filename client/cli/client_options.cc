// SPDX-License-Identifier: Apache-2.0
#include "client_options.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "hyperpod/base/spdlog.h"
#include "hyperpod/client/config.h"

namespace hyperpod::client::cli {
namespace {

std::shared_ptr<base::LogSink> make_logger(const std::string& level) {
  auto logger = std::make_shared<spdlog::logger>("hyperpod-kv",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_level(spdlog::level::from_str(level));
  return base::log_to(std::move(logger));
}

}  // namespace

void override_options(const CommandLine& line, ClientOptions& options) {
  if (line.url) options.remote_url = *line.url;
  if (line.bucket) options.bucket = *line.bucket;
  if (line.shm_name) options.shared_memory_name = *line.shm_name;
  if (options.shared_memory_name == "None") options.shared_memory_name.reset();
  if (line.ca_file) options.tls.ca_file = *line.ca_file;
  if (line.timeout) options.timeout = *line.timeout;
}

Result<ClientOptions> make_options(const CommandLine& line) {
  auto loaded = load_options(line.config);
  if (!loaded) return tl::unexpected(std::move(loaded).error());
  ClientOptions options = std::move(loaded->options);
  options.logger = make_logger(line.log_level);
  for (const std::string& warning : loaded->warnings) {
    if (options.logger->enabled(base::LogLevel::warn)) {
      options.logger->write(base::LogLevel::warn, warning);
    }
  }
  if (options.remote_url.empty()) options.remote_url = default_url;
  if (line.bucket && line.bucket->empty()) {
    return tl::unexpected(Error{ErrorCode::invalid_option, "--bucket is empty; name a bucket"});
  }
  override_options(line, options);
  return options;
}

}  // namespace hyperpod::client::cli
