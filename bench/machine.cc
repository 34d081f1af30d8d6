// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>

namespace hyperpod::bench {
namespace {

using Seconds = std::chrono::duration<double>;

// The first line of /proc/stat: time of all cores, by what they did.
Seconds machine_busy() {
  std::ifstream file("/proc/stat");
  std::string label;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0, stolen = 0;
  file >> label >> user >> nice >> system >> idle >> waiting >> irq >> softirq >> stolen;
  const double ticks = user + nice + system + irq + softirq + stolen;
  return Seconds(ticks / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

Seconds used_by(int whom) {
  rusage usage{};
  ::getrusage(whom, &usage);
  const auto seconds = [](const timeval& time) {
    return Seconds(static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6);
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

Seconds own_busy() { return used_by(RUSAGE_SELF) + used_by(RUSAGE_CHILDREN); }

unsigned cores() { return std::max(1u, std::thread::hardware_concurrency()); }

}  // namespace

nlohmann::json machine_report() {
  utsname system{};
  ::uname(&system);
  return {{"cores", cores()}, {"kernel", system.release}, {"architecture", system.machine}};
}

OtherPrograms::OtherPrograms()
    : machine_(machine_busy()), own_(own_busy()), start_(std::chrono::steady_clock::now()) {}

double OtherPrograms::share() const {
  const Seconds elapsed = std::chrono::steady_clock::now() - start_;
  const Seconds others = (machine_busy() - machine_) - (own_busy() - own_);
  return std::clamp(others / elapsed / cores(), 0.0, 1.0);
}

}  // namespace hyperpod::bench
