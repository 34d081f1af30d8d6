// SPDX-License-Identifier: Apache-2.0
// Any bytes as a chunked body: what comes out does not depend on how it arrives, is no longer than
// what went in, and encodes to a body that decodes to the same.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/chunk_decoder.h"

namespace hyperpod::emulator::http {
namespace {

using Event = ChunkDecoder::Event;

void require(bool holds) {
  if (!holds) std::abort();
}

struct Decoded {
  std::string data;
  Event last = Event::need_more;
  std::size_t consumed = 0;
  friend bool operator==(const Decoded&, const Decoded&) = default;
};

Decoded decode(std::string_view body, std::size_t step) {
  ChunkDecoder decoder;
  Decoded decoded;
  while (!body.empty()) {
    auto piece = body.substr(0, step);
    const auto offered = piece.size();
    do {
      decoded.last = decoder.next(piece);
      if (decoded.last != Event::data) break;
      const auto taken = std::min<std::uint64_t>(decoder.data_left(), piece.size());
      decoded.data += piece.substr(0, taken);
      piece.remove_prefix(taken);
      decoder.data_taken(taken);
    } while (!piece.empty());
    decoded.consumed += offered - piece.size();
    if (decoded.last == Event::end || decoded.last == Event::malformed) break;
    require(piece.empty());
    body.remove_prefix(offered);
  }
  return decoded;
}

void check(std::string_view body) {
  const auto whole = decode(body, body.size());
  for (const std::size_t step : {1, 2, 3, 5, 16}) require(decode(body, step) == whole);
  require(whole.consumed <= body.size());
  require(whole.data.size() <= body.size());
  if (whole.last != Event::end) return;

  std::string again;
  for (const char c : whole.data) again += std::string("1\r\n") + c + "\r\n";
  again += "0\r\n\r\n";
  require(decode(again, again.size()) == Decoded{whole.data, Event::end, again.size()});
}

}  // namespace
}  // namespace hyperpod::emulator::http

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  hyperpod::emulator::http::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
