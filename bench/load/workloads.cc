// SPDX-License-Identifier: Apache-2.0
#include "load/workloads.h"

#include <array>
#include <cstdio>
#include <numeric>

namespace hyperpod::bench {
namespace {

constexpr std::string_view object_path = "/v1/kv/lmcache/";
constexpr std::string_view common_headers =
    " HTTP/1.1\r\n"
    "Host: 127.0.0.1:9200\r\n"
    "Accept: */*\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
    "User-Agent: LMCache-SageMaker-HyperPod/1.0\r\n";

std::string post(std::string_view target) {
  std::string request = "POST ";
  request.append(target).append(common_headers).append("Content-Length: 0\r\n\r\n");
  return request;
}

}  // namespace

std::string object_key(std::uint64_t number) {
  std::array<char, 17> hash{};
  std::snprintf(hash.data(), hash.size(), "%016llx",
                static_cast<unsigned long long>(number | (0x6f1eull << 48)));
  return "meta-llama%2FLlama-3.1-8B-Instruct@1@0@" + std::string(hash.data()) + "@bfloat16";
}

std::string put_head(std::uint64_t number, std::uint64_t body_bytes) {
  std::string request = "PUT ";
  request.append(object_path).append(object_key(number)).append(common_headers);
  request.append("Content-Type: application/octet-stream\r\nContent-Length: ");
  return request.append(std::to_string(body_bytes)).append("\r\n\r\n");
}

std::string put_request(std::uint64_t number, std::string_view body) {
  return put_head(number, body.size()).append(body);
}

std::string lease_request(std::uint64_t number, unsigned hold_ms) {
  std::string target(object_path);
  target.append(object_key(number)).append("/leases?timeout_ms=");
  return post(target.append(std::to_string(hold_ms)).append("&ttl_s=30.0"));
}

std::string release_request(std::string_view id) {
  std::string target = "/v1/leases/";
  return post(target.append(id).append("/release"));
}

LeaseAndRelease::LeaseAndRelease(std::size_t connections) {
  for (std::size_t i = 0; i < connections; ++i) states_.push_back({lease_request(i, 5000), {}});
}

bool LeaseAndRelease::next(std::size_t connection, bool stopping, std::string& request) {
  const State& state = states_[connection];
  if (!state.id.empty()) {
    request = release_request(state.id);
    return true;
  }
  request = state.lease;
  return !stopping;
}

bool LeaseAndRelease::answered(std::size_t connection, const Response& response) {
  State& state = states_[connection];
  if (response.status != 200) return false;
  if (!state.id.empty()) {
    state.id.clear();
    return true;
  }
  state.id = lease_id(response.body);
  return !state.id.empty();
}

StoreObjects::StoreObjects(std::size_t connections, std::uint64_t count, std::string body)
    : count_(count), body_(std::move(body)), next_(connections) {
  std::iota(next_.begin(), next_.end(), 0);
}

bool StoreObjects::next(std::size_t connection, bool stopping, std::string& request) {
  std::uint64_t& number = next_[connection];
  if (stopping || number >= count_) return false;
  request = put_request(number, body_);
  number += next_.size();
  return true;
}

bool StoreObjects::answered(std::size_t /*connection*/, const Response& response) {
  return response.status == 200;
}

HeldLease::HeldLease(std::size_t connections, unsigned hold_ms)
    : hold_ms_(hold_ms), asked_(connections) {}

bool HeldLease::next(std::size_t connection, bool /*stopping*/, std::string& request) {
  if (asked_[connection]) return false;
  asked_[connection] = 1;
  constexpr std::uint64_t never_stored = 1ull << 40;
  request = lease_request(never_stored + connection, hold_ms_);
  return true;
}

bool HeldLease::answered(std::size_t /*connection*/, const Response& response) {
  return response.status == 504;
}

}  // namespace hyperpod::bench
