// SPDX-License-Identifier: Apache-2.0
// TLS for the data port: certificates from files, or made on the spot for tests.
//
// Any thread. Several processes may share a directory of self-signed certificates.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/log.h"
#include "hyperpod/emulator/error.h"
#include "hyperpod/emulator/options.h"

namespace hyperpod::emulator::http {

/// PEM files of one certificate.
struct TlsFiles {
  std::string ca_file;           ///< What clients are to trust.
  std::string certificate_file;  ///< Of the server, issued by the CA.
  std::string key_file;          ///< Its private key, readable by its owner alone.
  base::FileDescriptor in_use;   ///< As long as it is open, nobody replaces the files.
};

/// What a server needs for TLS, and its hold on the files if others might replace them.
struct ServerContext {
  boost::asio::ssl::context context;
  base::FileDescriptor in_use;
};

/// Sees to it that `directory` (made if its parent exists) holds ca.pem, cert.pem and key.pem of a
/// server certificate for localhost, 127.0.0.1, ::1 and `hosts` (names or addresses; wildcard
/// addresses are passed over). Files that are there and fit are used again as long as they are
/// valid for another day; older ones of our own are replaced, which `log` (may be null) is told;
/// files that somebody uses, or that we have not made, are never overwritten but refused. The CA's
/// own key is not kept: nobody can issue another certificate that its clients would trust.
Result<TlsFiles> ensure_self_signed(const std::string& directory,
                                    const std::vector<std::string>& hosts,
                                    const std::shared_ptr<base::LogSink>& log);

/// A context for a server with TLS 1.2 or later, from the files or the directory that `options`
/// name. `listen_host` is a host that clients may know the server by. `log` (may be null) is warned
/// where no client will take the certificate's dates. REQUIRES options.enabled().
Result<ServerContext> make_server_context(const TlsOptions& options, const std::string& listen_host,
                                          const std::shared_ptr<base::LogSink>& log);

}  // namespace hyperpod::emulator::http
