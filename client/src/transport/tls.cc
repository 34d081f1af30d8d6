// SPDX-License-Identifier: Apache-2.0
#include "transport/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <fstream>
#include <utility>

namespace hyperpod::client::transport {
namespace {

constexpr std::size_t record_bytes = 16384;

bool is_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes;
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), bytes.data()) == 1;
}

// The name as certificates and servers have it. The dot at its end, which keeps the resolver from
// its search list, belongs to neither (RFC 6066, section 3).
std::string without_final_dot(std::string host) {
  if (host.size() > 1 && host.ends_with('.')) host.pop_back();
  return host;
}

// What is wrong with a CA file that could not be loaded.
std::string problem_of(const std::string& ca_file) {
  std::ifstream file(ca_file);
  if (!file) return std::string("cannot be read: ") + std::strerror(errno);
  return "holds no certificate in PEM";
}

}  // namespace

TlsContext::TlsContext(const TlsOptions& options, std::string host)
    : host_(without_final_dot(std::move(host))),
      verifies_(options.verify_server),
      context_(SSL_CTX_new(TLS_client_method())) {
  if (context_ == nullptr) {
    problem_ = "cannot be spoken to: OpenSSL does not work";
    return;
  }
  SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
  SSL_CTX_set_session_cache_mode(context_, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context_, keep_session);
  SSL_CTX_set_app_data(context_, this);
  if (!verifies_) return;
  SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
  const bool loaded =
      options.ca_file.empty()
          ? SSL_CTX_set_default_verify_paths(context_) == 1
          : SSL_CTX_load_verify_locations(context_, options.ca_file.c_str(), nullptr) == 1;
  if (!loaded && options.ca_file.empty()) {
    problem_ = "cannot be verified: the system's CA files are unusable";
  } else if (!loaded) {
    problem_ =
        "cannot be verified: the CA file " + options.ca_file + " " + problem_of(options.ca_file);
    problem_code_ = ErrorCode::invalid_option;
  }
  ERR_clear_error();
}

TlsContext::~TlsContext() {
  SSL_SESSION_free(session_);
  SSL_CTX_free(context_);
}

int TlsContext::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* const self = static_cast<TlsContext*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  SSL_SESSION_free(std::exchange(self->session_, session));
  return 1;  // the session is ours now
}

TlsStream::TlsStream(TlsContext& context) : context_(context) {
  if (!context.problem_.empty()) return;
  ssl_ = SSL_new(context.context_);
  incoming_ = BIO_new(BIO_s_mem());
  outgoing_ = BIO_new(BIO_s_mem());
  if (ssl_ == nullptr || incoming_ == nullptr || outgoing_ == nullptr) {
    BIO_free(incoming_);
    BIO_free(outgoing_);
    SSL_free(std::exchange(ssl_, nullptr));
    return;
  }
  BIO_set_mem_eof_return(incoming_, -1);
  SSL_set_bio(ssl_, incoming_, outgoing_);
  SSL_set_connect_state(ssl_);
  const auto unscoped = context.host_.substr(0, context.host_.find('%'));
  if (is_address(context.host_)) {  // a server name is never an address (RFC 6066, section 3)
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), unscoped.c_str());
  } else {
    // What SSL_set_tlsext_host_name() is, which takes a pointer to what it does not write.
    SSL_ctrl(ssl_, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(context.host_.c_str()));
    SSL_set1_host(ssl_, context.host_.c_str());
  }
  if (context.session_ != nullptr) SSL_set_session(ssl_, context.session_);
}

TlsStream::~TlsStream() { SSL_free(ssl_); }

void TlsStream::feed(std::string_view bytes) {
  if (ssl_ != nullptr) BIO_write(incoming_, bytes.data(), static_cast<int>(bytes.size()));
}

tl::expected<bool, TransportFailure> TlsStream::handshake() {
  if (ssl_ == nullptr) return tl::unexpected(failure());
  ERR_clear_error();
  const int result = SSL_do_handshake(ssl_);
  if (result == 1) return true;
  const int error = SSL_get_error(ssl_, result);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return false;
  return tl::unexpected(failure());
}

TransportFailure TlsStream::failure() const {
  if (!context_.problem_.empty()) return {context_.problem_code_, context_.problem_};
  if (ssl_ == nullptr) return {ErrorCode::out_of_resources, "cannot be spoken to: no memory"};
  if (context_.verifies_ && SSL_get_verify_result(ssl_) != X509_V_OK) {
    return {ErrorCode::unreachable,
            std::string("has a certificate that the CA file (or the system) does not vouch for (") +
                X509_verify_cert_error_string(SSL_get_verify_result(ssl_)) + ")"};
  }
  return {ErrorCode::unreachable,
          "does not complete a TLS handshake; write http:// if it speaks plain HTTP"};
}

std::optional<std::string_view> TlsStream::read() {
  decrypted_.resize(record_bytes);
  ERR_clear_error();
  const int count = SSL_read(ssl_, decrypted_.data(), static_cast<int>(decrypted_.size()));
  if (count > 0) return std::string_view(decrypted_.data(), static_cast<std::size_t>(count));
  const int error = SSL_get_error(ssl_, count);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return std::string_view{};
  return std::nullopt;
}

bool TlsStream::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), record_bytes));
    ERR_clear_error();
    // Into memory, so all of it or nothing.
    if (SSL_write(ssl_, part.data(), static_cast<int>(part.size())) <= 0) return false;
    bytes = bytes.subspan(part.size());
  }
  return true;
}

void TlsStream::close() {
  if (ssl_ == nullptr || SSL_in_init(ssl_) != 0) return;
  ERR_clear_error();
  SSL_shutdown(ssl_);
}

std::string_view TlsStream::pending() const {
  if (ssl_ == nullptr) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(outgoing_, &data);
  return {data, size > 0 ? static_cast<std::size_t>(size) : 0};
}

void TlsStream::consume(std::size_t bytes) {
  std::array<char, record_bytes> sink;
  while (bytes > 0) {
    const int count =
        BIO_read(outgoing_, sink.data(), static_cast<int>(std::min(bytes, sink.size())));
    if (count <= 0) return;
    bytes -= static_cast<std::size_t>(count);
  }
}

}  // namespace hyperpod::client::transport
