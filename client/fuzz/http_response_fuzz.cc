// SPDX-License-Identifier: Apache-2.0
// Any bytes as what a daemon sends: read at once, or in two parts, they mean the same, and nothing
// behind the response is taken.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "transport/response_parser.h"

namespace {

using hyperpod::client::transport::ResponseParser;

void expect(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t at = data[0] * 256u + data[1];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  ResponseParser whole(true);
  const std::size_t taken = whole.feed(bytes);

  ResponseParser halves(true);
  const auto first = bytes.substr(0, std::min(at, bytes.size()));
  std::size_t taken_in_parts = halves.feed(first);
  if (halves.state() == ResponseParser::State::incomplete) {
    expect(taken_in_parts == first.size());
    taken_in_parts += halves.feed(bytes.substr(first.size()));
  }
  whole.end_of_stream();
  halves.end_of_stream();
  expect(whole.state() == halves.state());
  if (whole.state() != ResponseParser::State::complete) return 0;
  expect(taken == taken_in_parts);
  expect(whole.keeps_alive() == halves.keeps_alive());
  const auto one = whole.take();
  const auto other = halves.take();
  expect(one.status == other.status && one.status >= 200 && one.status <= 999);
  expect(one.content_type == other.content_type && one.body == other.body);
  expect(one.body.size() <= ResponseParser::max_response);
  return 0;
}
