#include "handshake_deadline.h"

#include <openssl/bio.h>
#include <poll.h>

namespace hyperpod::client {
namespace {

// Comes before and after each operation on the socket's BIO; what it returns before one, if not
// positive, stands for the operation's outcome.
long before_reading(BIO* bio, int operation, const char*, std::size_t, int, long, int outcome,
                    std::size_t*) {
  ExchangeState& state = *reinterpret_cast<ExchangeState*>(BIO_get_callback_arg(bio));
  if (operation != BIO_CB_READ || !state.handshaking) return outcome;
  if (wait_for_socket(static_cast<int>(BIO_get_fd(bio, nullptr)), POLLIN, state.deadline) != 0) {
    return outcome;
  }
  state.timed_out = true;
  BIO_clear_retry_flags(bio);
  return -1;
}

void at_start(const SSL* ssl, int where, int) {
  if ((where & SSL_CB_HANDSHAKE_START) == 0) return;
  void* state = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
  BIO* bio = SSL_get_rbio(ssl);
  BIO_set_callback_arg(bio, static_cast<char*>(state));
  BIO_set_callback_ex(bio, before_reading);
}

}  // namespace

void bound_handshakes(SSL_CTX* context, ExchangeState& state) {
  SSL_CTX_set_app_data(context, &state);
  SSL_CTX_set_info_callback(context, at_start);
}

}  // namespace hyperpod::client
