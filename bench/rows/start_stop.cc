// SPDX-License-Identifier: Apache-2.0
// Starting and stopping in-process as tests do it, with Options::for_test(): the segment is
// reserved as it is used. Beside it the same with the segment reserved whole at start, as the
// program does: the difference is the kernel's time for its pages.
#include "hyperpod/emulator/emulator.h"
#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"

namespace hyperpod::bench {
namespace {
namespace start_stop {

using std::chrono::steady_clock;

constexpr std::uint64_t segment_bytes = 64ull << 20;
constexpr double bound_milliseconds = 10;
constexpr unsigned starts_a_round = 5;

double milliseconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

Result<double> start_and_stop(emulator::Reserve reserve) {
  emulator::Options options = emulator::Options::for_test();
  options.capacity = segment_bytes;
  options.reserve = reserve;
  const auto start = steady_clock::now();
  {
    auto emulator = emulator::Emulator::start(std::move(options));
    if (!emulator) return failure(emulator.error().message);
    emulator->stop();
  }
  return milliseconds_since(start);
}

Result<Finding> measure(const Settings& settings) {
  const auto as_in_tests = emulator::Options::for_test().reserve;
  const auto comparison = compare(
      settings.rounds * starts_a_round, [&] { return start_and_stop(as_in_tests); },
      [] { return start_and_stop(emulator::Reserve::whole); });
  if (!comparison) return tl::unexpected(comparison.error());
  const double ours = median(comparison->ours);
  const double whole = median(comparison->theirs);
  nlohmann::json details = comparison->details();
  details["unit"] = "ms";
  return Finding{ours < bound_milliseconds, fixed(ours, 2) + " ms",
                 "whole at start " + fixed(whole, 1) + " ms", fixed(ours, 2) + " ms",
                 std::move(details)};
}

}  // namespace start_stop
}  // namespace

Row start_and_stop() {
  using namespace start_stop;
  return {"start-stop", "in-process start and stop, 64 MiB, for_test()", "< 10 ms", measure};
}

}  // namespace hyperpod::bench
