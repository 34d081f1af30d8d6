// SPDX-License-Identifier: Apache-2.0
#include "admin/http_front.h"

#include <fmt/format.h>
#include <httplib.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/ip/v6_only.hpp>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>

#include "admin/http_connection.h"
#include "http/asio.h"
#include "text/host_port.h"

namespace hyperpod::emulator::admin {
namespace {

namespace asio = boost::asio;
using IoError = boost::system::error_code;

constexpr int backlog = 128;
constexpr std::size_t most_connections = 32;
constexpr std::size_t longest_path = 1024;
constexpr std::chrono::seconds finish_time{1};
constexpr std::chrono::milliseconds accept_pause{100};

bool all_digits(std::string_view text) {
  return !text.empty() && text.size() <= 18 &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// --- Requests and answers -----------------------------------------------------------------------

// The library's parser and writer. None of its routes is used but one that takes every body.
class HttpProcessor final : httplib::Server {
 public:
  HttpProcessor(HttpFront::Handler handler, HttpFront::Complaint complaint);

  /// Reads one request and answers it.
  void process(HttpConnection& connection);

 private:
  HandlerResponse before_body(const httplib::Request& request, httplib::Response& response) const;
  void with_body(const httplib::Request& request, httplib::Response& response,
                 const httplib::ContentReader& read) const;
  void answer(const httplib::Request& request, std::string body, httplib::Response& response) const;
  void complain(httplib::Response& response, int status, const std::string& message) const;

  const HttpFront::Handler handler_;
  const HttpFront::Complaint complaint_;
};

HttpProcessor::HttpProcessor(HttpFront::Handler handler, HttpFront::Complaint complaint)
    : handler_(std::move(handler)), complaint_(std::move(complaint)) {
  set_pre_routing_handler([this](const httplib::Request& request, httplib::Response& response) {
    return before_body(request, response);
  });
  const auto reader = [this](const httplib::Request& request, httplib::Response& response,
                             const httplib::ContentReader& read) {
    with_body(request, response, read);
  };
  // Of the decoded path, whose length before_body bounds: std::regex recurses for each byte.
  const std::string anything = "[\\s\\S]*";
  Post(anything, reader);
  Put(anything, reader);
  Patch(anything, reader);
  Delete(anything, reader);
  set_error_handler([this](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    const std::string message = response.status == 414
                                    ? "the request target is too long; shorten it"
                                    : "the request cannot be read as HTTP/1.1 with a small head";
    complain(response, response.status, message);
  });
  set_exception_handler(
      [this](const httplib::Request&, httplib::Response& response, std::exception_ptr) {
        complain(response, 500, "the request failed inside the emulator; its log may tell more");
      });
}

void HttpProcessor::process(HttpConnection& connection) {
  bool ignored = false;
  const bool answered = process_request(connection, true, ignored, [&](httplib::Request& request) {
    connection.head_is_complete();
    request.ranges.clear();  // answers are always whole
  });
  if (answered) connection.linger();
}

// Whatever has no body is answered here; what has one goes on to with_body.
httplib::Server::HandlerResponse HttpProcessor::before_body(const httplib::Request& request,
                                                            httplib::Response& response) const {
  const auto refuse = [&](int status, const char* message) {
    complain(response, status, message);
    return HandlerResponse::Handled;
  };
  if (request.path.size() > longest_path) return refuse(414, "the path is too long; shorten it");
  const std::size_t lengths = request.get_header_value_count("Content-Length");
  const std::size_t codings = request.get_header_value_count("Transfer-Encoding");
  if (lengths + codings == 0) {
    answer(request, "", response);
    return HandlerResponse::Handled;
  }
  if (lengths + codings > 1) {
    return refuse(400, "the body's length is given more than once; send one Content-Length");
  }
  const std::string length = request.get_header_value("Content-Length");
  if (lengths == 1 && !all_digits(length)) {
    return refuse(400, "Content-Length is no number of bytes");
  }
  if (codings == 1 &&
      strcasecmp(request.get_header_value("Transfer-Encoding").c_str(), "chunked") != 0) {
    return refuse(501, "the only transfer coding understood is chunked");
  }
  static const std::set<std::string> with_bodies{"POST", "PUT", "PATCH", "DELETE"};
  // The library reads the body of a DELETE only if its length is told.
  const bool body =
      with_bodies.contains(request.method) && (lengths == 1 || request.method != "DELETE");
  if (body) return HandlerResponse::Unhandled;
  if (codings == 1 || length.find_first_not_of('0') != std::string::npos) {
    return refuse(400, "a request of this method has no body");
  }
  answer(request, "", response);
  return HandlerResponse::Handled;
}

void HttpProcessor::with_body(const httplib::Request& request, httplib::Response& response,
                              const httplib::ContentReader& read) const {
  if (request.is_multipart_form_data()) {
    complain(response, 415, "a form is not understood; send JSON");
    return;
  }
  std::string body;
  bool too_long = false;
  const bool whole = read([&](const char* data, std::size_t size) {
    too_long = body.size() + size > longest_admin_body;
    if (!too_long) body.append(data, size);
    return !too_long;
  });
  if (too_long) {
    complain(response, 413, fmt::format("the body is larger than {} bytes", longest_admin_body));
  } else if (!whole) {
    complain(response, 400, "the body ended early, took too long or is coded wrongly");
  } else {
    answer(request, std::move(body), response);
  }
}

void HttpProcessor::answer(const httplib::Request& request, std::string body,
                           httplib::Response& response) const {
  AdminRequest ours;
  ours.method = request.method == "HEAD" ? "GET" : request.method;
  ours.path = request.target.substr(0, request.target.find('?'));
  ours.query = request.params;
  ours.accept = request.get_header_value("Accept");
  ours.body = std::move(body);
  AdminResponse answer = handler_(ours);
  response.status = answer.status;
  response.set_content(std::move(answer.body), answer.content_type);
  if (!answer.allow.empty()) response.set_header("Allow", answer.allow);
}

void HttpProcessor::complain(httplib::Response& response, int status,
                             const std::string& message) const {
  response.status = status;
  response.set_content(complaint_(status, message), "application/json");
}

}  // namespace

// --- Sockets and threads ------------------------------------------------------------------------

class HttpFront::Impl {
 public:
  Impl(Handler handler, Complaint complaint)
      : acceptor_(io_), processor_(std::move(handler), std::move(complaint)) {}

  Result<void> listen(const std::string& address);
  void run() {
    listener_ = std::thread([this] { accept_connections(); });
    ::pthread_setname_np(listener_.native_handle(), "hyperpod-admin");  // and what it starts
  }
  void stop();

  std::string url;
  bool loopback = false;

 private:
  void accept_connections();
  void open(int fd);
  void serve(int fd);

  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  HttpProcessor processor_;
  std::thread listener_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  bool stopping_ = false;
  std::set<int> open_;
};

Result<void> HttpFront::Impl::listen(const std::string& address) {
  const auto wanted = text::parse_host_port(address);
  if (!wanted) return tl::make_unexpected(wanted.error());
  const auto fail = [&](const IoError& ec) {
    return tl::make_unexpected(Error{
        ErrorCode::address_unusable,
        fmt::format("cannot listen on {} for the admin port: {}; choose another address or port, "
                    "or off",
                    address, ec.message())});
  };
  IoError ec;
  asio::ip::tcp::resolver resolver(io_);
  const auto found = resolver.resolve(wanted->host, std::to_string(wanted->port),
                                      asio::ip::tcp::resolver::passive, ec);
  if (ec) return fail(ec);
  asio::ip::tcp::endpoint endpoint = found.begin()->endpoint();
  acceptor_.open(endpoint.protocol(), ec);
  if (!ec) acceptor_.set_option(asio::ip::tcp::acceptor::reuse_address(true), ec);
  if (!ec && endpoint.address().is_v6()) acceptor_.set_option(asio::ip::v6_only(false), ec);
  if (!ec) acceptor_.bind(endpoint, ec);
  if (!ec) acceptor_.listen(backlog, ec);
  if (!ec) endpoint = acceptor_.local_endpoint(ec);
  if (ec) return fail(ec);

  auto host = endpoint.address();
  loopback = host.is_loopback();
  if (host.is_unspecified()) {
    host = host.is_v6() ? asio::ip::address(asio::ip::address_v6::loopback())
                        : asio::ip::address(asio::ip::address_v4::loopback());
  }
  const std::string name = host.is_v6() ? fmt::format("[{}]", host.to_string()) : host.to_string();
  url = fmt::format("http://{}:{}", name, endpoint.port());
  return {};
}

void HttpFront::Impl::accept_connections() {
  while (true) {
    const int fd =
        ::accept4(acceptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    const bool exhausted = fd < 0 && errno != EINTR && errno != ECONNABORTED;
    std::unique_lock lock(mutex_);
    if (exhausted) changed_.wait_for(lock, accept_pause, [&] { return stopping_; });
    if (fd >= 0) {
      changed_.wait(lock, [&] { return stopping_ || open_.size() < most_connections; });
    }
    if (stopping_) {
      if (fd >= 0) ::close(fd);
      return;
    }
    if (fd >= 0) open(fd);
  }
}

// With mutex_ held.
void HttpFront::Impl::open(int fd) {
  open_.insert(fd);
  try {
    std::thread([this, fd] { serve(fd); }).detach();
  } catch (const std::system_error&) {  // no room for a thread
    open_.erase(fd);
    ::close(fd);
  }
}

void HttpFront::Impl::serve(int fd) {
  HttpConnection connection(fd);
  processor_.process(connection);
  std::lock_guard lock(mutex_);
  open_.erase(fd);
  ::close(fd);
  changed_.notify_all();  // the last that this thread does with *this
}

void HttpFront::Impl::stop() {
  std::unique_lock lock(mutex_);
  if (std::exchange(stopping_, true)) return;
  changed_.notify_all();
  ::shutdown(acceptor_.native_handle(), SHUT_RDWR);  // accept returns
  for (const int fd : open_) ::shutdown(fd, SHUT_RD);
  const auto all_closed = [&] { return open_.empty(); };
  if (!changed_.wait_for(lock, finish_time, all_closed)) {
    for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    changed_.wait(lock, all_closed);
  }
  lock.unlock();
  listener_.join();
}

Result<std::unique_ptr<HttpFront>> HttpFront::start(const std::string& address, Handler handler,
                                                    Complaint complaint) {
  auto impl = std::make_unique<Impl>(std::move(handler), std::move(complaint));
  if (auto bound = impl->listen(address); !bound) return tl::make_unexpected(bound.error());
  impl->run();
  return std::unique_ptr<HttpFront>(new HttpFront(std::move(impl)));
}

HttpFront::HttpFront(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpFront::~HttpFront() { stop(); }
const std::string& HttpFront::url() const { return impl_->url; }
bool HttpFront::loopback() const { return impl_->loopback; }
void HttpFront::stop() { impl_->stop(); }

}  // namespace hyperpod::emulator::admin
