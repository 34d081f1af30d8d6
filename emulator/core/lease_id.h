// SPDX-License-Identifier: Apache-2.0
// Lease ids: 22 characters of [A-Za-z0-9_-] drawn from the kernel's random source, 132 bits, so
// that no client can guess another's. Clients that do not percent-encode ids rely on that alphabet.
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <optional>
#include <string_view>

namespace hyperpod::emulator::core {

class LeaseId {
 public:
  static constexpr std::size_t length = 22;

  /// A new id, unlike any other. Thread-safe.
  static LeaseId generate();

  /// nullopt if `text` cannot be an id of ours.
  static std::optional<LeaseId> parse(std::string_view text);

  std::string_view text() const { return {text_.data(), text_.size()}; }
  friend bool operator==(const LeaseId&, const LeaseId&) = default;

 private:
  std::array<char, length> text_{};
};

}  // namespace hyperpod::emulator::core

template <>
struct std::hash<hyperpod::emulator::core::LeaseId> {
  std::size_t operator()(const hyperpod::emulator::core::LeaseId& id) const noexcept {
    std::size_t head;  // random already
    std::memcpy(&head, id.text().data(), sizeof head);
    return head * 0x9E3779B97F4A7C15ull;  // spreads the six random bits a byte over the word
  }
};
