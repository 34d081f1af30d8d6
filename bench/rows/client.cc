#include "rows/client.h"

#include <vector>

#include "load/workloads.h"

namespace hyperpod::bench {

tl::unexpected<Error> client_failure(const client::Error& error) { return failure(error.message); }

Result<client::Client> make_client(const Server& server) {
  client::ClientOptions options;
  options.remote_url = "127.0.0.1:" + std::to_string(server.port);
  options.shared_memory_name = server.segment;
  auto client = client::Client::create(std::move(options));
  if (!client) return client_failure(client.error());
  return std::move(*client);
}

std::string plain_object_key(std::uint64_t number) {
  constexpr std::string_view slash = "%2F";
  std::string key = object_key(number);
  return key.replace(key.find(slash), slash.size(), "/");
}

Result<void> store_with_client(client::Client& client, std::uint64_t count, std::size_t bytes) {
  const std::vector<std::byte> object(bytes, std::byte{'k'});
  for (std::uint64_t number = 0; number < count; ++number) {
    if (auto stored = client.put(plain_object_key(number), object); !stored) {
      return client_failure(stored.error());
    }
  }
  return {};
}

Result<client::Lease> acquire_stored(client::Client& client, const std::string& key) {
  auto lease = client.acquire(key);
  if (!lease) return client_failure(lease.error());
  if (!*lease) return failure("the emulator has lost " + key);
  return **std::move(lease);
}

}  // namespace hyperpod::bench
