// SPDX-License-Identifier: Apache-2.0
// Entries of the journal as the body of a response, at once or after a wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "admin/message.h"
#include "hyperpod/emulator/journal.h"

namespace hyperpod::emulator::admin {

struct JournalSelection {
  JournalFilter filter;
  std::uint64_t limit = 0;            ///< The oldest so many.
  std::optional<std::uint64_t> last;  ///< The newest so many instead.
  bool lines = false;                 ///< An entry a line, and nothing else.
};

/// `met`: after a wait, whether it was met. `journal` must outlive the response.
Response journal_response(const Journal& journal, const JournalSelection& selection,
                          std::optional<bool> met);

/// Waits until `count` entries that the filter accepts are there. Entries that are dropped
/// meanwhile have been seen.
class JournalWait final : public Wait {
 public:
  JournalWait(const Journal& journal, JournalSelection selection, std::uint64_t count,
              std::chrono::milliseconds most);

  std::optional<Response> attempt(bool last) override;
  std::chrono::milliseconds most() const override { return most_; }

 private:
  const Journal& journal_;
  const JournalSelection selection_;
  const std::uint64_t count_;
  const std::chrono::milliseconds most_;
  JournalFilter unseen_;
  std::uint64_t found_ = 0;
};

}  // namespace hyperpod::emulator::admin
