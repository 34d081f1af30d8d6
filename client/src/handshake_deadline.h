// Bounds the TLS handshakes that cpp-httplib makes: it gives each wait for the peer a time of its
// own, and a peer that dribbles could keep it for ever.
#pragma once

#include <openssl/ssl.h>

#include "deadline_stream.h"

namespace hyperpod::client {

/// From now on a handshake under `context` fails, and state.timed_out is set, once state.deadline
/// has passed; as long as state.handshaking says that one is under way. REQUIRES: `state` outlives
/// the context's connections, and one thread at a time makes use of both.
void bound_handshakes(SSL_CTX* context, ExchangeState& state);

}  // namespace hyperpod::client
