// SPDX-License-Identifier: Apache-2.0
#include "tls_server.h"

#include <netinet/in.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace hyperpod::client::testing {

struct TlsServer::Context {
  Context(const std::string& certificate, const std::string& key)
      : ssl(SSL_CTX_new(TLS_server_method())) {
    if (SSL_CTX_use_certificate_chain_file(ssl, certificate.c_str()) != 1 ||
        SSL_CTX_use_PrivateKey_file(ssl, key.c_str(), SSL_FILETYPE_PEM) != 1) {
      throw std::runtime_error("the certificate is unusable");
    }
  }
  ~Context() { SSL_CTX_free(ssl); }
  SSL_CTX* const ssl;
};

TlsServer::TlsServer(const std::string& certificate, const std::string& key,
                     std::string_view response, bool says_goodbye)
    : context_(std::make_unique<Context>(certificate, key)),
      response_(response),
      says_goodbye_(says_goodbye),
      listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  if (bind(listener_, generic, size) != 0 || listen(listener_, 16) != 0 ||
      getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("no port to listen on");
  }
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { serve(); });
}

TlsServer::~TlsServer() {
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::vector<TlsServer::Handshake> TlsServer::handshakes() const {
  std::lock_guard lock(mutex_);
  return handshakes_;
}

void TlsServer::serve() {
  while (true) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;
    SSL* const ssl = SSL_new(context_->ssl);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1) {
      const char* const name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
      {
        std::lock_guard lock(mutex_);
        handshakes_.push_back({name == nullptr ? std::nullopt : std::optional<std::string>(name),
                               SSL_session_reused(ssl) == 1});
      }
      std::array<char, 4096> request;
      SSL_read(ssl, request.data(), static_cast<int>(request.size()));
      SSL_write(ssl, response_.data(), static_cast<int>(response_.size()));
      if (says_goodbye_) SSL_shutdown(ssl);
    }
    SSL_free(ssl);
    close(fd);
  }
}

}  // namespace hyperpod::client::testing
