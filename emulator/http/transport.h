// SPDX-License-Identifier: Apache-2.0
// The byte stream of one connection: TCP, or TLS over it.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "http/worker.h"
#include "hyperpod/base/file_descriptor.h"

namespace hyperpod::emulator::http {

/// Belongs to one worker. Every awaitable must finish before the transport is destroyed.
class Transport {
 public:
  /// Receives what comes while nothing is under way, without a coroutine.
  class Receiver {
   public:
    /// Bytes have come, or the end of them, for read_now() to read. True if the wait goes on.
    virtual bool receive_now() = 0;
    /// The peer is done sending, or has gone; see tell_end().
    virtual void peer_ended() = 0;

   protected:
    ~Receiver() = default;
  };

  virtual ~Transport() = default;

  virtual Awaitable<void> handshake(IoError& ec) = 0;
  /// Gives `receiver` what comes until it returns false. Returns at once, and without having called
  /// it, where read_now() cannot tell what has come.
  virtual Awaitable<void> receive(Receiver& receiver) = 0;
  /// Reads at least a byte into the two buffers, in order; the second may be empty.
  virtual Awaitable<std::size_t> read_some(asio::mutable_buffer first, asio::mutable_buffer second,
                                           IoError& ec) = 0;
  /// Reads what has come, into the two buffers; nothing there is would_block.
  virtual std::size_t read_now(asio::mutable_buffer first, asio::mutable_buffer second,
                               IoError& ec) = 0;
  /// Has `receiver` told, perhaps at once, that the peer is done sending or has gone, however much
  /// of what it sent has not been read. TLS does not know it.
  virtual void tell_end(Receiver& receiver) = 0;
  /// A hint: lets read_some sleep until about `bytes` have come, or the peer is done sending.
  virtual void expect(std::size_t bytes) = 0;
  /// Bytes that have come and were not read yet, as far as that can be told.
  virtual std::size_t available() = 0;
  /// Sends what can be sent at once, and returns how much. 0 where that cannot be told.
  virtual std::size_t write_now(std::string_view bytes, IoError& ec) = 0;
  virtual Awaitable<void> write(std::string_view bytes, IoError& ec) = 0;
  /// Tells the peer that nothing more will be sent. Does not wait for it to agree.
  virtual void shutdown_send() = 0;
  /// Ends the connection at once; operations under way fail.
  virtual void close() = 0;
  /// As close, but the peer is told with a TCP reset.
  virtual void reset() = 0;
  /// "127.0.0.1:43210"; empty if the peer has gone.
  virtual std::string peer() const = 0;
};

/// Both take over a connected socket.
std::unique_ptr<Transport> make_plain_transport(Worker& worker, base::FileDescriptor socket);
/// `context` must outlive the transport.
std::unique_ptr<Transport> make_tls_transport(Worker& worker, base::FileDescriptor socket,
                                              asio::ssl::context& context);

}  // namespace hyperpod::emulator::http
