// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <csignal>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <utility>

#include "hyperpod/base/unique_name.h"
#include "scripted_server.h"

namespace hyperpod::client::testing {

std::string program(const std::string& name) { return std::string(HYPERPOD_BIN) + "/" + name; }

base::ChildProcess start(std::vector<std::string> arguments, std::string input,
                         std::vector<std::string> environment) {
  base::ChildOptions options;
  options.arguments = std::move(arguments);
  options.environment = std::move(environment);
  options.input = std::move(input);
  auto process = base::ChildProcess::start(options);
  if (!process) throw std::runtime_error(process.error().message);
  return *std::move(process);
}

std::string StandaloneEmulator::unique_name(std::string_view label) {
  return base::unique_name("hyperpod_test_" + std::string(label) + "_");
}

StandaloneEmulator::StandaloneEmulator(const std::string& shm_name, const std::string& capacity,
                                       int port)
    : process_(start({program("hyperpod-emulator"), "--listen", "127.0.0.1:" + std::to_string(port),
                      "--admin", "off", "--shm-name", shm_name, "--capacity", capacity,
                      "--block-size", "64KiB", "--log-level", "warn"})) {
  if (!eventually([this] { return process_.output().find('\n') != std::string::npos; })) {
    throw std::runtime_error("the emulator does not serve: " + process_.errors());
  }
  url_ = nlohmann::json::parse(process_.output()).at("url");
}

StandaloneEmulator::~StandaloneEmulator() {
  kill(SIGTERM);
  wait();
}

int StandaloneEmulator::port() const { return std::stoi(url_.substr(url_.rfind(':') + 1)); }

}  // namespace hyperpod::client::testing
