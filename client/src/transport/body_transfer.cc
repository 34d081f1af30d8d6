// SPDX-License-Identifier: Apache-2.0
#include "transport/body_transfer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace hyperpod::client::transport {

Pieces gather(std::span<const std::byte> head, std::span<const std::byte> header,
              std::span<const std::byte> payload, std::uint64_t offset, std::uint64_t room) {
  Pieces pieces;
  const auto add = [&pieces](std::span<const std::byte> span) {
    if (span.empty()) return;
    pieces.spans[pieces.count++] = span;
    pieces.bytes += span.size();
  };
  add(head);
  for (const auto part : {header, payload}) {
    if (offset >= part.size()) {
      offset -= part.size();
      continue;
    }
    const auto piece = part.subspan(offset, std::min<std::size_t>(part.size() - offset, room));
    offset = 0;
    room -= piece.size();
    add(piece);
  }
  return pieces;
}

ssize_t send_pieces(int socket, const Pieces& pieces, bool more_follows) {
  // Else a piece as long as a TCP segment would be sent as a full segment and a tiny one behind it.
  const int flags = MSG_DONTWAIT | MSG_NOSIGNAL | (more_follows ? MSG_MORE : 0);
  std::array<iovec, 3> vector{};
  for (std::size_t i = 0; i < pieces.count; ++i) {
    // sendmsg takes a pointer to what it does not write.
    vector[i] = {const_cast<std::byte*>(pieces.spans[i].data()), pieces.spans[i].size()};
  }
  msghdr message{};
  message.msg_iov = vector.data();
  message.msg_iovlen = pieces.count;
  while (true) {
    // The kernel has less to look at where there is one piece only.
    const ssize_t sent = pieces.count == 1
                             ? ::send(socket, pieces.spans[0].data(), pieces.spans[0].size(), flags)
                             : ::sendmsg(socket, &message, flags);
    if (sent >= 0 || errno != EINTR) return sent;
  }
}

BodyTransfer::BodyTransfer(int socket, std::span<const std::byte> head,
                           std::span<const std::byte> header, std::span<const std::byte> payload,
                           std::uint64_t piece_bytes)
    : socket_(socket), head_(head), header_(header), payload_(payload), piece_bytes_(piece_bytes) {}

// offered_ is written before stopped_ is read, and stop() does it the other way round: so that
// either stop() sees what is being sent, or that is not sent.
void BodyTransfer::run() {
  while (sent_ < size()) {
    const auto of_head = std::min<std::uint64_t>(sent_, head_.size());
    const Pieces pieces =
        gather(head_.subspan(of_head), header_, payload_, sent_ - of_head, piece_bytes_);
    offered_ = sent_ + pieces.bytes;
    if (stopped_) return;
    const ssize_t taken = send_pieces(socket_, pieces, sent_ + pieces.bytes < size());
    if (taken >= 0) {
      sent_ += static_cast<std::uint64_t>(taken);
      continue;
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK) return;
    offered_ = sent_;
    if (stopped_) return;
    pollfd writable{socket_, POLLOUT, 0};
    ::poll(&writable, 1, -1);  // an error or a signal shows in the next turn
  }
}

bool BodyTransfer::stop() {
  stopped_ = true;
  return offered_ < size();
}

}  // namespace hyperpod::client::transport
