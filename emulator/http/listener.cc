// SPDX-License-Identifier: Apache-2.0
#include "http/listener.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>

#include "hyperpod/base/file_descriptor.h"
#include "text/host_port.h"

namespace hyperpod::emulator::http {

Result<asio::ip::tcp::endpoint> listen(Acceptor& acceptor, const std::string& address, int backlog,
                                       std::string_view purpose, std::string_view way_out) {
  const auto wanted = text::parse_host_port(address);
  if (!wanted) return tl::make_unexpected(wanted.error());
  IoError ec;
  asio::ip::tcp::endpoint endpoint;
  asio::ip::basic_resolver<asio::ip::tcp, Executor> resolver(acceptor.get_executor());
  const auto found = resolver.resolve(wanted->host, std::to_string(wanted->port),
                                      asio::ip::tcp::resolver::passive, ec);
  if (!ec) endpoint = found.begin()->endpoint();
  if (!ec) acceptor.open(endpoint.protocol(), ec);
  if (!ec) close_on_exec(acceptor.native_handle());
  if (!ec) acceptor.set_option(Acceptor::reuse_address(true), ec);
  // The real daemon's [::] takes IPv4 as well.
  if (!ec && endpoint.address().is_v6()) acceptor.set_option(asio::ip::v6_only(false), ec);
  if (!ec) acceptor.bind(endpoint, ec);
  if (!ec) acceptor.listen(backlog, ec);
  if (!ec) endpoint = acceptor.local_endpoint(ec);
  if (ec == asio::error::no_descriptors) {  // whatever the address
    return tl::make_unexpected(
        base::system_error(fmt::format("cannot listen on {}{}", address, purpose), ec.value()));
  }
  if (ec) {
    return tl::make_unexpected(Error{
        ErrorCode::address_unusable,
        fmt::format("cannot listen on {}{}: {}; {}", address, purpose, ec.message(), way_out)});
  }
  return endpoint;
}

void close_on_exec(int socket) { ::fcntl(socket, F_SETFD, FD_CLOEXEC); }

namespace {

bool has_loopback_of_ipv6() {
  const base::FileDescriptor probe(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  return ::bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
         errno != EADDRNOTAVAIL;
}

}  // namespace

std::string url_of(std::string_view scheme, const asio::ip::tcp::endpoint& endpoint) {
  auto address = endpoint.address();
  if (address.is_unspecified()) {
    // Machines without IPv6 addresses open a socket for all of them all the same.
    address = address.is_v6() && has_loopback_of_ipv6()
                  ? asio::ip::address(asio::ip::address_v6::loopback())
                  : asio::ip::address(asio::ip::address_v4::loopback());
  }
  const bool six = address.is_v6();
  return fmt::format("{}://{}{}{}:{}", scheme, six ? "[" : "", address.to_string(), six ? "]" : "",
                     endpoint.port());
}

}  // namespace hyperpod::emulator::http
