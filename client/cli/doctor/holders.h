// SPDX-License-Identifier: Apache-2.0
// Which processes of this machine map a shared-memory segment, as far as this one may look.
#pragma once

#include <string>
#include <vector>

namespace hyperpod::client::cli::doctor {

struct Holder {
  std::string pid;
  std::string program;
  bool unlinked;  ///< The segment that it maps has lost its name.
};

/// The processes in `proc` (/proc) that map /dev/shm/`name`, be it this machine's or a container's.
/// Those whose maps may not be read are left out.
std::vector<Holder> find_holders(const std::string& proc, const std::string& name);

}  // namespace hyperpod::client::cli::doctor
