// SPDX-License-Identifier: Apache-2.0
#include "journal/record.h"

#include <cstring>

namespace hyperpod::emulator::journal {

Record::Record(const JournalEntry& entry, std::string_view request, std::string_view response)
    : fields{.at = entry.at,
             .time = entry.time,
             .connection = entry.connection,
             .bytes_in = entry.bytes_in,
             .bytes_out = entry.bytes_out,
             .held = entry.held,
             .served = entry.served,
             .in_flight = entry.in_flight,
             .status = entry.status,
             .operation = entry.operation,
             .end = entry.end},
      texts{entry.peer, entry.bucket, entry.key, entry.lease_id, entry.fault},
      request_head(request.substr(0, Journal::longest_head + 1)),
      response_head(response.substr(0, Journal::longest_head + 1)) {
  for (std::string_view& text : texts) text = text.substr(0, Journal::longest_text);
}

char* copy(std::string_view text, char* to) {
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

}  // namespace hyperpod::emulator::journal
