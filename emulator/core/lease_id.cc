// SPDX-License-Identifier: Apache-2.0
#include "core/lease_id.h"

#include <sys/random.h>

#include <algorithm>
#include <cstdlib>

namespace hyperpod::emulator::core {
namespace {

constexpr std::string_view alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
static_assert(alphabet.size() == 64);

bool in_alphabet(char character) {
  return (character >= 'A' && character <= 'Z') || (character >= 'a' && character <= 'z') ||
         (character >= '0' && character <= '9') || character == '_' || character == '-';
}

// A thread draws random bytes in bulk: a system call per lease would be felt.
class RandomBytes {
 public:
  const unsigned char* take(std::size_t count) {
    if (used_ + count > bytes_.size()) refill();
    const unsigned char* taken = bytes_.data() + used_;
    used_ += count;
    return taken;
  }

 private:
  void refill() {
    std::size_t have = 0;
    while (have < bytes_.size()) {
      const auto got = ::getrandom(bytes_.data() + have, bytes_.size() - have, 0);
      if (got > 0) have += static_cast<std::size_t>(got);
    }
    used_ = 0;
  }

  std::array<unsigned char, 4096> bytes_;
  std::size_t used_ = bytes_.size();
};

}  // namespace

LeaseId LeaseId::generate() {
  thread_local RandomBytes random;
  const unsigned char* bytes = random.take(length);
  LeaseId id;
  for (std::size_t i = 0; i < length; ++i) id.text_[i] = alphabet[bytes[i] % alphabet.size()];
  return id;
}

std::optional<LeaseId> LeaseId::parse(std::string_view text) {
  if (text.size() != length || !std::all_of(text.begin(), text.end(), in_alphabet)) {
    return std::nullopt;
  }
  LeaseId id;
  std::copy(text.begin(), text.end(), id.text_.begin());
  return id;
}

}  // namespace hyperpod::emulator::core
