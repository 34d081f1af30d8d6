// SPDX-License-Identifier: Apache-2.0
#include "journal/head_ring.h"

#include <algorithm>
#include <string>

namespace hyperpod::emulator::journal {
namespace {

// Not inlined: where g++ knows that a text is short it copies by "rep movs", which is slow to
// begin.
[[gnu::noinline]] char* copy(std::string_view text, char* to) {
  return std::copy(text.begin(), text.end(), to);
}

}  // namespace

HeadPlace HeadRing::append(std::string_view request, std::string_view response) {
  request = request.substr(0, Journal::longest_head + 1);
  response = response.substr(0, Journal::longest_head + 1);
  HeadPlace place{.begin = end_,
                  .request = static_cast<std::uint16_t>(request.size()),
                  .response = static_cast<std::uint16_t>(response.size())};
  const std::size_t count = request.size() + response.size();
  if (count == 0) return place;
  if (!bytes_) bytes_ = std::make_unique_for_overwrite<char[]>(size_);
  if (const std::size_t used = end_ % size_; used + count > size_) place.begin += size_ - used;
  end_ = place.begin + count;
  copy(response, copy(request, bytes_.get() + place.begin % size_));
  return place;
}

std::optional<JournalHeads> HeadRing::load(const HeadPlace& place) const {
  if (place.empty() || place.begin + size_ < end_) return std::nullopt;
  const char* const from = bytes_.get() + place.begin % size_;
  return JournalHeads{.request = std::string(from, place.request),
                      .response = std::string(from + place.request, place.response)};
}

}  // namespace hyperpod::emulator::journal
