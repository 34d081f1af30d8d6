#include "cli/doctor/machine.h"

#include <netdb.h>

#include <array>

namespace hyperpod::client::cli::doctor {

Resolver system_resolver() {
  return [](const std::string& host) -> Resolution {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (const int error = getaddrinfo(host.c_str(), nullptr, &hints, &found); error != 0) {
      return {{}, gai_strerror(error)};
    }
    Resolution resolution;
    for (const addrinfo* entry = found; entry != nullptr; entry = entry->ai_next) {
      std::array<char, NI_MAXHOST> text;
      if (getnameinfo(entry->ai_addr, entry->ai_addrlen, text.data(), text.size(), nullptr, 0,
                      NI_NUMERICHOST) == 0) {
        resolution.addresses.emplace_back(text.data());
      }
    }
    freeaddrinfo(found);
    if (resolution.addresses.empty()) resolution.problem = "no address";
    return resolution;
  };
}

}  // namespace hyperpod::client::cli::doctor
