// Starting and stopping in-process, beside what the kernel takes for the segment alone: its pages
// are zeroed at the start and given back at the end, whoever asks for it.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "file_descriptor.h"
#include "hyperpod/emulator/emulator.h"
#include "report.h"
#include "rows/comparison.h"
#include "rows/rows.h"

namespace hyperpod::bench {
namespace {

using std::chrono::steady_clock;

constexpr std::uint64_t segment_bytes = 64ull << 20;
constexpr double bound_milliseconds = 10;
constexpr unsigned starts_a_round = 5;

double milliseconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

Result<double> start_and_stop_emulator() {
  emulator::Options options = emulator::Options::for_test();
  options.capacity = segment_bytes;
  const auto start = steady_clock::now();
  {
    auto emulator = emulator::Emulator::start(std::move(options));
    if (!emulator) return failure(emulator.error().message);
    emulator->stop();
  }
  return milliseconds_since(start);
}

Result<double> reserve_and_free_segment() {
  const std::string name = "/hyperpod-bench-" + std::to_string(::getpid());
  const auto start = steady_clock::now();
  {
    const FileDescriptor segment(::shm_open(name.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600));
    if (!segment) return system_failure("no segment could be created");
    const bool reserved = ::posix_fallocate(segment.get(), 0, segment_bytes) == 0;
    void* mapping =
        ::mmap(nullptr, segment_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, segment.get(), 0);
    if (mapping != MAP_FAILED) ::munmap(mapping, segment_bytes);
    ::shm_unlink(name.c_str());
    if (!reserved) return failure("/dev/shm has no room for a segment of 64 MiB");
  }
  return milliseconds_since(start);
}

Result<Finding> measure(const Settings& settings) {
  const auto comparison =
      compare(settings.rounds * starts_a_round, start_and_stop_emulator, reserve_and_free_segment);
  if (!comparison) return tl::unexpected(comparison.error());
  const double ours = median(comparison->ours);
  const double kernel = median(comparison->theirs);
  nlohmann::json details = comparison->details();
  details["unit"] = "ms";
  return Finding{ours < bound_milliseconds, fixed(ours, 2) + " ms",
                 "kernel alone " + fixed(kernel, 2) + " ms", "+ " + fixed(ours - kernel, 2) + " ms",
                 std::move(details)};
}

}  // namespace

Row start_and_stop() {
  return {"start-stop", "in-process start and stop, 64 MiB segment", "< 10 ms", measure};
}

}  // namespace hyperpod::bench
