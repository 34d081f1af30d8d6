// SPDX-License-Identifier: Apache-2.0
#include "admin/journal_bodies.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "admin/views.h"

namespace hyperpod::emulator::admin {
namespace {

constexpr std::uint64_t entries_per_piece = 256;

// Entries one after another, between a beginning and an end.
class JournalSource final : public Source {
 public:
  JournalSource(const Journal& journal, const JournalSelection& selection)
      : journal_(journal),
        filter_(selection.filter),
        left_(selection.limit),
        lines_(selection.lines),
        last_(journal.last_sequence()) {
    if (selection.last) {
      newest_ = journal.newest(filter_, *selection.last);
      left_ = 0;
    }
  }

  More next(std::string& out) override {
    for (const JournalEntry& entry : std::exchange(newest_, {})) append(entry, out);
    if (left_ > 0) {
      const std::uint64_t wanted = std::min(left_, entries_per_piece);
      const auto entries = journal_.entries(filter_, wanted);
      for (const JournalEntry& entry : entries) append(entry, out);
      left_ -= entries.size();
      // What comes while this is sent is for the next request.
      const bool more = entries.size() == wanted && entries.back().sequence < last_;
      if (more && left_ > 0) {
        filter_.after_sequence = entries.back().sequence;
        return More::now;
      }
    }
    if (!lines_) out += "]}\n";
    return More::never;
  }

 private:
  void append(const JournalEntry& entry, std::string& out) {
    if (!lines_ && std::exchange(begun_, true)) out += ',';
    out += entry_to_json(entry);
    if (lines_) out += '\n';
  }

  const Journal& journal_;
  JournalFilter filter_;
  std::uint64_t left_;
  const bool lines_;
  const std::uint64_t last_;
  std::vector<JournalEntry> newest_;
  bool begun_ = false;
};

}  // namespace

Response journal_response(const Journal& journal, const JournalSelection& selection,
                          std::optional<bool> met) {
  Response response;
  if (selection.lines) {
    response.content_type = "application/x-ndjson";
  } else {
    Json head{{"recorded", journal.recorded()},
              {"dropped", journal.dropped()},
              {"last_sequence", journal.last_sequence()}};
    if (met) head["met"] = *met;
    response.body = to_text(head);
    response.body.pop_back();
    response.body += ",\"entries\":[";
  }
  response.source = std::make_unique<JournalSource>(journal, selection);
  return response;
}

JournalWait::JournalWait(const Journal& journal, JournalSelection selection, std::uint64_t count,
                         std::chrono::milliseconds most)
    : journal_(journal),
      selection_(std::move(selection)),
      count_(count),
      most_(most),
      unseen_(selection_.filter) {}

std::optional<Response> JournalWait::attempt(bool last) {
  // Each entry is looked at once, however long the wait and however many come.
  const std::uint64_t newest = journal_.last_sequence();
  const auto entries = journal_.entries(unseen_, count_ - found_);
  found_ += entries.size();
  unseen_.after_sequence = std::max(unseen_.after_sequence, newest);
  if (!entries.empty()) {
    unseen_.after_sequence = std::max(unseen_.after_sequence, entries.back().sequence);
  }
  if (found_ < count_ && !last) return std::nullopt;
  return journal_response(journal_, selection_, found_ >= count_);
}

}  // namespace hyperpod::emulator::admin
