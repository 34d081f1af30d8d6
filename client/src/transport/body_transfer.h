// SPDX-License-Identifier: Apache-2.0
// A request that another thread than the loop's sends: the one that waits for its outcome.
//
// What a client sends is copied into the kernel. One thread that does so for all callers is bounded
// by its processor; large bodies go faster where each caller sends its own. Connecting, receiving
// and deadlines stay with the loop's thread, as does the socket's end.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hyperpod::client::transport {

/// What goes out next.
struct Pieces {
  std::array<std::span<const std::byte>, 3> spans;
  std::size_t count = 0;
  std::uint64_t bytes = 0;  // in all of them
};

/// `head`, and behind it at most `room` bytes from `offset` on of a body that is `header` and then
/// `payload`.
Pieces gather(std::span<const std::byte> head, std::span<const std::byte> header,
              std::span<const std::byte> payload, std::uint64_t offset, std::uint64_t room);

/// Sends what the socket takes now. How many bytes, or -1 and errno; never interrupted.
ssize_t send_pieces(int socket, const Pieces& pieces, bool more_follows);

class BodyTransfer {
 public:
  /// `socket` does not block. It and what the spans show stay until run() has returned.
  BodyTransfer(int socket, std::span<const std::byte> head, std::span<const std::byte> header,
               std::span<const std::byte> payload, std::uint64_t piece_bytes);

  /// Sends until all is sent, the socket takes no more for good, or stop(). Any thread, once.
  void run();

  /// Nothing more is begun to be sent; whoever waits for room in the socket goes on until that is
  /// shut down. True if some of it certainly stays unsent, false if the last of it may be on its
  /// way: then run() returns at once. The loop's thread.
  bool stop();

  std::uint64_t size() const { return head_.size() + header_.size() + payload_.size(); }
  /// Bytes that the kernel has taken. REQUIRES: run() has returned.
  std::uint64_t sent() const { return sent_; }

 private:
  const int socket_;
  const std::span<const std::byte> head_;
  const std::span<const std::byte> header_;
  const std::span<const std::byte> payload_;
  const std::uint64_t piece_bytes_;
  std::uint64_t sent_ = 0;
  std::atomic<std::uint64_t> offered_{0};  // to the kernel; some may turn out not to be taken
  std::atomic<bool> stopped_{false};
};

}  // namespace hyperpod::client::transport
