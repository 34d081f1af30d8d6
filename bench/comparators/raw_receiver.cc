// SPDX-License-Identifier: Apache-2.0
// hyperpod-bench-raw-receiver CAPACITY BODY threads|epoll: the fastest ways known to us to bring
// bytes from TCP into a shared-memory segment, as the measure for PUT.
//
// Peers send bodies of BODY bytes, which are received into the mapping, one after the other and
// round again. `threads`: a thread for each connection, which blocks, is the fastest for large
// bodies. Each body comes behind its length as eight bytes in the machine's order, and is answered
// with the two bytes "ok"; of a body whose length has its second highest bit set the XXH3 is
// computed, of each piece as it comes, while it is in the processor's cache; and a peer that sends
// the length with its highest bit set, and nothing behind it, gets a body out of the mapping.
// `epoll`: a loop for each core, as a server of many connections needs them. It takes the requests
// that the emulator gets, of which it looks for nothing but the end of the head and the length.
// Prints one line of JSON with its url when it serves.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>
#ifdef HYPERPOD_XXHASH_DISPATCH
#include <xxh_x86dispatch.h>  // after xxhash.h
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

namespace {

// Set in a length: nothing is received, and as many bytes are sent out of the mapping.
constexpr std::uint64_t to_send = 1ull << 63;
// The same, for a body that is received and hashed.
constexpr std::uint64_t to_hash = 1ull << 62;

struct Mapping {
  char* begin;
  std::uint64_t size;
  std::uint64_t body;
  std::atomic<std::uint64_t> used{0};

  // For the next body, from the start again where the end is too near.
  char* place() { return begin + used.fetch_add(1) % (size / body) * body; }
};

bool receive_exactly(int socket, char* to, std::uint64_t size, XXH3_state_t* hash = nullptr) {
  while (size > 0) {
    const ssize_t got = ::recv(socket, to, size, 0);
    if (got <= 0) return false;
    if (hash) XXH3_128bits_update(hash, to, static_cast<std::size_t>(got));
    to += got;
    size -= static_cast<std::uint64_t>(got);
  }
  return true;
}

bool send_exactly(int socket, const char* from, std::uint64_t size) {
  while (size > 0) {
    const ssize_t sent = ::send(socket, from, size, MSG_NOSIGNAL);
    if (sent <= 0) return false;
    from += sent;
    size -= static_cast<std::uint64_t>(sent);
  }
  return true;
}

bool send_ok(int socket) { return ::send(socket, "ok", 2, MSG_NOSIGNAL) == 2; }

// False where the body did not come.
bool receive_hashed(int socket, char* to, std::uint64_t size) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash(XXH3_createState(),
                                                                      &XXH3_freeState);
  if (!hash || XXH3_128bits_reset(hash.get()) != XXH_OK) return false;
  if (!receive_exactly(socket, to, size, hash.get())) return false;
  // Used, so that it is computed.
  return XXH3_128bits_digest(hash.get()).high64 != 0;
}

void serve_blocking(int socket, Mapping& mapping) {
  std::uint64_t length = 0;
  while (receive_exactly(socket, std::bit_cast<char*>(&length), sizeof length)) {
    if (length == (to_send | mapping.body)) {
      if (!send_exactly(socket, mapping.place(), mapping.body)) break;
      continue;
    }
    const bool hashed = length == (to_hash | mapping.body);
    if (!hashed && length != mapping.body) break;
    char* const place = mapping.place();
    const bool came = hashed ? receive_hashed(socket, place, mapping.body)
                             : receive_exactly(socket, place, mapping.body);
    if (!came || !send_ok(socket)) break;
  }
  ::close(socket);
}

struct Connection {
  int socket = -1;
  char* to = nullptr;
  std::uint64_t left = 0;  // of the body; 0: a head comes next
};

constexpr std::string_view end_of_head = "\r\n\r\n";

// Of a body of `expected` bytes the part that has come with its head; null unless it is such a
// request, and the head has come whole.
std::optional<std::string_view> begun_body(std::string_view received, std::uint64_t expected) {
  constexpr std::string_view field = "\r\nContent-Length: ";
  const auto end = received.find(end_of_head);
  const auto length = received.find(field);
  if (end == received.npos || length > end) return std::nullopt;
  const char* const digits = received.data() + length + field.size();
  std::uint64_t announced = 0;
  std::from_chars(digits, received.data() + end, announced);
  if (announced != expected) return std::nullopt;
  return received.substr(end + end_of_head.size());
}

bool respond(int socket) {
  constexpr std::string_view response = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
  return ::send(socket, response.data(), response.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(response.size());
}

// What has come, and the response if that was the last. False at the end of the connection.
bool receive_some(Connection& connection, Mapping& mapping) {
  if (connection.left == 0) {
    std::array<char, 8192> buffer;
    const ssize_t got = ::recv(connection.socket, buffer.data(), buffer.size(), 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    const auto begun = begun_body({buffer.data(), static_cast<std::size_t>(got)}, mapping.body);
    if (!begun) return false;
    connection.to = std::copy(begun->begin(), begun->end(), mapping.place());
    connection.left = mapping.body - begun->size();
    if (connection.left == 0) return respond(connection.socket);
  }
  const ssize_t got = ::recv(connection.socket, connection.to, connection.left, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  connection.to += got;
  connection.left -= static_cast<std::uint64_t>(got);
  return connection.left > 0 || respond(connection.socket);
}

void serve_events(int epoll, Mapping& mapping) {
  std::array<epoll_event, 64> events{};
  while (true) {
    const int count = ::epoll_wait(epoll, events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < count; ++i) {
      auto* const connection =
          static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (receive_some(*connection, mapping)) continue;
      ::close(connection->socket);
      delete connection;
    }
  }
}

// In a file without a name: nobody else maps it, and nothing can be left behind.
char* map_segment(std::uint64_t size) {
  const int fd = ::open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0 || ::posix_fallocate(fd, 0, static_cast<off_t>(size)) != 0) return nullptr;
  void* begin = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return begin == MAP_FAILED ? nullptr : static_cast<char*>(begin);
}

int listen_on_loopback(std::uint16_t& port) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (::bind(listener, std::bit_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener, 128) != 0 ||
      ::getsockname(listener, std::bit_cast<sockaddr*>(&address), &size) != 0) {
    return -1;
  }
  port = ntohs(address.sin_port);
  return listener;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) return 2;
  Mapping mapping{nullptr, std::strtoull(arguments[1], nullptr, 10),
                  std::strtoull(arguments[2], nullptr, 10)};
  const bool by_events = std::string_view(arguments[3]) == "epoll";
  if (mapping.body == 0 || mapping.body > mapping.size) return 2;
  mapping.begin = map_segment(mapping.size);
  std::uint16_t port = 0;
  const int listener = listen_on_loopback(port);
  std::vector<int> loops;
  for (unsigned i = 0; by_events && i < std::max(1u, std::thread::hardware_concurrency()); ++i) {
    loops.push_back(::epoll_create1(EPOLL_CLOEXEC));
    std::thread(serve_events, loops.back(), std::ref(mapping)).detach();
  }
  if (!mapping.begin || listener < 0) {
    std::perror("hyperpod-bench-raw-receiver");
    return 1;
  }
  std::printf("{\"event\":\"ready\",\"url\":\"tcp://127.0.0.1:%u\"}\n", unsigned{port});
  std::fflush(stdout);
  for (std::size_t accepted = 0;; ++accepted) {
    const int socket = ::accept4(listener, nullptr, nullptr, by_events ? SOCK_NONBLOCK : 0);
    if (socket < 0) return 1;
    const int on = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!by_events) {
      std::thread(serve_blocking, socket, std::ref(mapping)).detach();
      continue;
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = new Connection{.socket = socket};
    ::epoll_ctl(loops[accepted % loops.size()], EPOLL_CTL_ADD, socket, &event);
  }
}
