// SPDX-License-Identifier: Apache-2.0
#include "process.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "scripted_server.h"

extern char** environ;

namespace hyperpod::client::testing {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

std::vector<std::string> emulator_arguments(const std::string& shm_name,
                                            const std::string& capacity, int port) {
  return {program("hyperpod-emulator"),
          "--listen",
          "127.0.0.1:" + std::to_string(port),
          "--admin",
          "off",
          "--shm-name",
          shm_name,
          "--capacity",
          capacity,
          "--block-size",
          "64KiB",
          "--log-level",
          "warn"};
}

}  // namespace

std::string program(const std::string& name) { return std::string(HYPERPOD_BIN) + "/" + name; }

Process::Process(const std::vector<std::string>& arguments, const std::string& input,
                 const std::vector<std::string>& environment)
    : pid_(-1), files_{} {
  for (int& file : files_) file = memfd_create("hyperpod_test", MFD_CLOEXEC);
  if (pwrite(files_[0], input.data(), input.size(), 0) != static_cast<ssize_t>(input.size())) {
    throw std::system_error(errno, std::generic_category(), "write");
  }
  std::vector<std::string> variables = environment;
  for (char** variable = environ; *variable != nullptr; ++variable) variables.push_back(*variable);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  for (int i = 0; i < 3; ++i) posix_spawn_file_actions_adddup2(&actions, files_[i], i);
  posix_spawn_file_actions_addclosefrom_np(&actions, 3);
  const int error = posix_spawn(&pid_, arguments[0].c_str(), &actions, nullptr,
                                pointers(arguments).data(), pointers(variables).data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::system_error(error, std::generic_category(), arguments[0]);
}

Process::~Process() {
  if (!status_) {
    kill(SIGKILL);
    wait();
  }
  for (int file : files_) close(file);
}

void Process::kill(int signal) {
  if (!status_) ::kill(pid_, signal);
}

int Process::wait() {
  if (!status_) {
    int status = 0;
    waitpid(pid_, &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  return *status_;
}

std::string Process::read(int stream) const {
  std::string text;
  std::array<char, 65536> bytes;
  ssize_t count = 0;
  while ((count = pread(files_[stream], bytes.data(), bytes.size(),
                        static_cast<off_t>(text.size()))) > 0) {
    text.append(bytes.data(), static_cast<std::size_t>(count));
  }
  return text;
}

StandaloneEmulator::~StandaloneEmulator() {
  kill(SIGTERM);
  wait();
}

StandaloneEmulator::StandaloneEmulator(const std::string& shm_name, const std::string& capacity,
                                       int port)
    : process_(emulator_arguments(shm_name, capacity, port)) {
  if (!eventually([this] { return process_.output().find('\n') != std::string::npos; })) {
    throw std::runtime_error("the emulator does not serve: " + process_.errors());
  }
  url_ = nlohmann::json::parse(process_.output()).at("url");
}

int StandaloneEmulator::port() const { return std::stoi(url_.substr(url_.rfind(':') + 1)); }

}  // namespace hyperpod::client::testing
