// SPDX-License-Identifier: Apache-2.0
// hyperpod-bench: the emulator's speed, end to end over loopback, against its comparators.
//
// Exit status: 0 whatever the verdicts, 1 if a row could not be measured, 2 for bad arguments.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include "hyperpod/base/arguments.h"
#include "hyperpod/base/descriptor_limit.h"
#include "hyperpod/base/terminal.h"
#include "machine.h"
#include "plots.h"
#include "report.h"
#include "rows/rows.h"

namespace hyperpod::bench {
namespace {

std::vector<Row> all_rows() {
  return {
      lease_against_nginx(16),
      lease_against_nginx(128),
      lease_against_nginx(1024),
      lease_against_aiohttp(),
      lease_with_journal(),
      fairness_beside_bodies(),
      fairness_beside_pipelines(),
      engine_calls(1'000),
      engine_calls(1'000'000),
      idle_connections(),
      open_page(),
      held_leases(),
      put_against_raw_tcp(1),
      put_against_raw_tcp(4),
      put_against_epoll(4 << 10),
      put_against_epoll(64 << 10),
      put_against_epoll(1 << 20),
      checkpoint_put(Checksums::none),
      checkpoint_put(Checksums::checked),
      checkpoint_get(),
      checkpoint_latest(),
      memory(),
      start_and_stop(),
      client_copy(1, Placement::contiguous),
      client_copy(1, Placement::scattered),
      client_copy(16, Placement::contiguous),
      client_copy(16, Placement::scattered),
      client_get(),
      client_acquire(),
      client_put(PutPieces::default_size),
      client_put(PutPieces::whole),
      client_small(),
      client_acquire_async(),
      client_small_async(),
      client_lookup(),
      client_threads(),
      client_memory(),
      python_get_into(),
      python_small(),
      python_lmcache_small(),
      python_lmcache_large(),
      python_start(),
  };
}

struct Arguments {
  Settings settings;
  std::vector<std::string> only;
  std::string json;
  std::string plots;
};

bool wanted(const Row& row, const std::vector<std::string>& only) {
  return only.empty() || std::ranges::find(only, row.id) != only.end();
}

// What is measured now, on a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::size_t rows) : rows_(rows) {}

  void show(const Row& row) const {
    if (!shown_) return;
    const auto elapsed = std::chrono::steady_clock::now() - begun_;
    std::fprintf(stderr, "\r\x1b[K%s  %s", base::progress_bar(done_, rows_, elapsed).c_str(),
                 row.id.c_str());
  }
  void hide() {
    ++done_;
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }

 private:
  const std::size_t rows_;
  const bool shown_ = base::is_terminal(STDERR_FILENO);
  const std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
  std::size_t done_ = 0;
};

int run(const std::vector<Row>& rows, const Arguments& arguments) {
  nlohmann::json report{{"machine", machine_report()},
                        {"rounds", arguments.settings.rounds},
                        {"slice_ms", arguments.settings.slice.count()},
                        {"rows", nlohmann::json::array()}};
  bool all_measured = true;
  print_heading();
  const auto to_measure = static_cast<std::size_t>(
      std::ranges::count_if(rows, [&](const Row& row) { return wanted(row, arguments.only); }));
  ProgressLine progress(to_measure);
  for (const Row& row : rows) {
    if (!wanted(row, arguments.only)) continue;
    progress.show(row);
    const OtherPrograms others;
    const auto finding = row.measure(arguments.settings);
    progress.hide();
    const double share = others.share();
    print_row(row, finding, share);
    report["rows"].push_back(row_report(row, finding, share));
    all_measured &= finding || finding.error().code == ErrorCode::missing;
  }
  if (!arguments.json.empty() && !(std::ofstream(arguments.json) << report.dump(2) << '\n')) {
    std::fprintf(stderr, "hyperpod-bench: %s cannot be written\n", arguments.json.c_str());
    return 1;
  }
  if (!arguments.plots.empty()) {
    if (auto written = write_plots(report, arguments.plots); !written) {
      std::fprintf(stderr, "hyperpod-bench: %s\n", written.error().message.c_str());
      return 1;
    }
  }
  return all_measured ? 0 : 1;
}

int parse_and_run(int count, char** values) {
  const std::vector<Row> rows = all_rows();
  std::vector<std::string> ids(rows.size());
  std::ranges::transform(rows, ids.begin(), &Row::id);

  Arguments arguments;
  double seconds = 1;
  CLI::App app("Measures the emulator against its bounds and its comparators, over loopback",
               "hyperpod-bench");
  app.set_version_flag("--version", "hyperpod-bench " HYPERPOD_VERSION,
                       "Print the version and exit");
  app.add_option("--only", arguments.only, "Rows to measure; all if none is named")
      ->check(CLI::IsMember(ids));
  app.add_option("--seconds", seconds, "How long each server is measured in a round")
      ->check([](const std::string& given) { return base::number_problem(given, 0.05, 60); })
      ->capture_default_str();
  app.add_option("--rounds", arguments.settings.rounds, "How often the servers compared take turns")
      ->check(CLI::Range(1, 100))
      ->capture_default_str();
  app.add_option("--json", arguments.json, "Where to write the report as JSON");
  app.add_option("--plots", arguments.plots,
                 "A folder for drawings of what was measured, as docs/performance.md shows them")
      ->check(CLI::ExistingDirectory);
  app.add_option("--nginx", arguments.settings.nginx,
                 "The nginx program; searched for if not given");
  const base::Arguments given(count, values);
  try {
    app.parse(given.count(), given.values());
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  arguments.settings.slice = std::chrono::milliseconds(std::lround(seconds * 1000));
  base::raise_descriptor_limit();
  return run(rows, arguments);
}

}  // namespace
}  // namespace hyperpod::bench

int main(int count, char** values) { return hyperpod::bench::parse_and_run(count, values); }
