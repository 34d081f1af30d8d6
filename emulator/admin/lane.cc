// SPDX-License-Identifier: Apache-2.0
#include "admin/lane.h"

#include <pthread.h>

namespace hyperpod::emulator::admin {

Lane::Lane(const std::string& name) : thread_([this] { io_.run(); }) {
  ::pthread_setname_np(thread_.native_handle(), name.c_str());
}

Lane::~Lane() {
  work_.reset();
  thread_.join();
}

}  // namespace hyperpod::emulator::admin
