// SPDX-License-Identifier: Apache-2.0
#include "http/tls.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <filesystem>
#include <fstream>
#include <latch>
#include <set>
#include <thread>

#include "testing/log_recorder.h"

namespace hyperpod::emulator::http {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

std::string content_of(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

class Tls : public testing::Test {
 public:
  ~Tls() override { fs::remove_all(directory_); }

 protected:
  Tls() { fs::create_directories(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }

  TlsFiles make(const std::string& name, const std::vector<std::string>& hosts = {}) {
    auto files = ensure_self_signed(path(name), hosts, log_);
    if (!files) ADD_FAILURE() << files.error().message;
    if (!files) return {};
    files->in_use.reset();  // as if whoever has served them had ended
    return std::move(*files);
  }

  std::string refusal(const TlsOptions& options) {
    const auto context = make_server_context(options, "localhost", log_);
    if (context) return "accepted";
    EXPECT_EQ(context.error().code, ErrorCode::tls_unusable);
    EXPECT_THAT(context.error().message, testing::Not(HasSubstr("\n")));
    return context.error().message;
  }

  std::string log() const { return log_->text(); }

 private:
  std::string directory_ =
      fmt::format("{}tls_test.{}.{}", testing::TempDir(), getpid(),
                  testing::UnitTest::GetInstance()->current_test_info()->name());

 protected:
  std::shared_ptr<test::LogRecorder> log_ = std::make_shared<test::LogRecorder>();
};

// What a client that trusts `ca_file` alone says to a server that it knows as `host`.
std::string shake_hands(ServerContext& server_context, const std::string& ca_file,
                        const std::string& host) {
  asio::io_context io;
  asio::local::stream_protocol::socket near(io);
  asio::local::stream_protocol::socket far(io);
  asio::local::connect_pair(near, far);
  std::thread server([&] {
    asio::ssl::stream<asio::local::stream_protocol::socket&> stream(far, server_context.context);
    boost::system::error_code ignored;
    stream.handshake(asio::ssl::stream_base::server, ignored);
  });
  asio::ssl::context trust(asio::ssl::context::tls_client);
  trust.load_verify_file(ca_file);
  asio::ssl::stream<asio::local::stream_protocol::socket&> stream(near, trust);
  X509_VERIFY_PARAM_set_flags(SSL_get0_param(stream.native_handle()), X509_V_FLAG_X509_STRICT);
  stream.set_verify_mode(asio::ssl::verify_peer);
  stream.set_verify_callback(asio::ssl::host_name_verification(host));
  boost::system::error_code result;
  stream.handshake(asio::ssl::stream_base::client, result);
  near.close();
  server.join();
  return result ? result.message() : "trusted";
}

TEST_F(Tls, ASelfSignedServerIsTrustedUnderEachOfItsNames) {
  auto context = make_server_context({"", "", path("d")}, "node-7.example", log_);
  ASSERT_TRUE(context) << context.error().message;
  for (const char* host : {"localhost", "127.0.0.1", "::1", "node-7.example"}) {
    EXPECT_EQ(shake_hands(*context, path("d/ca.pem"), host), "trusted") << host;
  }
  EXPECT_NE(shake_hands(*context, path("d/ca.pem"), "elsewhere.example"), "trusted");
  EXPECT_THAT(log(), HasSubstr("made a self-signed certificate in"));
}

TEST_F(Tls, AWildcardAddressIsNotPutIntoTheCertificate) {
  auto context = make_server_context({"", "", path("d")}, "::", log_);
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(shake_hands(*context, path("d/ca.pem"), "::1"), "trusted");
  EXPECT_NE(shake_hands(*context, path("d/ca.pem"), "::"), "trusted");
}

TEST_F(Tls, OnlyItsOwnerReadsTheKeyWhateverTheUmaskIs) {
  const mode_t before = ::umask(0);
  const TlsFiles files = make("d");
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat(files.key_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, mode_t{0600});
  ASSERT_EQ(::stat(files.ca_file.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, mode_t{0644});
}

TEST_F(Tls, NothingButTheThreeFilesIsLeftBehind) {
  make("d");
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(path("d"))) names.insert(entry.path().filename());
  EXPECT_THAT(names, testing::ElementsAre("ca.pem", "cert.pem", "key.pem"));
}

TEST_F(Tls, FilesThatFitAreUsedAgain) {
  const TlsFiles files = make("d", {"a.example"});
  const std::string certificate = content_of(files.certificate_file);
  make("d");
  make("d", {"a.example", "localhost", "0.0.0.0"});
  EXPECT_EQ(content_of(files.certificate_file), certificate);
  EXPECT_THAT(log(), testing::Not(HasSubstr("replaced")));
}

TEST_F(Tls, FilesThatDoNotNameTheHostAreReplaced) {
  const TlsFiles files = make("d", {"a.example"});
  const std::string certificate = content_of(files.certificate_file);
  make("d", {"b.example"});
  EXPECT_NE(content_of(files.certificate_file), certificate);
  EXPECT_THAT(
      log(), AllOf(HasSubstr("replaced the certificates"), HasSubstr("does not name 'b.example'")));
}

TEST_F(Tls, FilesThatDoNotBelongTogetherAreReplaced) {
  const TlsFiles files = make("d");
  const TlsFiles others = make("e");

  fs::copy_file(others.key_file, files.key_file, fs::copy_options::overwrite_existing);
  make("d");
  EXPECT_THAT(log(), HasSubstr("the key does not belong to the certificate"));

  fs::copy_file(others.ca_file, files.ca_file, fs::copy_options::overwrite_existing);
  make("d");
  EXPECT_THAT(log(), HasSubstr("was not issued by the CA"));

  fs::remove(files.ca_file);
  make("d");
  EXPECT_THAT(log(), HasSubstr("ca.pem cannot be read: No such file"));

  auto context = make_server_context({"", "", path("d")}, "localhost", log_);
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(shake_hands(*context, files.ca_file, "localhost"), "trusted");
}

// Signs the certificate at `path` anew with a CA of the same name, to end `seconds` from now.
void let_expire_in(const TlsFiles& files, long seconds) {
  const auto reissue = [&](const std::string& path, EVP_PKEY* key, EVP_PKEY* signer) {
    FILE* file = std::fopen(path.c_str(), "r");
    X509* certificate = PEM_read_X509(file, nullptr, nullptr, nullptr);
    std::fclose(file);
    X509_gmtime_adj(X509_getm_notAfter(certificate), seconds);
    if (key != nullptr) X509_set_pubkey(certificate, key);
    X509_sign(certificate, signer, EVP_sha256());
    file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, certificate);
    std::fclose(file);
    X509_free(certificate);
  };
  EVP_PKEY* ca_key = EVP_EC_gen("P-256");
  reissue(files.ca_file, ca_key, ca_key);
  reissue(files.certificate_file, nullptr, ca_key);
  EVP_PKEY_free(ca_key);
}

TEST_F(Tls, FilesThatExpireWithinADayAreReplaced) {
  const TlsFiles files = make("d");
  let_expire_in(files, 25 * 60 * 60);
  make("d");
  EXPECT_THAT(log(), testing::Not(HasSubstr("replaced")));
  let_expire_in(files, 23 * 60 * 60);
  make("d");
  EXPECT_THAT(log(), HasSubstr("not valid for another day"));
}

TEST_F(Tls, FilesThatAreServedAreNotReplaced) {
  const TlsOptions options{"", "", path("d")};
  std::string served;
  {
    auto context = make_server_context(options, "a.example", log_);
    ASSERT_TRUE(context) << context.error().message;
    served = content_of(path("d/ca.pem"));
    auto second = make_server_context(options, "a.example", log_);
    EXPECT_TRUE(second) << "those who can use the files share them";
    const auto refused = make_server_context(options, "b.example", log_);
    ASSERT_FALSE(refused);
    EXPECT_THAT(refused.error().message,
                AllOf(HasSubstr("does not name 'b.example'"), HasSubstr("another directory"),
                      testing::Not(HasSubstr("\n"))));
    EXPECT_EQ(content_of(path("d/ca.pem")), served);
  }
  EXPECT_TRUE(make_server_context(options, "b.example", log_));
  EXPECT_NE(content_of(path("d/ca.pem")), served);
}

TEST_F(Tls, AKeyThatCannotBeReadIsNamedWithTheReason) {
  const TlsFiles files = make("d");
  fs::remove(files.key_file);
  ASSERT_EQ(::symlink("key.pem", files.key_file.c_str()), 0);  // to itself
  make("d");
  EXPECT_THAT(log(), HasSubstr("key.pem cannot be read: Too many levels of symbolic links"));
}

TEST_F(Tls, ACertificateOutOfItsDatesIsServedWithAWarning) {
  const TlsFiles files = make("d");
  const TlsOptions options{files.certificate_file, files.key_file, ""};
  EXPECT_TRUE(make_server_context(options, "localhost", log_));
  EXPECT_THAT(log(), testing::Not(HasSubstr("clients will refuse")));
  let_expire_in(files, -60);
  EXPECT_TRUE(make_server_context(options, "localhost", log_));
  EXPECT_THAT(log(), AllOf(HasSubstr(files.certificate_file), HasSubstr("has expired")));
}

TEST_F(Tls, FilesOfSomebodyElseAreNotOverwritten) {
  fs::create_directories(path("d"));
  std::ofstream(path("d/key.pem")) << "precious";
  EXPECT_THAT(refusal({"", "", path("d")}), HasSubstr("remove them or choose another directory"));
  EXPECT_EQ(content_of(path("d/key.pem")), "precious");
}

TEST_F(Tls, EmulatorsThatStartAtOnceShareOneCertificate) {
  for (int round = 0; round < 10; ++round) {
    const std::string directory = path(std::to_string(round));
    std::latch begin(8);
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        begin.arrive_and_wait();
        auto context = make_server_context({"", "", directory}, "localhost", log_);
        ASSERT_TRUE(context) << context.error().message;
        EXPECT_EQ(shake_hands(*context, directory + "/ca.pem", "localhost"), "trusted");
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_THAT(log(), testing::Not(HasSubstr("replaced")));
}

TEST_F(Tls, ADirectoryThatCannotBeMadeIsNamed) {
  EXPECT_THAT(refusal({"", "", path("no/such")}),
              AllOf(HasSubstr(path("no/such")), HasSubstr("No such file")));
  std::ofstream(path("file")) << "x";
  EXPECT_THAT(refusal({"", "", path("file")}),
              AllOf(HasSubstr(path("file")), HasSubstr("Not a directory")));
  EXPECT_THAT(refusal({"", "", "/proc"}),
              AllOf(HasSubstr("/proc/cert.pem"), HasSubstr("No such file")));
}

TEST_F(Tls, CertificateAndKeyFromFilesAreServed) {
  const TlsFiles files = make("d");
  auto context = make_server_context({files.certificate_file, files.key_file, ""}, "::", log_);
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(shake_hands(*context, files.ca_file, "localhost"), "trusted");
}

TEST_F(Tls, FilesThatCannotBeUsedAreNamed) {
  const TlsFiles files = make("d");
  const TlsFiles others = make("e");
  std::ofstream(path("garbage")) << "no PEM";
  EXPECT_THAT(refusal({path("absent"), files.key_file, ""}),
              AllOf(HasSubstr(path("absent")), HasSubstr("No such file")));
  EXPECT_THAT(refusal({path("garbage"), files.key_file, ""}), HasSubstr(path("garbage")));
  EXPECT_THAT(refusal({files.certificate_file, path("absent"), ""}),
              AllOf(HasSubstr(path("absent")), HasSubstr("No such file")));
  EXPECT_THAT(refusal({files.certificate_file, path("garbage"), ""}), HasSubstr(path("garbage")));
  EXPECT_THAT(refusal({files.certificate_file, others.key_file, ""}),
              AllOf(HasSubstr(others.key_file), HasSubstr("mismatch")));
}

TEST_F(Tls, AKeyOfAnotherTypeThanTheCertificatesIsRefused) {
  const TlsFiles files = make("d");
  EVP_PKEY* key = EVP_RSA_gen(2048);
  FILE* file = std::fopen(path("rsa").c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  EVP_PKEY_free(key);
  EXPECT_THAT(refusal({files.certificate_file, path("rsa"), ""}),
              AllOf(HasSubstr(path("rsa")), HasSubstr(files.certificate_file)));
}

TEST_F(Tls, AnEncryptedKeyIsRefusedWithoutAskingForItsPassphrase) {
  const TlsFiles files = make("d");
  EVP_PKEY* key = EVP_EC_gen("P-256");
  FILE* file = std::fopen(files.key_file.c_str(), "w");
  PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), "secret", 6, nullptr, nullptr);
  std::fclose(file);
  EVP_PKEY_free(key);
  EXPECT_THAT(refusal({files.certificate_file, files.key_file, ""}),
              HasSubstr("without a passphrase"));
  make("d");
  EXPECT_THAT(log(), HasSubstr("key.pem is not a private key in PEM without a passphrase"));
}

TEST_F(Tls, VersionsBefore12AreNotSpoken) {
  auto context = make_server_context({"", "", path("d")}, "localhost", log_);
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(SSL_CTX_get_min_proto_version(context->context.native_handle()), TLS1_2_VERSION);
}

}  // namespace
}  // namespace hyperpod::emulator::http
