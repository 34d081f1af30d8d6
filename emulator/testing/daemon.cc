// SPDX-License-Identifier: Apache-2.0
#include "testing/daemon.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <thread>

namespace hyperpod::emulator::test {
namespace {

Emulator start(Options options) {
  auto started = Emulator::start(std::move(options));
  if (!started) throw std::runtime_error(started.error().message);
  return std::move(*started);
}

}  // namespace

Options test_options(std::shared_ptr<Clock> clock) {
  Options options = Options::for_test();
  options.clock = std::move(clock);
  return options;
}

Daemon::Daemon(Options options) : emulator_(start(std::move(options))) {}

bool Daemon::reaches(const std::function<bool(const Statistics&)>& holds) const {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (!holds(statistics())) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

std::string Daemon::leased_bytes(const Reply& grant) const {
  if (grant.status != 200) throw std::runtime_error("no grant: " + grant.body);
  const int fd = ::open(("/dev/shm/" + emulator_.shm_name()).c_str(), O_RDONLY | O_CLOEXEC);
  void* mapped = ::mmap(nullptr, emulator_.capacity(), PROT_READ, MAP_SHARED, fd, 0);
  ::close(fd);
  if (mapped == MAP_FAILED) throw std::runtime_error("cannot map the segment");
  std::string bytes;
  const auto offsets = nlohmann::json::parse(grant.body).at("offsets");
  for (const auto& fragment : offsets) {
    const auto offset = fragment.at("offset").get<std::uint64_t>();
    const auto length = fragment.at("len").get<std::uint64_t>();
    if (offset > emulator_.capacity() || length > emulator_.capacity() - offset) {
      throw std::runtime_error("a fragment outside of the segment: " + grant.body);
    }
    bytes.append(static_cast<const char*>(mapped) + offset, length);
  }
  ::munmap(mapped, emulator_.capacity());
  return bytes;
}

std::string id_of(const Reply& grant) { return nlohmann::json::parse(grant.body).at("id"); }

std::size_t fragments_of(const Reply& grant) {
  return nlohmann::json::parse(grant.body).at("offsets").size();
}

std::string random_bytes(std::size_t size, unsigned seed) {
  std::mt19937_64 random(seed);
  std::string bytes(size + sizeof(std::uint64_t), '\0');
  for (std::size_t at = 0; at < size; at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
  bytes.resize(size);
  return bytes;
}

std::string put_head(std::string_view path, std::uint64_t length, std::string_view fields) {
  return fmt::format(
      "PUT /v1/kv/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: LMCache-SageMaker-HyperPod/1.0\r\n"
      "Content-Length: {}\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\n"
      "Content-Type: application/octet-stream\r\n{}\r\n",
      path, length, fields);
}

std::string put_request(std::string_view path, std::string_view body, std::string_view fields) {
  return put_head(path, body.size(), fields).append(body);
}

std::string chunked_head(std::string_view path) {
  return fmt::format(
      "PUT /v1/kv/{} HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n", path);
}

std::string lease_request(std::string_view path, std::string_view query) {
  return fmt::format(
      "POST /v1/kv/{}/leases?{} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", path,
      query);
}

std::string release_request(std::string_view id) {
  return fmt::format(
      "POST /v1/leases/{}/release HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\n\r\n", id);
}

std::string get_request(std::string_view target) {
  return fmt::format("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", target);
}

}  // namespace hyperpod::emulator::test
