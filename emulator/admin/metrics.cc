// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.h"

#include <fmt/format.h>

#include <chrono>
#include <iterator>

#include "admin/info.h"
#include "admin/views.h"

namespace hyperpod::emulator::admin {
namespace {

// Appends samples of one metric after another, each after its HELP and TYPE.
class MetricsWriter {
 public:
  void begin(std::string_view name, std::string_view type, std::string_view help) {
    name_ = fmt::format("hyperpod_emulator_{}", name);
    add("# HELP {} {}.\n# TYPE {} {}\n", name_, help, name_, type);
  }

  template <class Value>
  void sample(std::string_view labels, Value value) {
    add("{}{} {}\n", name_, labels.empty() ? "" : fmt::format("{{{}}}", labels), value);
  }

  void sample(std::string_view labels, const Histogram& histogram) {
    std::uint64_t up_to = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      up_to += histogram.counts[i];
      const std::string bound = i < Histogram::bounds.size()
                                    ? fmt::format("{}", seconds(Histogram::bounds[i]))
                                    : std::string("+Inf");
      add("{}_bucket{{{},le=\"{}\"}} {}\n", name_, labels, bound, up_to);
    }
    add("{}_sum{{{}}} {}\n", name_, labels, seconds(histogram.sum));
    add("{}_count{{{}}} {}\n", name_, labels, histogram.count);
  }

  std::string take() && { return std::move(text_); }

 private:
  static double seconds(Duration duration) {
    return std::chrono::duration<double>(duration).count();
  }

  template <class... Values>
  void add(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Values>(values)...);
  }

  std::string name_;
  std::string text_;
};

std::string label(std::string_view name, std::string_view value) {
  // The form of JSON's strings is that of labels except for control characters, which no name has
  // that is shown; what is not UTF-8 is replaced.
  return fmt::format("{}={}", name, to_text(value));
}

void write_process(MetricsWriter& out, Control& control) {
  out.begin("build_info", "gauge", "1, with the version of the emulator");
  out.sample(label("version", version()), 1);
  out.begin("start_time_seconds", "gauge", "When the emulator started, in seconds since 1970");
  out.sample("", std::chrono::duration<double>(control.started().time_since_epoch()).count());
  out.begin("ready", "gauge", "1 if /readyz says so: requests are taken and can be served");
  out.sample("", readiness_of(control).ready ? 1 : 0);
  out.begin("segment_linked", "gauge",
            "1 if the name in /dev/shm leads to the segment that is served");
  out.sample("", control.segment().linked ? 1 : 0);
}

void write_statistics(MetricsWriter& out, const Statistics& statistics) {
  for (const auto& figure : statistics_figures()) {
    const bool total = figure.kind == Kind::counter;
    out.begin(fmt::format("{}{}", figure.name, total ? "_total" : ""), total ? "counter" : "gauge",
              figure.help);
    out.sample("", statistics.*figure.member);
  }
}

void write_journal(MetricsWriter& out, const Journal& journal) {
  const JournalTotals totals = journal.totals();
  out.begin("request_body_bytes_total", "counter", "Bytes of bodies received");
  out.sample("", totals.bytes_in);
  out.begin("response_bytes_total", "counter", "Bytes of responses sent, heads included");
  out.sample("", totals.bytes_out);
  out.begin("requests_failed_total", "counter",
            "Requests answered with 500 or above, misses aside, or not at all");
  out.sample("", totals.errors);
  out.begin("requests_faulted_total", "counter", "Requests that a fault hit");
  out.sample("", totals.faults);
  out.begin("peak_in_flight_requests", "gauge",
            "Most requests under way at once; who is served in one go counts for itself alone");
  out.sample("", totals.peak_in_flight);
  out.begin("journal_dropped_entries_total", "counter", "Entries that the journal has forgotten");
  out.sample("", journal.dropped());
}

void write_operations(MetricsWriter& out, const Journal& journal) {
  // All operations, so that no series begins in the middle of a graph.
  auto operations = journal.totals_by_operation();
  for (const JournalOperation operation : all_journal_operations) operations[operation];

  out.begin("responses_total", "counter",
            "Requests by operation and status; 0 stands for no response");
  for (const auto& [operation, totals] : operations) {
    for (const auto& [status, count] : totals.by_status) {
      out.sample(fmt::format("{},status=\"{}\"", label("operation", name_of(operation)), status),
                 count);
    }
  }
  out.begin("request_duration_seconds", "histogram", "From head to response, holds included");
  for (const auto& [operation, totals] : operations) {
    out.sample(label("operation", name_of(operation)), totals.served);
  }
  out.begin("hold_duration_seconds", "histogram", "How long lease requests waited for their key");
  out.sample(label("operation", name_of(JournalOperation::lease)),
             operations[JournalOperation::lease].held);
}

void write_faults(MetricsWriter& out, const FaultPlan& faults) {
  const auto list = faults.list();
  out.begin("fault_matched_total", "counter", "Requests that each fault in force matched");
  for (const auto& [fault, counts] : list) out.sample(label("fault", fault.name), counts.matched);
  out.begin("fault_fired_total", "counter", "Requests that each fault in force hit");
  for (const auto& [fault, counts] : list) out.sample(label("fault", fault.name), counts.fired);
}

}  // namespace

std::string metrics_text(Control& control) {
  MetricsWriter out;
  write_process(out, control);
  write_statistics(out, control.statistics());
  write_journal(out, control.journal());
  write_operations(out, control.journal());
  write_faults(out, control.faults());
  return std::move(out).take();
}

}  // namespace hyperpod::emulator::admin
