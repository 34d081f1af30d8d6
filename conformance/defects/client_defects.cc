// SPDX-License-Identifier: Apache-2.0
#include "defects/client_defects.h"

namespace hyperpod::conformance::defects {

std::span<const ClientDefect> client_defects() {
  static const std::vector<ClientDefect> defects{
      {"no_throttle",
       "Sends all requests at once.",
       {"C-THROTTLE-01", "C-THROTTLE-04", "C-WORKERS-01"}},
      {"one_request_too_many", "Has one request more in flight than it may.", {"C-THROTTLE-01"}},
      {"default_limit_128", "Takes 128 for the default limit of requests.", {"C-THROTTLE-04"}},
      {"puts_first", "Lets puts go before leases.", {"C-THROTTLE-02"}},
      {"drops_backlog", "Refuses what would be the 21st to wait.", {"C-THROTTLE-03"}},

      {"no_connection_limit", "Ignores max_connections.", {"C-CONN-01"}},
      {"no_limit_per_host",
       "Ignores max_connections_per_host.",
       {"C-CONN-02", "C-WORKERS-01", "C-WORKERS-02"}},
      {"gives_place_back_twice",
       "Lets in two requests for each that failed.",
       {"C-CONN-03", "C-CONN-04"}},
      {"no_keep_alive", "Opens a connection for each request.", {"C-CONN-05"}},
      {"keeps_idle_connections", "Never closes an idle connection.", {"C-CONN-06"}},

      {"no_deadline",
       "Waits for a response as long as it takes.",
       {"C-TIME-01", "C-TIME-02", "C-TIME-03", "C-TIME-04", "C-TIME-05", "C-TIME-09"}},
      {"reads_late_answers",
       "Uses a connection again whose answer it has given up, and takes that response for the "
       "next.",
       {"C-TIME-02"}},
      {"deadline_of_each_read", "Counts its deadline anew with each byte.", {"C-TIME-03"}},
      {"no_deadline_of_writes", "Has no deadline while it sends.", {"C-TIME-04"}},
      {"connects_for_ever", "Tries to connect until somebody listens.", {"C-TIME-06"}},
      {"queueing_is_free", "Begins to count when a request's turn has come.", {"C-TIME-07"}},
      {"gives_up_with_the_daemon",
       "Waits just as long as the daemon may hold the request.",
       {"C-TIME-08"}},

      {"never_releases", "Leaves every lease to its TTL.", {"C-LEASE-01", "C-LEASE-02"}},
      {"releases_twice", "Releases each lease a second time.", {"C-LEASE-02"}},
      {"releases_another_id",
       "Releases an id that was never granted.",
       {"C-LEASE-01", "C-LEASE-02"}},
      {"old_release_call",
       "Releases by a call that the daemon does not have.",
       {"C-LEASE-01", "C-LEASE-03"}},
      {"keeps_refused_leases",
       "Does not release what it refuses to read.",
       {"C-LEASE-01", "C-LEASE-04", "C-LEASE-05"}},
      {"no_size_limit", "Reads leases of any size.", {"C-LEASE-05"}},
      {"any_content_type", "Takes any body for a lease, whatever its type.", {"C-LEASE-06"}},
      {"raw_lease_ids", "Puts lease ids into paths as they are.", {"C-LEASE-07"}},
      {"not_found_is_an_error", "Takes 404 for an error.", {"C-LEASE-08"}},

      {"ignores_expiry", "Never looks at the clock.", {"C-TTL-01", "C-TTL-02", "C-TTL-03"}},
      {"checks_expiry_before_the_copy_only",
       "Looks at the clock before it copies, and not afterwards.",
       {"C-TTL-03"}},
      {"maps_after_the_answer",
       "Takes whatever segment is there once the lease has come for the lease's own.",
       {"C-TTL-04"}},
      {"asks_for_longer_leases", "Asks for a hundred times the TTL.", {"C-TTL-05", "C-WORKERS-04"}},
      {"whole_seconds", "Asks for a TTL in whole seconds.", {"C-TTL-05", "C-WIRE-03"}},

      {"maps_writable", "Maps the segment for writing.", {"C-SHM-01"}},
      {"first_fragment_goes_on",
       "Reads on behind the first fragment instead of in the next.",
       {"C-SHM-02"}},
      {"keeps_the_old_mapping", "Maps the segment once and for all.", {"C-SHM-03", "C-SHM-04"}},
      {"never_looks_again",
       "Gives a segment up for good that it could not map once.",
       {"C-SHM-04", "C-SHM-05"}},
      {"ignores_the_size", "Reads where the segment has been cut off.", {"C-SHM-07"}},
      {"unlinks_at_exit", "Unlinks the segment when its process ends.", {"C-SHM-08"}},

      {"misses_open_the_breaker", "Counts misses and conflicts as failures.", {"C-BREAKER-01"}},
      {"breaker_never_opens", "Asks a dead daemon again and again.", {"C-BREAKER-02"}},
      {"breaker_never_closes",
       "Gives a daemon up for good after three failures.",
       {"C-BREAKER-03"}},
      {"any_2xx_is_stored", "Takes 201 and its like for stored.", {"C-BREAKER-04"}},
      {"failures_are_stored",
       "Reports every put as stored that was answered at all.",
       {"C-BREAKER-04", "C-BATCH-02"}},
      {"retries_puts", "Sends a refused put again.", {"C-BREAKER-05"}},

      {"encodes_twice", "Percent-encodes keys twice.", {"C-WIRE-01", "C-WIRE-02"}},
      {"bare_slashes", "Leaves a slash in a key as it is.", {"C-WIRE-01", "C-WIRE-02"}},
      {"plus_for_a_space", "Sends + for a space.", {"C-WIRE-01", "C-WIRE-02"}},
      {"lower_case_escapes", "Writes escapes in lower case.", {"C-WIRE-02"}},
      {"expects_to_be_told_to_continue", "Sends Expect: 100-continue.", {"C-WIRE-04"}},
      {"own_user_agent", "Has a User-Agent of its own.", {"C-WIRE-05"}},
      {"big_endian_header", "Writes the chunk header in the wrong byte order.", {"C-WIRE-06"}},
      {"always_a_header", "Writes a header with save_chunk_meta false too.", {"C-WIRE-07"}},
      {"one_piece", "Sends a body in one piece.", {"C-WIRE-08"}},
      {"ignores_the_bucket", "Stores everything in the bucket lmcache.", {"C-WIRE-09"}},
      {"takes_any_timeout", "Takes a timeout of 10 ms as it is.", {"C-WIRE-10"}},

      {"one_failure_fails_all",
       "Reports a batch as failed of which one key failed.",
       {"C-BATCH-01", "C-BATCH-02"}},
      {"counts_beyond_a_miss", "Counts hits beyond the first miss.", {"C-BATCH-03"}},
  };
  return defects;
}

}  // namespace hyperpod::conformance::defects
