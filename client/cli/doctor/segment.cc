// SPDX-License-Identifier: Apache-2.0
// The segment: its file, whose it is, how it comes into this container, and whether it has room.
#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/doctor/checks.h"
#include "cli/doctor/holders.h"
#include "cli/doctor/mounts.h"

namespace hyperpod::client::cli::doctor {
namespace {

constexpr mode_t permission_bits = 07777;
constexpr std::uint64_t mebibyte = 1ull << 20;

constexpr const char* restart_daemon =
    "start the daemon; one whose segment was unlinked makes another only when it is restarted:\n"
    "  kubectl -n aws-hyperpod rollout restart daemonset/ai-toolkit";

constexpr const char* unlinked_by =
    "what unlinks segments: Python's resource tracker as an LMCache of before CPython 3.13 ends "
    "(LMCache issue 4234), and systemd-logind's RemoveIPC when the owner logs out of the node";

constexpr const char* one_shm =
    "a container sees a segment only in a /dev/shm that both share, and as the uid that owns it: "
    "`docker run --ipc=host --user UID` on both sides, `--ipc=container:NAME`, or run this in the "
    "daemon's container (`docker exec`)";

constexpr const char* neighbour_restarted =
    "if the daemon's container was restarted alone (`docker compose restart`), this one has kept "
    "the old /dev/shm: restart this one, too, or let a third container hold /dev/shm for both";

std::string size_text(std::uint64_t bytes) {
  if (bytes < mebibyte) return fmt::format("{} bytes", bytes);
  return fmt::format("{} MiB", bytes / mebibyte);
}

std::string owner_text(const struct stat& status) {
  return fmt::format("uid {}, mode {:04o}", status.st_uid, status.st_mode & permission_bits);
}

// How one file of /dev/shm is mounted on its own.
std::string file_mount(std::string_view name) {
  return fmt::format(
      "volumeMounts:\n"
      "  - {{name: dshm, mountPath: /dev/shm/{0}, subPath: {0}}}\n"
      "volumes:\n"
      "  - {{name: dshm, hostPath: {{path: /dev/shm}}}}",
      name);
}

class SegmentCheck {
 public:
  SegmentCheck(const Machine& machine, const std::string& name, bool daemon_responds,
               Report& report)
      : machine_(machine),
        name_(name),
        path_(machine.shm_directory + "/" + name),
        daemon_responds_(daemon_responds),
        report_(report) {
    std::ifstream file(machine.mountinfo);
    mounts_ = parse_mountinfo(std::string(std::istreambuf_iterator<char>(file), {}));
    in_container_ = machine.in_pod() || is_container(mounts_);
  }

  SegmentLook run() {
    SegmentLook look;
    struct stat status {};
    if (lstat(path_.c_str(), &status) != 0) {
      look.exposed = !in_container_;
      errno == ENOENT ? report_missing() : report_unreadable(errno, nullptr);
      return look;
    }
    if (S_ISDIR(status.st_mode)) {
      report_directory();
      return look;
    }
    look.exposed = check_mount();
    if (check_file(status)) look.identity = memory::SegmentIdentity{status.st_dev, status.st_ino};
    return look;
  }

 private:
  // What else lies there that could be the segment.
  std::vector<std::string> candidates() const {
    std::vector<std::string> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(machine_.shm_directory, error)) {
      const std::string name = entry.path().filename();
      // Semaphores, and the memory of Python's and NCCL's processes, which comes and goes.
      const bool is_others = name.starts_with('.') || name.starts_with("sem.") ||
                             name.starts_with("psm_") || name.starts_with("nccl-");
      struct stat status {};
      if (is_others || lstat(entry.path().c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
          static_cast<std::uint64_t>(status.st_size) < mebibyte) {
        continue;
      }
      found.push_back(name);
    }
    std::ranges::sort(found);
    return found;
  }

  std::string describe(const std::string& name) const {
    struct stat status {};
    if (lstat((machine_.shm_directory + "/" + name).c_str(), &status) != 0) return name;
    return fmt::format("{} ({}, {})", name, size_text(static_cast<std::uint64_t>(status.st_size)),
                       owner_text(status));
  }

  void report_missing() {
    if (report_holders()) return;
    const auto found = candidates();
    const nlohmann::json details = {{"candidates", found},
                                    {"in_container", in_container_},
                                    {"daemon_responds", daemon_responds_}};
    if (!found.empty()) {
      std::vector<std::string> described;
      described.reserve(found.size());
      for (const std::string& name : found) described.push_back(describe(name));
      report_.problem(
          "segment-other-name",
          fmt::format("there is no {}, but {}", path_, fmt::join(described, ", ")),
          fmt::format("if {} is the daemon's, name it: sagemaker_hyperpod_shared_memory_name: {}",
                      found.size() == 1 ? "that" : "one of them",
                      found.size() == 1 ? found.front() : "NAME"),
          details);
      return;
    }
    std::string remedy = restart_daemon;
    if (daemon_responds_ && in_container_) {
      remedy += fmt::format("\n{}\n{}", neighbour_restarted, one_shm);
    } else if (daemon_responds_) {
      remedy += fmt::format("\n{}\n{}", unlinked_by, one_shm);
    }
    if (in_container_) {
      remedy += "\nif the node has it, mount it here, which it must precede:\n" + file_mount(name_);
    }
    report_.problem("segment-missing",
                    fmt::format("there is no {}{}", path_,
                                daemon_responds_ ? ", though the daemon responds" : ""),
                    std::move(remedy), details);
  }

  // Says who maps a segment of that name that is not to be seen here; false if nobody does.
  bool report_holders() {
    const auto holders = find_holders(machine_.proc, name_);
    if (holders.empty()) return false;
    const auto unlinked = std::ranges::find(holders, true, &Holder::unlinked);
    const Holder& holder = unlinked == holders.end() ? holders.front() : *unlinked;
    const std::string who = fmt::format("process {} ({})", holder.pid, holder.program);
    const nlohmann::json details = {{"pid", holder.pid}, {"program", holder.program}};
    if (holder.unlinked) {
      report_.problem(
          "segment-vanished",
          fmt::format("{} was unlinked, and {} still has it: the daemon goes on granting leases to "
                      "memory that nobody can open any more",
                      path_, who),
          fmt::format("{}\n{}", restart_daemon, unlinked_by), details);
    } else {
      report_.problem(
          "segment-elsewhere",
          fmt::format("there is no {} here, but {} has one in a /dev/shm of its own, as "
                      "containers have",
                      path_, who),
          one_shm, details);
    }
    return true;
  }

  void report_directory() {
    std::error_code error;
    const bool is_empty = std::filesystem::is_empty(path_, error);
    const std::string text =
        fmt::format("{} is a directory, so that opening the segment fails (EINVAL)", path_);
    if (is_empty) {
      report_.problem("segment-directory", text,
                      "the kubelet makes one where a subPath does not exist when a pod starts: "
                      "remove it on the node (rmdir), start the daemon, then this pod; "
                      "`type: File` in the volume's hostPath makes pods wait instead");
    } else {
      report_.problem(
          "segment-directory", text,
          "a whole directory is mounted there, where the one file belongs:\n" + file_mount(name_));
    }
  }

  void report_unreadable(int error, const struct stat* status) {
    const std::string whose = status == nullptr
                                  ? ""
                                  : fmt::format("; it has {}, and this process runs as uid {}",
                                                owner_text(*status), geteuid());
    std::string remedy = "run as the user to whom the segment belongs";
    if (status != nullptr) {
      remedy += fmt::format(", in a pod with securityContext: {{runAsUser: {}}}", status->st_uid);
    }
    report_.problem("segment-unreadable",
                    fmt::format("{} cannot be read: {}{}", path_, std::strerror(error), whose),
                    std::move(remedy),
                    status == nullptr ? nlohmann::json::object()
                                      : nlohmann::json{{"uid", status->st_uid},
                                                       {"mode", status->st_mode & permission_bits},
                                                       {"our_uid", geteuid()}});
  }

  // Says how the segment comes here; true if whoever unlinks it here takes it from the node.
  bool check_mount() {
    const Mount* mount = mount_of(mounts_, path_);
    if (mount == nullptr) {
      report_.warning("mount-unknown",
                      fmt::format("{} does not tell how {} is mounted", machine_.mountinfo, path_),
                      "look at the volumes of this container yourself");
      return true;
    }
    const nlohmann::json details = {{"point", mount->point},
                                    {"root", mount->root},
                                    {"type", mount->type},
                                    {"source", mount->source}};
    if (mount->point == path_) {
      report_.ok(
          "mount-file",
          fmt::format("it is mounted on its own ({} of {}), so that nobody in here can unlink "
                      "it",
                      mount->root, mount->source),
          details);
      return false;
    }
    if (in_container_) {
      report_.warning(
          "mount-directory",
          fmt::format("all of {} is shared with the node or another container (hostIPC, or a "
                      "directory mount), so that whoever unlinks the segment in here takes it from "
                      "everybody",
                      mount->point),
          "mount the one file instead:\n" + file_mount(name_), details);
    } else {
      report_.ok("mount-host", fmt::format("it lies in this machine's own {}", mount->point),
                 details);
    }
    return true;
  }

  bool check_file(const struct stat& status) {
    if (!S_ISREG(status.st_mode)) {
      report_.problem("segment-no-file", fmt::format("{} is a link or a device", path_),
                      "put nothing but the daemon's segment there");
      return false;
    }
    if (status.st_nlink == 0) {
      report_.problem(
          "segment-unlinked",
          fmt::format("{} was unlinked on the node after it had been mounted here: the daemon was "
                      "restarted, or a client removed it",
                      path_),
          "restart this container, for a file mount keeps the old segment; before that the daemon, "
          "if the node has none:\n  kubectl -n aws-hyperpod rollout restart daemonset/ai-toolkit");
      return false;
    }
    const int fd = open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
      report_unreadable(errno, &status);
      return false;
    }
    close(fd);
    if (status.st_size == 0) {
      report_.problem(
          "segment-empty",
          fmt::format("{} is empty: the daemon is just creating it, or failed to", path_),
          "try again in a moment; if it stays so, look into the daemon's log");
      return false;
    }
    const auto size = static_cast<std::uint64_t>(status.st_size);
    report_.ok("segment",
               fmt::format("{}, {}, readable by us (uid {})", size_text(size), owner_text(status),
                           geteuid()),
               {{"bytes", size},
                {"uid", status.st_uid},
                {"mode", status.st_mode & permission_bits},
                {"our_uid", geteuid()},
                {"inode", status.st_ino}});
    check_session_manager(status);
    check_room(status);
    return true;
  }

  // In a container nothing tells what the node's session manager does.
  void check_session_manager(const struct stat& status) {
    if (in_container_ || !machine_.session_manager.removes_segments_of(status.st_uid)) return;
    report_.warning(
        "remove-ipc",
        fmt::format("systemd-logind removes the segment when uid {} logs out of this machine "
                    "(RemoveIPC=yes)",
                    status.st_uid),
        "write RemoveIPC=no into /etc/systemd/logind.conf and restart systemd-logind, or let the "
        "daemon run as a system user",
        {{"uid", status.st_uid}});
  }

  // A segment that was not reserved as a whole kills its daemon once memory has run out.
  void check_room(const struct stat& status) {
    struct statvfs filesystem {};
    if (statvfs(path_.c_str(), &filesystem) != 0) return;
    constexpr std::uint64_t sector = 512;
    const auto size = static_cast<std::uint64_t>(status.st_size);
    const std::uint64_t reserved = static_cast<std::uint64_t>(status.st_blocks) * sector;
    const std::uint64_t total = filesystem.f_blocks * filesystem.f_frsize;
    const std::uint64_t free = filesystem.f_bavail * filesystem.f_frsize;
    const nlohmann::json details = {
        {"segment", size}, {"reserved", reserved}, {"total", total}, {"free", free}};
    constexpr const char* remedy =
        "enlarge /dev/shm where the daemon runs (shm_size, `mount -o remount,size=…`), or lower "
        "the "
        "daemon's capacity";
    if (total != 0 && size > total) {  // 0: without bound
      report_.problem("shm-too-small",
                      fmt::format("the segment has {}, but {} has room for {}: the daemon dies of "
                                  "SIGBUS when it fills it",
                                  size_text(size), machine_.shm_directory, size_text(total)),
                      remedy, details);
    } else if (total != 0 && size > reserved && size - reserved > free) {
      report_.warning(
          "shm-short",
          fmt::format("{} of the segment are not reserved, and {} has only {} left",
                      size_text(size - reserved), machine_.shm_directory, size_text(free)),
          remedy, details);
    } else {
      report_.ok("shm-room",
                 fmt::format("{} has room for it: {} in all, {} free, {} of the segment reserved",
                             machine_.shm_directory, size_text(total), size_text(free),
                             size_text(std::min(reserved, size))),
                 details);
    }
  }

  const Machine& machine_;
  const std::string name_;
  const std::string path_;
  const bool daemon_responds_;
  Report& report_;
  std::vector<Mount> mounts_;
  bool in_container_ = false;
};

}  // namespace

SegmentLook check_segment(const Machine& machine, const std::string& name, bool daemon_responds,
                          Report& report) {
  return SegmentCheck(machine, name, daemon_responds, report).run();
}

}  // namespace hyperpod::client::cli::doctor
