// SPDX-License-Identifier: Apache-2.0
#include "admin/metrics.h"

#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "admin/fake_control.h"

namespace hyperpod::emulator::admin {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

struct Metric {
  std::string type;
  std::map<std::string, double> samples;  // by name and labels
};

// Reads the text format as strictly as its specification allows: each metric has its HELP and its
// TYPE once, in front of its samples, which stand together; complaints say what is not so.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    if (text.empty() || text.back() != '\n') complain("the last line has no end");
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) read(line);
    for (const auto& [name, metric] : metrics_) check(name, metric);
  }

  const std::vector<std::string>& complaints() const { return complaints_; }
  const std::map<std::string, Metric>& metrics() const { return metrics_; }

  double value(const std::string& sample) const {
    for (const auto& [name, metric] : metrics_) {
      if (const auto found = metric.samples.find(sample); found != metric.samples.end()) {
        return found->second;
      }
    }
    return std::nan("");
  }

 private:
  void complain(const std::string& what) { complaints_.push_back(what); }

  void read(const std::string& line) {
    static const std::regex help("# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (\\S.*)");
    static const std::regex type("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)");
    static const std::regex sample(
        "([a-zA-Z_:][a-zA-Z0-9_:]*)"
        "(\\{(?:[a-zA-Z_][a-zA-Z0-9_]*=\"(?:[^\"\\\\\n]|\\\\[\\\\\"n])*\",?)+\\})?"
        " (\\+Inf|[0-9.e+-]+)");
    std::smatch parts;
    if (std::regex_match(line, parts, help)) {
      current_ = parts[1];
      if (!metrics_.try_emplace(current_).second) complain("described twice: " + current_);
    } else if (std::regex_match(line, parts, type)) {
      if (parts[1] != current_) complain("type of another: " + line);
      metrics_[current_].type = parts[2];
    } else if (std::regex_match(line, parts, sample)) {
      const std::string name = parts[1];
      const std::string suffix = name.size() < current_.size() ? "?" : name.substr(current_.size());
      const bool histogram = metrics_[current_].type == "histogram";
      const bool mine =
          name.starts_with(current_) &&
          (histogram ? std::set<std::string>{"_bucket", "_sum", "_count"}.contains(suffix)
                     : suffix.empty());
      if (!mine) complain("sample of another: " + line);
      if (!metrics_[current_].samples.emplace(name + parts[2].str(), std::stod(parts[3])).second) {
        complain("sample twice: " + line);
      }
    } else {
      complain("unreadable: " + line);
    }
  }

  void check(const std::string& name, const Metric& metric) {
    if (!name.starts_with("hyperpod_emulator_")) complain("prefix: " + name);
    if (metric.type.empty()) complain("no type: " + name);
    if ((metric.type == "counter") != name.ends_with("_total")) complain("total: " + name);
    for (const char* unit : {"_ms", "_us", "_mb", "_kb", "_milliseconds"}) {
      if (name.ends_with(unit)) complain("no base unit: " + name);
    }
    if (metric.type == "histogram") check_histogram(name, metric);
  }

  // For each set of labels: bounds that rise, counts that do not fall, +Inf last, equal to _count.
  void check_histogram(const std::string& name, const Metric& metric) {
    static const std::regex bucket("(.*)_bucket\\{(.*),le=\"(.*)\"\\}");
    std::map<std::string, std::map<double, double>> by_labels;
    for (const auto& [sample, count] : metric.samples) {
      std::smatch parts;
      if (!std::regex_match(sample, parts, bucket)) continue;
      const std::string bound = parts[3];
      by_labels[parts[2]][bound == "+Inf" ? INFINITY : std::stod(bound)] = count;
    }
    if (by_labels.empty()) complain("no buckets: " + name);
    for (const auto& [labels, buckets] : by_labels) {
      double before = 0;
      for (const auto& [bound, count] : buckets) {
        if (count < before) complain("a count falls: " + name);
        before = count;
      }
      if (!std::isinf(buckets.rbegin()->first)) complain("no +Inf: " + name);
      const auto of = [&](const char* suffix) {
        const auto found = metric.samples.find(name + suffix + "{" + labels + "}");
        return found == metric.samples.end() ? std::nan("") : found->second;
      };
      if (of("_count") != before) complain("another count: " + name);
      if (std::isnan(of("_sum"))) complain("no sum: " + name);
    }
  }

  std::map<std::string, Metric> metrics_;
  std::vector<std::string> complaints_;
  std::string current_;
};

JournalEntry lease(int status, Duration served, Duration held = {}) {
  JournalEntry entry;
  entry.connection = 1;
  entry.operation = JournalOperation::lease;
  entry.status = status;
  entry.served = served;
  entry.held = held;
  entry.bytes_out = 10;
  entry.in_flight = 3;
  return entry;
}

TEST(Metrics, AreWellFormedBeforeAnythingHappened) {
  FakeControl control;
  const Exposition shown(metrics_text(control));
  EXPECT_THAT(shown.complaints(), IsEmpty());
  EXPECT_EQ(shown.metrics().size(), 4u + 33u + 6u + 3u + 2u);
  EXPECT_EQ(shown.value("hyperpod_emulator_request_duration_seconds_count{operation=\"put\"}"), 0);
}

TEST(Metrics, ShowTheStatistics) {
  FakeControl control;
  control.statistics_.live_leases = 3;
  control.statistics_.leases_granted = 18'446'744'073'709'551'615u;
  control.statistics_.capacity_bytes = 4096;
  const std::string text = metrics_text(control);
  const Exposition shown(text);
  EXPECT_THAT(shown.complaints(), IsEmpty());
  EXPECT_EQ(shown.value("hyperpod_emulator_live_leases"), 3);
  EXPECT_EQ(shown.value("hyperpod_emulator_segment_linked"), 1);
  EXPECT_EQ(shown.value("hyperpod_emulator_capacity_bytes"), 4096);
  EXPECT_THAT(text,
              testing::HasSubstr("hyperpod_emulator_leases_granted_total 18446744073709551615\n"));
}

TEST(Metrics, ShowWhatTheJournalCounted) {
  FakeControl control;
  control.journal_.record(lease(200, 1ms));
  control.journal_.record(lease(200, 1ms + 1ns));
  control.journal_.record(lease(504, 40s, 40s));
  control.journal_.record(lease(0, 1us));
  const Exposition shown(metrics_text(control));
  EXPECT_THAT(shown.complaints(), IsEmpty());
  const std::string responses = "hyperpod_emulator_responses_total";
  EXPECT_EQ(shown.value(responses + "{operation=\"lease\",status=\"200\"}"), 2);
  EXPECT_EQ(shown.value(responses + "{operation=\"lease\",status=\"504\"}"), 1);
  EXPECT_EQ(shown.value(responses + "{operation=\"lease\",status=\"0\"}"), 1);
  const std::string duration = "hyperpod_emulator_request_duration_seconds";
  EXPECT_EQ(shown.value(duration + "_bucket{operation=\"lease\",le=\"0.0005\"}"), 1);
  EXPECT_EQ(shown.value(duration + "_bucket{operation=\"lease\",le=\"0.001\"}"), 2);
  EXPECT_EQ(shown.value(duration + "_bucket{operation=\"lease\",le=\"30\"}"), 3);
  EXPECT_EQ(shown.value(duration + "_bucket{operation=\"lease\",le=\"+Inf\"}"), 4);
  EXPECT_NEAR(shown.value(duration + "_sum{operation=\"lease\"}"), 40.002001001, 1e-9);
  const std::string hold = "hyperpod_emulator_hold_duration_seconds";
  EXPECT_EQ(shown.value(hold + "_count{operation=\"lease\"}"), 1);
  EXPECT_EQ(shown.value("hyperpod_emulator_response_bytes_total"), 40);
  EXPECT_EQ(shown.value("hyperpod_emulator_peak_in_flight_requests"), 3);
  EXPECT_EQ(shown.value("hyperpod_emulator_requests_failed_total"), 1);
}

TEST(Metrics, EscapeTheNamesOfFaults) {
  FakeControl control;
  Fault fault;
  fault.name = "a\"b\\c";
  fault.script.resize(1);
  fault.script[0].ending = ResetConnection{};
  ASSERT_TRUE(control.faults_.add(fault));
  control.faults_.decide({.operation = FaultOperation::put});
  const Exposition shown(metrics_text(control));
  EXPECT_THAT(shown.complaints(), IsEmpty());
  const std::string name = "{fault=\"a\\\"b\\\\c\"}";
  EXPECT_EQ(shown.value("hyperpod_emulator_fault_matched_total" + name), 1);
  EXPECT_EQ(shown.value("hyperpod_emulator_fault_fired_total" + name), 1);
}

}  // namespace
}  // namespace hyperpod::emulator::admin
