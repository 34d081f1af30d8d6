// SPDX-License-Identifier: Apache-2.0
// Reads HTTP/1.1 responses as their bytes come in. Nothing of what the peer says is allocated
// before it has come, and all of it is bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "transport/http.h"

namespace hyperpod::client::transport {

class ResponseParser {
 public:
  /// Of a field of the head, however many lines it is folded into, as in LMCache's HTTP library;
  /// and of the whole response, interim ones and unpacking included.
  static constexpr std::size_t max_line = 8190;
  static constexpr std::uint64_t max_response = 64ull << 20;
  /// Of a field where there is a sink: a shard's Shard-Meta is as long as whoever stored it liked.
  static constexpr std::size_t max_line_with_sink = 65536;

  enum class State { incomplete, complete, malformed, beyond_bounds, given_up };

  /// As restart().
  explicit ResponseParser(bool unpack = true, BodySink* sink = nullptr)
      : unpack_(unpack), sink_(sink) {}

  /// Begins a response. `unpack`: whether a body that came packed (gzip, deflate) is unpacked.
  /// `sink`, which may be null, takes the body of a response with status 200, whose length has no
  /// bound; it must outlive the parser's use.
  void restart(bool unpack, BodySink* sink = nullptr);

  /// Takes what belongs to the response from the front of `bytes`, and says how much that is: all,
  /// unless the response ends before or is not one.
  std::size_t feed(std::string_view bytes);
  /// The peer will send nothing more.
  void end_of_stream();

  State state() const { return state_; }
  /// Whether any byte has come.
  bool has_begun() const { return received_ > 0; }
  /// Whether another response may follow on the same connection. REQUIRES: complete.
  bool keeps_alive() const { return keep_alive_ && !until_close_; }
  /// REQUIRES: complete.
  HttpResponse take();
  /// What has come of the body.
  std::string take_body() { return std::move(response_.body); }

 private:
  enum class Part { status_line, header, body, chunk_size, chunk, chunk_end, trailer };

  std::optional<std::string_view> take_line(std::string_view& bytes);
  void take_status_line(std::string_view line);
  void take_header_line(std::string_view line);
  void take_header(std::string_view field);
  void end_head();
  void take_chunk_size(std::string_view line);
  void take_body(std::string_view& bytes);
  std::size_t longest_line() const { return sink_ != nullptr ? max_line_with_sink : max_line; }
  bool streams() const { return sink_ != nullptr && response_.status == 200; }
  void begin_body();
  void finish();
  void fail() { state_ = State::malformed; }

  bool unpack_;
  BodySink* sink_;
  State state_ = State::incomplete;
  Part part_ = Part::status_line;
  std::uint64_t received_ = 0;  // except what a sink took
  std::string line_;            // that has come in part
  std::string field_;           // of the head, which the next line may go on with
  HttpResponse response_;
  bool keep_alive_ = true;
  bool until_close_ = false;  // the body ends with the connection
  bool chunked_ = false;
  std::optional<std::uint64_t> content_length_;
  std::string content_encoding_;
  std::uint64_t remaining_ = 0;  // of the body or the chunk
};

}  // namespace hyperpod::client::transport
