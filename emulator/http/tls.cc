// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/text.h"
#include "text/log.h"

namespace hyperpod::emulator::http {
namespace {

constexpr const char* ca_name = "hyperpod-emulator self-signed CA";
constexpr long day = 24 * 60 * 60;
constexpr long valid_for = 365 * day;
constexpr long clock_skew = 60 * 60;  // of a container or a client whose clock is behind
constexpr long renew_before = day;
constexpr long x509_version_3 = 2;

template <auto free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;
using Names = std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free_all>>;

tl::unexpected<Error> refuse(std::string message) {
  return tl::unexpected(Error{ErrorCode::tls_unusable, std::move(message)});
}

// --- Making certificates. Null means that OpenSSL failed, which only want of memory explains.

Names alternative_names(const std::vector<std::string>& hosts) {
  Names names(GENERAL_NAMES_new());
  for (const std::string& host : hosts) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    if (ASN1_OCTET_STRING* address = a2i_IPADDRESS(host.c_str())) {
      GENERAL_NAME_set0_value(name, GEN_IPADD, address);
    } else {
      ASN1_IA5STRING* text = ASN1_IA5STRING_new();
      ASN1_STRING_set(text, host.data(), static_cast<int>(host.size()));
      GENERAL_NAME_set0_value(name, GEN_DNS, text);
    }
    sk_GENERAL_NAME_push(names.get(), name);
  }
  return names;
}

bool extend(X509* certificate, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

// A certificate without the extensions that set a CA and a server apart, not signed yet.
Certificate draft(const char* name, EVP_PKEY* key, const X509_NAME* issuer_name) {
  Certificate certificate(X509_new());
  if (!certificate) return nullptr;
  X509* x = certificate.get();
  std::uint64_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  X509_set_version(x, x509_version_3);
  ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), serial | 1);
  X509_gmtime_adj(X509_getm_notBefore(x), -clock_skew);
  X509_gmtime_adj(X509_getm_notAfter(x), valid_for);
  X509_set_pubkey(x, key);
  X509_NAME* subject = X509_get_subject_name(x);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(name), -1, -1, 0);
  X509_set_issuer_name(x, issuer_name != nullptr ? issuer_name : subject);
  return certificate;
}

Certificate make_ca(EVP_PKEY* key) {
  Certificate ca = draft(ca_name, key, nullptr);
  if (!ca) return nullptr;
  X509* x = ca.get();
  const bool made = extend(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
                    extend(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") &&
                    extend(x, x, NID_subject_key_identifier, "hash") &&
                    extend(x, x, NID_authority_key_identifier, "keyid:always") &&
                    X509_sign(x, key, EVP_sha256()) > 0;
  return made ? std::move(ca) : nullptr;
}

Certificate make_server_certificate(EVP_PKEY* key, X509* ca, EVP_PKEY* ca_key,
                                    const std::vector<std::string>& hosts) {
  Certificate certificate = draft("hyperpod-emulator", key, X509_get_subject_name(ca));
  const Names names = alternative_names(hosts);
  if (!certificate || !names) return nullptr;
  X509* x = certificate.get();
  const bool made = extend(x, ca, NID_basic_constraints, "critical,CA:FALSE") &&
                    extend(x, ca, NID_key_usage, "critical,digitalSignature") &&
                    extend(x, ca, NID_ext_key_usage, "serverAuth") &&
                    extend(x, ca, NID_subject_key_identifier, "hash") &&
                    extend(x, ca, NID_authority_key_identifier, "keyid:always") &&
                    X509_add1_ext_i2d(x, NID_subject_alt_name, names.get(), 0, 0) == 1 &&
                    X509_sign(x, ca_key, EVP_sha256()) > 0;
  return made ? std::move(certificate) : nullptr;
}

template <class Write>
std::string to_pem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (!bio || write(bio.get()) != 1) return {};
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

std::string to_pem(X509* certificate) {
  return to_pem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}

std::string to_pem(EVP_PKEY* key) {
  return to_pem([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}

// --- What is there already

Certificate read_certificate(const std::string& path) {
  const Bio file(BIO_new_file(path.c_str(), "r"));
  return Certificate(file ? PEM_read_bio_X509(file.get(), nullptr, nullptr, nullptr) : nullptr);
}

int no_passphrase(char*, int, int, void*) { return -1; }

Key read_key(const std::string& path) {
  const Bio file(BIO_new_file(path.c_str(), "r"));
  return Key(file ? PEM_read_bio_PrivateKey(file.get(), nullptr, no_passphrase, nullptr) : nullptr);
}

bool is_valid_for_long(const X509* certificate) {
  std::time_t now = std::time(nullptr);
  std::time_t later = now + renew_before;
  return X509_cmp_time(X509_get0_notBefore(certificate), &now) < 0 &&
         X509_cmp_time(X509_get0_notAfter(certificate), &later) > 0;
}

// Why it cannot be read; nullopt if it can.
std::optional<std::string> unreadable(const std::string& path) {
  const base::FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file) return std::nullopt;
  return fmt::format("{} cannot be read: {}", base::printable(path), std::strerror(errno));
}

bool names_host(X509* certificate, const std::string& host) {
  return X509_check_ip_asc(certificate, host.c_str(), 0) == 1 ||
         X509_check_host(certificate, host.data(), host.size(), 0, nullptr) == 1;
}

// Why the files cannot be used again; nullopt if they can.
std::optional<std::string> unfitness(const TlsFiles& files, const std::vector<std::string>& hosts) {
  for (const std::string& file : {files.ca_file, files.certificate_file, files.key_file}) {
    if (auto problem = unreadable(file)) return problem;
  }
  const Certificate ca = read_certificate(files.ca_file);
  const Certificate certificate = read_certificate(files.certificate_file);
  const Key key = read_key(files.key_file);
  if (!ca) return files.ca_file + " is not a certificate in PEM";
  if (!certificate) return files.certificate_file + " is not a certificate in PEM";
  if (!key) return files.key_file + " is not a private key in PEM without a passphrase";
  if (X509_verify(certificate.get(), X509_get0_pubkey(ca.get())) != 1) {
    return "the certificate was not issued by the CA";
  }
  if (X509_check_private_key(certificate.get(), key.get()) != 1) {
    return "the key does not belong to the certificate";
  }
  if (!is_valid_for_long(ca.get()) || !is_valid_for_long(certificate.get())) {
    return "they are not valid for another day";
  }
  for (const std::string& host : hosts) {
    if (!names_host(certificate.get(), host)) {
      return fmt::format("the certificate does not name {}", base::quoted(host));
    }
  }
  return std::nullopt;
}

bool is_our_own(const std::string& certificate_file) {
  const Certificate certificate = read_certificate(certificate_file);
  if (!certificate) return false;
  std::array<char, 128> name{};
  X509_NAME_get_text_by_NID(X509_get_issuer_name(certificate.get()), NID_commonName, name.data(),
                            static_cast<int>(name.size()));
  return std::string_view(name.data()) == ca_name;
}

bool exists(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0;
}

// --- The directory

Result<void> write_whole(const std::string& path, std::string_view content, mode_t mode) {
  const std::string temporary = fmt::format("{}.{}", path, ::getpid());
  ::unlink(temporary.c_str());
  const base::FileDescriptor file(
      ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
  const bool written =
      file.get() >= 0 && ::fchmod(file.get(), mode) == 0 &&
      ::write(file.get(), content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
      ::rename(temporary.c_str(), path.c_str()) == 0;
  if (written) return {};
  const int error = errno;
  ::unlink(temporary.c_str());
  return refuse(fmt::format("{} cannot be written: {}; choose a directory that can be",
                            base::printable(path), std::strerror(error)));
}

Result<void> make_files(const TlsFiles& files, const std::vector<std::string>& hosts) {
  const Key ca_key(EVP_EC_gen("P-256"));
  const Key key(EVP_EC_gen("P-256"));
  const Certificate ca = make_ca(ca_key.get());
  const Certificate certificate =
      ca ? make_server_certificate(key.get(), ca.get(), ca_key.get(), hosts) : nullptr;
  if (!certificate) {
    return refuse("OpenSSL cannot make a certificate; name one with a certificate and a key file");
  }
  // The certificate first: it is what marks the files as ours, should this be cut short.
  return write_whole(files.certificate_file, to_pem(certificate.get()), 0644)
      .and_then([&] { return write_whole(files.key_file, to_pem(key.get()), 0600); })
      .and_then([&] { return write_whole(files.ca_file, to_pem(ca.get()), 0644); });
}

bool is_wildcard(const std::string& host) { return host == "0.0.0.0" || host == "::"; }

std::vector<std::string> certified_hosts(const std::vector<std::string>& wanted) {
  std::vector<std::string> hosts{"localhost", "127.0.0.1", "::1"};
  for (const std::string& host : wanted) {
    if (!is_wildcard(host) && std::find(hosts.begin(), hosts.end(), host) == hosts.end()) {
      hosts.push_back(host);
    }
  }
  return hosts;
}

// --- The context

Result<boost::asio::ssl::context> context_from(const std::string& certificate_file,
                                               const std::string& key_file) {
  using boost::asio::ssl::context;
  context server(context::tls_server);
  boost::system::error_code failure;
  server.use_certificate_chain_file(certificate_file, failure);
  if (failure) {
    return refuse(
        fmt::format("certificate {} cannot be used: {}; name a PEM file with the server's "
                    "certificate first",
                    base::printable(certificate_file), failure.message()));
  }
  // Without this OpenSSL would ask the terminal.
  server.set_password_callback([](std::size_t, auto) { return std::string(); }, failure);
  server.use_private_key_file(key_file, context::pem, failure);
  if (failure) {
    return refuse(fmt::format(
        "key {} cannot be used: {}; name the PEM file of the private key of {}, "
        "without a passphrase",
        base::printable(key_file), failure.message(), base::printable(certificate_file)));
  }
  SSL_CTX* native = server.native_handle();
  // OpenSSL itself compares only keys of one type.
  if (SSL_CTX_check_private_key(native) != 1) {
    ERR_clear_error();
    return refuse(fmt::format("key {} cannot be used: it does not belong to the certificate {}",
                              base::printable(key_file), base::printable(certificate_file)));
  }
  SSL_CTX_set_min_proto_version(native, TLS1_2_VERSION);
  SSL_CTX_set_options(native, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(native, SSL_MODE_RELEASE_BUFFERS);  // an idle connection holds none
  SSL_CTX_set_session_cache_mode(native, SSL_SESS_CACHE_OFF);
  return server;
}

// Tests may want such a certificate, so it is served; whoever does not wonders about the clients.
void warn_of_dates(const X509* certificate, const std::string& file,
                   const std::shared_ptr<base::LogSink>& log) {
  const auto warn = [&](std::string_view problem) {
    text::log(log, base::LogLevel::warn, "the certificate {} {}; clients will refuse it",
              base::printable(file), problem);
  };
  if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0) return warn("has expired");
  if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0) warn("is not valid yet");
}

}  // namespace

Result<TlsFiles> ensure_self_signed(const std::string& directory,
                                    const std::vector<std::string>& wanted,
                                    const std::shared_ptr<base::LogSink>& log) {
  if (::mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST) {
    return refuse(
        fmt::format("directory {} cannot be made: {}; choose one whose parent exists and can be "
                    "written",
                    base::printable(directory), std::strerror(errno)));
  }
  // Who makes the files has the lock alone; who serves them shares it. So of two emulators that
  // start at once the second uses what the first makes.
  base::FileDescriptor lock(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  const bool alone = lock && ::flock(lock.get(), LOCK_EX | LOCK_NB) == 0;
  if (!lock || (!alone && ::flock(lock.get(), LOCK_SH) != 0)) {
    return refuse(fmt::format("directory {} cannot be used: {}; choose another",
                              base::printable(directory), std::strerror(errno)));
  }

  TlsFiles files{directory + "/ca.pem", directory + "/cert.pem", directory + "/key.pem", {}};
  const std::vector<std::string> hosts = certified_hosts(wanted);
  const auto unfit = unfitness(files, hosts);
  if (!unfit) {
    ::flock(lock.get(), LOCK_SH);
    files.in_use = std::move(lock);
    return files;
  }
  const bool found =
      exists(files.ca_file) || exists(files.certificate_file) || exists(files.key_file);
  if (found && !is_our_own(files.certificate_file)) {
    return refuse(
        fmt::format("the certificates in {} cannot be used ({}) and were not made by an "
                    "emulator; remove them or choose another directory",
                    base::printable(directory), *unfit));
  }
  if (!alone) {
    return refuse(
        fmt::format("the certificates in {} cannot be used ({}), and another emulator serves them; "
                    "choose another directory, or stop it",
                    base::printable(directory), *unfit));
  }
  if (auto made = make_files(files, hosts); !made) {
    if (!found) return tl::unexpected(made.error());
    return refuse(fmt::format("the certificates in {} cannot be used ({}), nor replaced: {}",
                              base::printable(directory), *unfit, made.error().message));
  }
  ::flock(lock.get(), LOCK_SH);
  files.in_use = std::move(lock);
  if (found) {
    text::log(log, base::LogLevel::warn,
              "replaced the certificates in {}: {}; clients must read ca.pem again",
              base::printable(directory), *unfit);
  } else {
    text::log(log, base::LogLevel::info,
              "made a self-signed certificate in {}; clients can trust its ca.pem",
              base::printable(directory));
  }
  return files;
}

Result<ServerContext> make_server_context(const TlsOptions& options, const std::string& listen_host,
                                          const std::shared_ptr<base::LogSink>& log) {
  TlsFiles files{"", options.certificate_file, options.key_file, {}};
  if (!options.self_signed_directory.empty()) {
    auto made = ensure_self_signed(options.self_signed_directory, {listen_host}, log);
    if (!made) return tl::unexpected(made.error());
    files = std::move(*made);
  }
  auto context = context_from(files.certificate_file, files.key_file);
  if (!context) return tl::unexpected(context.error());
  warn_of_dates(SSL_CTX_get0_certificate(context->native_handle()), files.certificate_file, log);
  return ServerContext{std::move(*context), std::move(files.in_use)};
}

}  // namespace hyperpod::emulator::http
