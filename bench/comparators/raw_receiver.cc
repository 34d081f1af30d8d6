// SPDX-License-Identifier: Apache-2.0
// hyperpod-bench-raw-receiver CAPACITY: the fastest way known to us to bring bytes from TCP into a
// shared-memory segment, as the measure for PUT.
//
// Peers send bodies, each behind its length as eight bytes in the machine's order. A thread for
// each connection receives them straight into the mapping, one after the other and round again, and
// answers each with the two bytes "ok". Prints one line of JSON with its url when it serves.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

namespace {

struct Mapping {
  char* begin;
  std::uint64_t size;
  std::atomic<std::uint64_t> used{0};

  // The next `length` bytes, from the start again where the end is too near.
  char* place(std::uint64_t length) {
    const std::uint64_t slots = size / length;
    return begin + used.fetch_add(1) % slots * length;
  }
};

bool receive_exactly(int socket, char* to, std::uint64_t size) {
  while (size > 0) {
    const ssize_t got = ::recv(socket, to, size, 0);
    if (got <= 0) return false;
    to += got;
    size -= static_cast<std::uint64_t>(got);
  }
  return true;
}

void serve(int socket, Mapping& mapping) {
  const int on = 1;
  ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  std::uint64_t length = 0;
  while (receive_exactly(socket, std::bit_cast<char*>(&length), sizeof length)) {
    if (length == 0 || length > mapping.size) break;
    if (!receive_exactly(socket, mapping.place(length), length)) break;
    if (::send(socket, "ok", 2, MSG_NOSIGNAL) != 2) break;
  }
  ::close(socket);
}

// The name is gone at once: nobody else maps this segment, and so it cannot be left behind.
char* map_segment(std::uint64_t size) {
  const std::string name = "/hyperpod-bench-raw-" + std::to_string(::getpid());
  const int fd = ::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
  if (fd < 0) return nullptr;
  ::shm_unlink(name.c_str());
  if (::posix_fallocate(fd, 0, static_cast<off_t>(size)) != 0) return nullptr;
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
  if (count != 2) return 2;
  Mapping mapping{nullptr, std::strtoull(arguments[1], nullptr, 10)};
  mapping.begin = map_segment(mapping.size);
  std::uint16_t port = 0;
  const int listener = listen_on_loopback(port);
  if (!mapping.begin || listener < 0) {
    std::perror("hyperpod-bench-raw-receiver");
    return 1;
  }
  std::printf("{\"event\":\"ready\",\"url\":\"tcp://127.0.0.1:%u\"}\n", unsigned{port});
  std::fflush(stdout);
  while (true) {
    const int socket = ::accept(listener, nullptr, nullptr);
    if (socket < 0) return 1;
    std::thread(serve, socket, std::ref(mapping)).detach();
  }
}
