// SPDX-License-Identifier: Apache-2.0
// Requests and responses of the admin port, apart from the bytes that carry them.
#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tl/expected.hpp>

namespace hyperpod::emulator::admin {

/// No body of a request may be longer.
constexpr std::size_t longest_body = 1 << 20;

struct Request {
  std::string method;                             ///< "GET" for HEAD as well.
  std::string path;                               ///< Still percent-encoded.
  std::multimap<std::string, std::string> query;  ///< Decoded.
  std::string accept;
  std::string body;  ///< At most longest_body.
};

/// What a response that is not complete yet waits for.
enum class Signal { journal, tick };

/// The rest of a body, piece by piece, so that memory does not grow with it.
class Source {
 public:
  enum class More { now, after_signal, never };
  virtual ~Source() = default;
  /// Appends the next piece to `out`, in a few milliseconds at most.
  virtual More next(std::string& out) = 0;
};

class Wait;

struct Response {
  int status = 200;
  std::string content_type = "application/json";
  std::string body{};
  std::string headers{};             ///< Further header lines, each with its CRLF.
  std::unique_ptr<Source> source{};  ///< Follows the body.
  std::unique_ptr<Wait> wait{};      ///< Not null: it makes the response, later.
  Signal signal = Signal::journal;   ///< Of the source or the wait.
};

/// A response that is not known yet.
class Wait {
 public:
  virtual ~Wait() = default;
  /// The response once it is known. Called at once, after each signal, and with `last` when the
  /// time is over; then it must respond.
  virtual std::optional<Response> attempt(bool last) = 0;
  /// How long it may take, in real time.
  virtual std::chrono::milliseconds most() const = 0;
};

/// Sent as {"error":…,"message":…,"field":…}.
struct Refusal {
  int status = 400;
  std::string message;  ///< One sentence with the way out.
  std::string field{};  ///< Of the body, or parameter, that is to blame; empty: none.
};

using Reply = tl::expected<Response, Refusal>;

/// The response that tells of a refusal.
Response refused(const Refusal& refusal);

}  // namespace hyperpod::emulator::admin
