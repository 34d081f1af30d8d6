// SPDX-License-Identifier: Apache-2.0
#include "servers.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <bit>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "hyperpod/base/unique_name.h"
#include "load/connection.h"

namespace hyperpod::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds start_patience{10'000};

// Debian's own interpreter: another Python in PATH would not see Debian's packages.
constexpr const char* debian_python = "/usr/bin/python3";
constexpr const char* aiohttp_daemon = HYPERPOD_BENCH_COMPARATORS "/aiohttp_daemon.py";
constexpr const char* aiohttp_client = HYPERPOD_BENCH_COMPARATORS "/aiohttp_client.py";
constexpr const char* python_client = HYPERPOD_BENCH_COMPARATORS "/../python_client.py";

// A segment that the next emulator to start clears away, should this run be killed.
std::string unique_name() { return base::unique_name("hyperpod_test_"); }

// Starts a server that prints, when it serves, a line of JSON with its "url".
Result<Server> start_announcing(const std::vector<std::string>& arguments) {
  auto child = start(arguments);
  if (!child) return tl::unexpected(child.error());
  const auto line = child->read_line(start_patience);
  if (!line) return failure(arguments.front() + " does not start: " + line.error().message);
  const auto ready = nlohmann::json::parse(*line, nullptr, false);
  const auto port_of = [&](const char* name) {
    const bool there = ready.is_object() && ready.contains(name) && ready[name].is_string();
    const std::string url = there ? ready[name].get<std::string>() : "";
    const auto colon = url.rfind(':');
    return static_cast<std::uint16_t>(colon == url.npos ? 0 : std::atoi(url.c_str() + colon + 1));
  };
  const auto port = port_of("url");
  if (port == 0) return failure(arguments.front() + " announced no url: " + *line);
  Server server{std::move(*child), port};
  server.admin_port = port_of("admin");
  return server;
}

// The figure of that name in the line of JSON that a program prints which measures for so long.
Result<double> figure_of(const std::vector<std::string>& arguments, const char* name,
                         milliseconds duration) {
  auto child = start(arguments);
  if (!child) return tl::unexpected(child.error());
  const auto line = child->read_line(start_patience + duration);
  if (!line) return failure("a client in Python fails: " + line.error().message);
  const auto report = nlohmann::json::parse(*line, nullptr, false);
  const double figure = report.is_object() ? report.value(name, 0.0) : 0;
  if (figure <= 0) return failure("a client in Python has no figure: " + *line);
  return figure;
}

// nginx cannot tell which port it was given, so one is picked that is free now.
Result<std::uint16_t> free_port() {
  const base::FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (!socket || ::bind(socket.get(), std::bit_cast<sockaddr*>(&address), size) != 0 ||
      ::getsockname(socket.get(), std::bit_cast<sockaddr*>(&address), &size) != 0) {
    return system_failure("no free port could be found");
  }
  return ntohs(address.sin_port);
}

// As fast as nginx goes on one machine: "reuseport" spreads the connections over its workers,
// without which one worker may get all of them.
std::string nginx_configuration(const std::string& folder, std::uint16_t port,
                                const std::string& lease_body, const std::string& other_body) {
  std::string paths;
  for (const char* kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    paths += std::string("  ") + kind + "_temp_path " + folder + "/" + kind + ";\n";
  }
  return "daemon off;\n"
         "worker_processes auto;\n"
         "error_log stderr crit;\n"
         "pid " +
         folder +
         "/nginx.pid;\n"
         "events { worker_connections 4096; }\n"
         "http {\n" +
         paths +
         "  access_log off;\n"
         "  default_type application/json;\n"
         "  keepalive_requests 1000000000;\n"
         "  server {\n"
         "    listen 127.0.0.1:" +
         std::to_string(port) +
         " backlog=4096 reuseport;\n"
         "    location /v1/kv/ { return 200 '" +
         lease_body +
         "'; }\n"
         "    location / { return 200 '" +
         other_body +
         "'; }\n"
         "  }\n"
         "}\n";
}

Result<void> wait_until_it_accepts(std::uint16_t port, base::ChildProcess& child) {
  const auto deadline = steady_clock::now() + start_patience;
  while (!connect_to(port)) {
    if (!child.running() || steady_clock::now() > deadline) {
      return failure("nginx does not start: " + child.last_error_line());
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  return {};
}

Result<void> check_aiohttp() {
  if (runs({debian_python, "-c", "import aiohttp"})) return {};
  return tl::unexpected(Error{ErrorCode::missing, "python3-aiohttp is not installed"});
}

}  // namespace

Result<Server> start_emulator(std::uint64_t capacity, std::uint64_t block_size, Placement placement,
                              const std::vector<std::string>& more) {
  const std::string segment = unique_name();
  std::vector<std::string> arguments{
      own_folder() + "/hyperpod-emulator",
      "--listen",
      "127.0.0.1:0",
      "--shm-name",
      segment,
      "--capacity",
      std::to_string(capacity >> 20) + "MiB",
      "--block-size",
      std::to_string(block_size >> 10) + "KiB",
      "--placement",
      placement == Placement::contiguous ? "contiguous" : "scattered",
      "--log-level",
      "warn"};
  if (std::ranges::find(more, "--admin") == more.end()) {
    arguments.insert(arguments.end(), {"--admin", "off"});
  }
  arguments.insert(arguments.end(), more.begin(), more.end());
  auto server = start_announcing(arguments);
  if (server) server->segment = segment;
  return server;
}

Result<Server> start_nginx(const std::string& program, const std::string& lease_body,
                           const std::string& other_body) {
  const std::string path = program.empty() ? find_program("nginx") : program;
  if (path.empty()) return tl::unexpected(Error{ErrorCode::missing, "nginx is not installed"});
  // Needed only while nginx starts: it reads its file once and buffers no body.
  const auto folder = TemporaryFolder::create();
  if (!folder) return tl::unexpected(folder.error());
  const auto port = free_port();
  if (!port) return tl::unexpected(port.error());
  const std::string configuration = folder->path() + "/nginx.conf";
  std::ofstream(configuration) << nginx_configuration(folder->path(), *port, lease_body,
                                                      other_body);
  auto child = start({path, "-e", "stderr", "-p", folder->path(), "-c", configuration});
  if (!child) return tl::unexpected(child.error());
  if (auto ready = wait_until_it_accepts(*port, *child); !ready) {
    return tl::unexpected(ready.error());
  }
  return Server{std::move(*child), *port};
}

Result<Server> start_aiohttp_daemon(std::uint64_t capacity) {
  if (auto usable = check_aiohttp(); !usable) return tl::unexpected(usable.error());
  return start_announcing({debian_python, aiohttp_daemon, "--shm-name", unique_name(), "--capacity",
                           std::to_string(capacity)});
}

Result<double> run_aiohttp_client(const Server& emulator, const std::vector<std::string>& keys,
                                  std::size_t object_bytes, milliseconds duration) {
  if (auto usable = check_aiohttp(); !usable) return tl::unexpected(usable.error());
  std::vector<std::string> arguments{
      debian_python,    aiohttp_client,
      "--port",         std::to_string(emulator.port),
      "--shm-name",     emulator.segment,
      "--seconds",      std::to_string(static_cast<double>(duration.count()) / 1000),
      "--object-bytes", std::to_string(object_bytes)};
  arguments.insert(arguments.end(), keys.begin(), keys.end());
  return figure_of(arguments, "gets_per_second", duration);
}

Result<double> run_python_client(const std::string& kind, const Server& emulator,
                                 const std::vector<std::string>& keys, std::size_t object_bytes,
                                 milliseconds duration) {
  const std::string programs = own_folder();
  const std::string package = programs + "/../python";
  if (!runs({"/usr/bin/env", "PYTHONPATH=" + package, debian_python, "-c",
             "import hyperpod_kv; hyperpod_kv.Client"})) {
    return tl::unexpected(
        Error{ErrorCode::missing, "the Python package is not built; ./dev build builds it"});
  }
  std::vector<std::string> arguments{"/usr/bin/env",
                                     "PYTHONPATH=" + package,
                                     "HYPERPOD_KV_BIN=" + programs,
                                     debian_python,
                                     python_client,
                                     kind,
                                     "--url",
                                     "127.0.0.1:" + std::to_string(emulator.port),
                                     "--shm-name",
                                     emulator.segment,
                                     "--seconds",
                                     std::to_string(static_cast<double>(duration.count()) / 1000),
                                     "--object-bytes",
                                     std::to_string(object_bytes)};
  arguments.insert(arguments.end(), keys.begin(), keys.end());
  return figure_of(arguments, "figure", duration);
}

Result<Server> start_raw_receiver(std::uint64_t capacity, std::uint64_t body, Receiving how) {
  return start_announcing({own_folder() + "/hyperpod-bench-raw-receiver", std::to_string(capacity),
                           std::to_string(body), how == Receiving::epoll ? "epoll" : "threads"});
}

}  // namespace hyperpod::bench
