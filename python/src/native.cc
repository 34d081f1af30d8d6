// SPDX-License-Identifier: Apache-2.0
// hyperpod_kv._native: hyperpod::client for Python. hyperpod_kv/client.py is its public face.
//
// The GIL is released while anything waits or is copied. Asynchronous calls report to a
// Completions object, which an event loop watches by its descriptor: no thread of Python's is used.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/client/client.h"
#include "hyperpod/client/config.h"

namespace py = pybind11;

namespace {

namespace client = hyperpod::client;
using client::Error;
using client::ErrorCode;
using client::Result;

py::object exception_of(const Error& error) {
  return py::module_::import("hyperpod_kv.errors")
      .attr("from_code")(client::to_string(error.code), error.message, error.status);
}

[[noreturn]] void raise(const Error& error) {
  const py::object exception = exception_of(error);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw py::error_already_set();
}

template <class T>
T value_of(Result<T> result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// The bytes of an object that speaks the buffer protocol, held. Made and destroyed with the GIL.
class Buffer {
 public:
  Buffer(const py::object& object, bool writable) {
    const int flags = writable ? PyBUF_CONTIG : PyBUF_CONTIG_RO;
    if (PyObject_GetBuffer(object.ptr(), &view_, flags) != 0) throw py::error_already_set();
  }
  Buffer(Buffer&& other) noexcept : view_(std::exchange(other.view_, Py_buffer{})) {}
  Buffer& operator=(Buffer&&) = delete;
  ~Buffer() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
  }

  std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }

 private:
  Py_buffer view_{};
};

/// Keys are text (as UTF-8) or bytes.
std::string key_of(const py::object& key) {
  if (py::isinstance<py::str>(key) || py::isinstance<py::bytes>(key))
    return key.cast<std::string>();
  raise({ErrorCode::invalid_argument, "a key must be str or bytes"});
}

std::vector<std::string> keys_of(const py::iterable& keys) {
  std::vector<std::string> all;
  for (const py::handle key : keys) all.push_back(key_of(py::reinterpret_borrow<py::object>(key)));
  return all;
}

/// `wait` is seconds, or None.
client::ReadOptions read_options(const std::optional<double>& wait) {
  if (!wait) return {};
  if (!(*wait >= 0 && *wait <= 86400)) {
    raise({ErrorCode::invalid_argument, "wait must be from 0 to 86400 seconds"});
  }
  return {.wait =
              std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(*wait))};
}

// --- Leases -------------------------------------------------------------------------------------

/// A lease and how many views of its bytes are held.
struct HeldLease {
  explicit HeldLease(client::Lease granted) : lease(std::move(granted)) {}
  ~HeldLease() {
    // Its destructor may wait for the daemon.
    const py::gil_scoped_release released;
    lease.reset();
  }

  std::optional<client::Lease> lease;
  std::size_t views = 0;  // under the GIL
};

/// Exports one fragment of a lease through the buffer protocol.
struct FragmentObject {
  PyObject_HEAD std::shared_ptr<HeldLease>* held;
  std::span<const std::byte> bytes;
};

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  auto* fragment = reinterpret_cast<FragmentObject*>(self);
  const auto bytes = fragment->bytes;
  const int filled = PyBuffer_FillInfo(view, self, const_cast<std::byte*>(bytes.data()),
                                       static_cast<Py_ssize_t>(bytes.size()), 1, flags);
  if (filled == 0) ++(*fragment->held)->views;
  return filled;
}

void release_buffer(PyObject* self, Py_buffer* /*view*/) {
  --(*reinterpret_cast<FragmentObject*>(self)->held)->views;
}

void destroy_fragment(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  delete reinterpret_cast<FragmentObject*>(self)->held;
  type->tp_free(self);
  Py_DECREF(type);
}

PyTypeObject* fragment_type() {
  static PyTypeObject* const type = [] {
    static PyType_Slot slots[] = {
        {Py_tp_dealloc, reinterpret_cast<void*>(destroy_fragment)},
        {Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
        {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
        {0, nullptr},
    };
    static PyType_Spec spec{.name = "hyperpod_kv._native.Fragment",
                            .basicsize = sizeof(FragmentObject),
                            .itemsize = 0,
                            .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                            .slots = slots};
    return reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  }();
  return type;
}

py::object view_of(const std::shared_ptr<HeldLease>& held, std::span<const std::byte> bytes) {
  PyTypeObject* const type = fragment_type();
  auto* const fragment = reinterpret_cast<FragmentObject*>(type->tp_alloc(type, 0));
  if (fragment == nullptr) throw py::error_already_set();
  fragment->held = new std::shared_ptr<HeldLease>(held);
  fragment->bytes = bytes;
  const auto owner = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(fragment));
  PyObject* const view = PyMemoryView_FromObject(owner.ptr());
  if (view == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(view);
}

class Lease {
 public:
  explicit Lease(client::Lease granted) : held_(std::make_shared<HeldLease>(std::move(granted))) {}

  client::Lease& lease() const {
    if (!held_->lease) raise({ErrorCode::lease_expired, "the lease has been released"});
    return *held_->lease;
  }
  bool released() const { return !held_->lease; }

  std::string id() const { return lease().id(); }
  std::uint64_t size() const { return lease().size(); }
  double time_left() const {
    return released() ? 0.0 : std::chrono::duration<double>(lease().time_left()).count();
  }
  bool valid() const { return !released() && lease().is_valid(); }

  py::list fragments() const {
    if (!lease().is_valid()) {
      raise({ErrorCode::lease_expired, "the lease has expired; what it showed may be overwritten"});
    }
    py::list views;
    for (const auto fragment : lease().fragments()) views.append(view_of(held_, fragment));
    return views;
  }

  py::bytes read(std::uint64_t offset, const std::optional<std::uint64_t>& size) const {
    const std::uint64_t all = lease().size();
    if (offset > all) raise({ErrorCode::invalid_argument, "the offset is behind the object's end"});
    const std::uint64_t wanted = std::min(size.value_or(all - offset), all - offset);
    py::bytes bytes = allocate(wanted);
    copy(span_of(bytes), offset);
    return bytes;
  }

  std::uint64_t read_into(const py::object& destination, std::uint64_t offset) const {
    const Buffer buffer(destination, true);
    const std::uint64_t all = lease().size();
    if (offset > all) raise({ErrorCode::invalid_argument, "the offset is behind the object's end"});
    const auto into =
        buffer.bytes().first(std::min<std::uint64_t>(buffer.bytes().size(), all - offset));
    copy(into, offset);
    return into.size();
  }

  void refuse_while_viewed() const {
    if (held_->views == 0) return;
    const py::object type = py::module_::import("hyperpod_kv.errors").attr("ViewsHeld");
    PyErr_Format(type.ptr(), "%zu views of the lease's bytes are still held; release them first",
                 held_->views);
    throw py::error_already_set();
  }

  void release() const {
    if (released()) return;
    refuse_while_viewed();
    Result<void> ended;
    {
      const py::gil_scoped_release waiting;
      ended = held_->lease->release();
      held_->lease.reset();
    }
    value_of(std::move(ended));
  }

  static py::bytes allocate(std::uint64_t size) {
    PyObject* const bytes = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(size));
    if (bytes == nullptr) throw py::error_already_set();
    return py::reinterpret_steal<py::bytes>(bytes);
  }
  static std::span<std::byte> span_of(const py::bytes& bytes) {
    return {reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.ptr())),
            static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
  }

  void copy(std::span<std::byte> into, std::uint64_t offset) const {
    Result<void> copied;
    {
      const py::gil_scoped_release copying;
      copied = lease_without_gil().copy_to(into, offset);
    }
    value_of(std::move(copied));
  }

  std::shared_ptr<HeldLease> held() const { return held_; }

 private:
  client::Lease& lease_without_gil() const { return *held_->lease; }

  std::shared_ptr<HeldLease> held_;
};

/// The object's bytes, or None where the lease ended before they were read.
py::object bytes_of(client::Lease granted) {
  py::bytes bytes = Lease::allocate(granted.size());
  Result<void> copied;
  {
    const py::gil_scoped_release copying;
    copied = granted.copy_to(Lease::span_of(bytes));
    const client::Lease released = std::move(granted);
  }
  if (copied) return bytes;
  if (copied.error().code == ErrorCode::lease_expired) return py::none();
  raise(copied.error());
}

// --- Completions --------------------------------------------------------------------------------

/// How an asynchronous call ended, to be turned into a Python object with the GIL held.
class Outcome {
 public:
  virtual ~Outcome() = default;
  virtual py::object value() = 0;  ///< May raise.
};

/// The calls of one event loop that have ended and that it does not know of yet.
class Completions : public std::enable_shared_from_this<Completions> {
 public:
  Completions() : event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    if (!event_) raise({ErrorCode::out_of_resources, "no descriptor is left for an event loop"});
  }

  // The last to let go may be the client's I/O thread.
  ~Completions() {
    if (ended_.empty() || !Py_IsInitialized()) return;
    const py::gil_scoped_acquire held;
    ended_.clear();
  }

  int fileno() const { return event_.get(); }

  /// Any thread, without the GIL.
  void add(std::uint64_t token, std::unique_ptr<Outcome> outcome) {
    bool first = false;
    {
      std::lock_guard lock(mutex_);
      first = ended_.empty();
      ended_.emplace_back(token, std::move(outcome));
    }
    if (first) ::eventfd_write(event_.get(), 1);
  }

  /// Calls `done(token, error, value)` for each call that has ended; one of the two is None.
  void drain(const py::function& done) {
    eventfd_t ignored = 0;
    ::eventfd_read(event_.get(), &ignored);
    std::vector<std::pair<std::uint64_t, std::unique_ptr<Outcome>>> ended;
    {
      std::lock_guard lock(mutex_);
      ended.swap(ended_);
    }
    for (auto& [token, outcome] : ended) {
      py::object value = py::none();
      py::object error = py::none();
      try {
        value = outcome->value();
      } catch (py::error_already_set& raised) {
        error = raised.value();
      }
      outcome.reset();
      done(token, error, value);
    }
  }

 private:
  const hyperpod::base::FileDescriptor event_;
  std::mutex mutex_;
  std::vector<std::pair<std::uint64_t, std::unique_ptr<Outcome>>> ended_;
};

/// Makes a handler that reports to `to`. `convert` turns the outcome into a Python object; `kept`
/// lives until it has been called.
template <class T, class Convert, class Kept>
client::Handler<T> report(std::shared_ptr<Completions> to, std::uint64_t token, Convert convert,
                          Kept kept) {
  struct Ended final : Outcome {
    Ended(T value, Convert f, Kept k)
        : outcome(std::move(value)), convert(std::move(f)), kept(std::move(k)) {}
    py::object value() override { return convert(std::move(outcome)); }
    T outcome;
    Convert convert;
    Kept kept;
  };
  return [to = std::move(to), token, convert = std::move(convert),
          kept = std::move(kept)](T outcome) mutable {
    to->add(token,
            std::make_unique<Ended>(std::move(outcome), std::move(convert), std::move(kept)));
  };
}

struct Nothing {};

// --- Outcomes as Python objects -----------------------------------------------------------------

py::object put_result(Result<client::PutOutcome> outcome) {
  return py::bool_(value_of(std::move(outcome)) == client::PutOutcome::stored);
}

py::object size_result(Result<client::GetOutcome> outcome) {
  const client::GetOutcome got = value_of(std::move(outcome));
  return got.is_hit() ? py::object(py::int_(got.size)) : py::none();
}

py::object lease_result(Result<std::optional<client::Lease>> outcome) {
  auto lease = value_of(std::move(outcome));
  if (!lease) return py::none();
  return py::cast(Lease(*std::move(lease)));
}

py::object bytes_result(Result<std::optional<client::Lease>> outcome) {
  auto lease = value_of(std::move(outcome));
  if (!lease) return py::none();
  return bytes_of(*std::move(lease));
}

/// Of a batch: errors stand in the list in place of what failed.
template <class T, class Convert>
py::list list_of(std::vector<Result<T>> outcomes, Convert convert) {
  py::list all;
  for (auto& outcome : outcomes) {
    all.append(outcome ? convert(std::move(outcome)) : exception_of(outcome.error()));
  }
  return all;
}

// --- The client ---------------------------------------------------------------------------------

client::ChunkLayout layout_of(
    std::int32_t format,
    const std::vector<std::pair<std::int32_t, std::array<std::int32_t, 4>>>& groups) {
  client::ChunkLayout layout{.format = static_cast<client::MemoryFormat>(format), .groups = {}};
  for (const auto& [type, shape] : groups) {
    layout.groups.push_back({static_cast<client::ElementType>(type), shape});
  }
  return layout;
}

class Client {
 public:
  explicit Client(client::ClientOptions options) {
    Result<client::Client> made = [&] {
      const py::gil_scoped_release connecting;
      return client::Client::create(std::move(options));
    }();
    client_ = std::make_unique<client::Client>(value_of(std::move(made)));
  }
  ~Client() {
    const py::gil_scoped_release closing;
    client_.reset();
  }

  template <class Call>
  auto waiting(Call call) {
    const py::gil_scoped_release released;
    return call(*client_);
  }

  py::object put(const py::object& key, const py::object& object) {
    const std::string name = key_of(key);
    const Buffer buffer(object, false);
    return put_result(waiting([&](client::Client& c) { return c.put(name, buffer.bytes()); }));
  }
  py::object get(const py::object& key, const std::optional<double>& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    return bytes_result(waiting([&](client::Client& c) { return c.acquire(name, read); }));
  }
  py::object get_into(const py::object& key, const py::object& into,
                      const std::optional<double>& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    const Buffer buffer(into, true);
    return size_result(
        waiting([&](client::Client& c) { return c.get(name, buffer.bytes(), read); }));
  }
  py::object acquire(const py::object& key, const std::optional<double>& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    return lease_result(waiting([&](client::Client& c) { return c.acquire(name, read); }));
  }
  bool exists(const py::object& key, const std::optional<double>& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    return value_of(waiting([&](client::Client& c) { return c.exists(name, read); }));
  }

  py::list batched_get(const py::iterable& keys, const std::optional<double>& wait) {
    const std::vector<std::string> names = keys_of(keys);
    const auto read = read_options(wait);
    // No buffer can be made before the sizes are known, so that the leases are taken first.
    auto leases = waiting([&](client::Client& c) {
      std::vector<Result<std::optional<client::Lease>>> all(names.size());
      std::mutex mutex;
      std::condition_variable ended;
      std::size_t left = names.size();
      for (std::size_t i = 0; i < names.size(); ++i) {
        c.async_acquire(
            names[i],
            [&, i](Result<std::optional<client::Lease>> lease) {
              std::lock_guard lock(mutex);
              all[i] = std::move(lease);
              if (--left == 0) ended.notify_all();
            },
            read);
      }
      std::unique_lock lock(mutex);
      ended.wait(lock, [&] { return left == 0; });
      return all;
    });
    return list_of(std::move(leases), bytes_result);
  }
  py::list batched_get_into(const std::vector<std::pair<py::object, py::object>>& items,
                            const std::optional<double>& wait) {
    const GetBatch batch(items);
    const auto read = read_options(wait);
    return list_of(waiting([&](client::Client& c) { return c.batched_get(batch.items, read); }),
                   size_result);
  }
  py::list batched_put(const std::vector<std::pair<py::object, py::object>>& items) {
    const PutBatch batch(items);
    return list_of(waiting([&](client::Client& c) { return c.batched_put(batch.items); }),
                   put_result);
  }
  std::size_t batched_contains(const py::iterable& keys, const std::optional<double>& wait) {
    const auto names = keys_of(keys);
    const auto read = read_options(wait);
    return count_of(waiting([&](client::Client& c) { return c.batched_contains(names, read); }));
  }

  using To = std::shared_ptr<Completions>;

  client::Call start_put(const To& to, std::uint64_t token, const py::object& key,
                         const py::object& object) {
    Buffer buffer(object, false);
    const auto bytes = buffer.bytes();
    return client_->async_put(
        key_of(key), bytes,
        report<Result<client::PutOutcome>>(to, token, put_result, std::move(buffer)));
  }
  client::Call start_put_chunk(
      const To& to, std::uint64_t token, const py::object& key, const py::object& payload,
      std::int32_t format,
      const std::vector<std::pair<std::int32_t, std::array<std::int32_t, 4>>>& groups) {
    struct Kept {
      std::unique_ptr<std::string> key;
      Buffer buffer;
    };
    Kept kept{std::make_unique<std::string>(key_of(key)), Buffer(payload, false)};
    std::vector<client::PutItem> items{
        {.key = *kept.key, .bytes = kept.buffer.bytes(), .layout = layout_of(format, groups)}};
    return client_->async_batched_put(std::move(items),
                                      report<std::vector<Result<client::PutOutcome>>>(
                                          to, token,
                                          [](std::vector<Result<client::PutOutcome>> outcomes) {
                                            return put_result(std::move(outcomes.front()));
                                          },
                                          std::move(kept)));
  }
  client::Call start_get(const To& to, std::uint64_t token, const py::object& key,
                         const std::optional<double>& wait) {
    return client_->async_acquire(
        key_of(key),
        report<Result<std::optional<client::Lease>>>(to, token, bytes_result, Nothing{}),
        read_options(wait));
  }
  client::Call start_get_into(const To& to, std::uint64_t token, const py::object& key,
                              const py::object& into, const std::optional<double>& wait) {
    Buffer buffer(into, true);
    const auto bytes = buffer.bytes();
    return client_->async_get(
        key_of(key), bytes,
        report<Result<client::GetOutcome>>(to, token, size_result, std::move(buffer)),
        read_options(wait));
  }
  client::Call start_acquire(const To& to, std::uint64_t token, const py::object& key,
                             const std::optional<double>& wait) {
    return client_->async_acquire(
        key_of(key),
        report<Result<std::optional<client::Lease>>>(to, token, lease_result, Nothing{}),
        read_options(wait));
  }
  client::Call start_exists(const To& to, std::uint64_t token, const py::object& key,
                            const std::optional<double>& wait) {
    return client_->async_exists(
        key_of(key),
        report<Result<bool>>(
            to, token,
            [](Result<bool> there) -> py::object { return py::bool_(value_of(std::move(there))); },
            Nothing{}),
        read_options(wait));
  }
  client::Call start_batched_get_into(const To& to, std::uint64_t token,
                                      const std::vector<std::pair<py::object, py::object>>& items,
                                      const std::optional<double>& wait) {
    auto batch = std::make_unique<GetBatch>(items);
    auto copies = batch->items;
    return client_->async_batched_get(
        std::move(copies),
        report<std::vector<Result<client::GetOutcome>>>(
            to, token,
            [](std::vector<Result<client::GetOutcome>> outcomes) -> py::object {
              return list_of(std::move(outcomes), size_result);
            },
            std::move(batch)),
        read_options(wait));
  }
  client::Call start_batched_put(const To& to, std::uint64_t token,
                                 const std::vector<std::pair<py::object, py::object>>& items) {
    auto batch = std::make_unique<PutBatch>(items);
    auto copies = batch->items;
    return client_->async_batched_put(
        std::move(copies), report<std::vector<Result<client::PutOutcome>>>(
                               to, token,
                               [](std::vector<Result<client::PutOutcome>> outcomes) -> py::object {
                                 return list_of(std::move(outcomes), put_result);
                               },
                               std::move(batch)));
  }
  client::Call start_batched_contains(const To& to, std::uint64_t token, const py::iterable& keys,
                                      const std::optional<double>& wait) {
    return client_->async_batched_contains(keys_of(keys),
                                           report<client::ContainsOutcome>(
                                               to, token,
                                               [](client::ContainsOutcome outcome) -> py::object {
                                                 return py::int_(count_of(std::move(outcome)));
                                               },
                                               Nothing{}),
                                           read_options(wait));
  }

  void close() {
    waiting([](client::Client& c) { c.close(); });
  }

  py::dict statistics() const {
    const client::Statistics now = client_->statistics();
    py::dict all;
    all["get_success"] = now.get_success;
    all["get_failure"] = now.get_failure;
    all["get_miss"] = now.get_miss;
    all["put_success"] = now.put_success;
    all["put_failure"] = now.put_failure;
    all["lease_acquired"] = now.lease_acquired;
    all["lease_released"] = now.lease_released;
    all["lease_release_failed"] = now.lease_release_failed;
    all["lease_lost"] = now.lease_lost;
    all["requests_repeated"] = now.requests_repeated;
    all["leases_repeated"] = now.leases_repeated;
    all["requests_in_flight"] = now.requests_in_flight;
    all["requests_queued"] = now.requests_queued;
    all["connections_open"] = now.connections_open;
    return all;
  }

 private:
  struct GetBatch {
    explicit GetBatch(const std::vector<std::pair<py::object, py::object>>& from) {
      for (const auto& [key, into] : from) {
        keys.push_back(key_of(key));
        buffers.emplace_back(into, true);
        items.push_back({.key = keys.back(), .buffer = buffers.back().bytes()});
      }
    }
    std::deque<std::string> keys;
    std::deque<Buffer> buffers;
    std::vector<client::GetItem> items;
  };
  struct PutBatch {
    explicit PutBatch(const std::vector<std::pair<py::object, py::object>>& from) {
      for (const auto& [key, object] : from) {
        keys.push_back(key_of(key));
        buffers.emplace_back(object, false);
        items.push_back({.key = keys.back(), .bytes = buffers.back().bytes()});
      }
    }
    std::deque<std::string> keys;
    std::deque<Buffer> buffers;
    std::vector<client::PutItem> items;
  };

  static std::size_t count_of(client::ContainsOutcome outcome) {
    if (outcome.error) raise(*outcome.error);
    return outcome.hits;
  }

  std::unique_ptr<client::Client> client_;
};

client::ClientOptions options_of(const py::dict& given) {
  client::ClientOptions options;
  const auto seconds = [](const py::handle& value) {
    return std::chrono::nanoseconds(std::llround(value.cast<double>() * 1e9));
  };
  const auto milliseconds = [&](const py::handle& value) {
    return std::chrono::ceil<std::chrono::milliseconds>(seconds(value));
  };
  for (const auto& [key, value] : given) {
    const std::string name = key.cast<std::string>();
    if (name == "url") {
      options.remote_url = value.cast<std::string>();
    } else if (name == "bucket") {
      options.bucket = value.cast<std::string>();
    } else if (name == "shared_memory_name") {
      options.shared_memory_name = value.cast<std::optional<std::string>>();
    } else if (name == "max_concurrent_requests") {
      options.max_concurrent_requests = value.cast<std::uint32_t>();
    } else if (name == "max_connections") {
      options.max_connections = value.cast<std::uint32_t>();
    } else if (name == "max_connections_per_host") {
      options.max_connections_per_host = value.cast<std::uint32_t>();
    } else if (name == "timeout") {
      options.timeout = milliseconds(value);
    } else if (name == "lease_wait_timeout") {
      if (!value.is_none()) options.lease_wait_timeout = milliseconds(value);
    } else if (name == "lease_ttl") {
      options.lease_ttl = seconds(value);
    } else if (name == "put_stream_chunk_bytes") {
      options.put_stream_chunk_bytes = value.cast<std::uint64_t>();
    } else if (name == "max_lease_bytes") {
      options.max_lease_bytes = value.cast<std::optional<std::uint64_t>>();
    } else if (name == "use_https") {
      options.use_https = value.cast<bool>();
    } else if (name == "save_chunk_meta") {
      options.save_chunk_meta = value.cast<bool>();
    } else if (name == "ca_file") {
      options.tls.ca_file = value.cast<std::string>();
    } else if (name == "verify_server") {
      options.tls.verify_server = value.cast<bool>();
    } else if (name == "copy_threads") {
      options.copy_threads = value.cast<std::uint32_t>();
    } else {
      raise({ErrorCode::invalid_option, "there is no option '" + name + "'"});
    }
  }
  return options;
}

}  // namespace

PYBIND11_MODULE(_native, module) {
  module.doc() = "hyperpod::client for Python; use hyperpod_kv.Client.";
  const auto no_wait = py::arg("wait") = py::none();

  py::class_<client::Call>(module, "Call").def("cancel", &client::Call::cancel);

  py::class_<Completions, std::shared_ptr<Completions>>(module, "Completions")
      .def(py::init<>())
      .def("fileno", &Completions::fileno)
      .def("drain", &Completions::drain);

  py::class_<Lease>(module, "Lease")
      .def_property_readonly("id", &Lease::id)
      .def_property_readonly("size", &Lease::size)
      .def_property_readonly("time_left", &Lease::time_left)
      .def_property_readonly("valid", &Lease::valid)
      .def_property_readonly("fragments", &Lease::fragments)
      .def("read", &Lease::read, py::arg("offset") = 0, py::arg("size") = py::none())
      .def("read_into", &Lease::read_into, py::arg("buffer"), py::arg("offset") = 0)
      .def("release", &Lease::release)
      .def("__len__", &Lease::size)
      .def("__enter__", [](const py::object& self) { return self; })
      .def("__exit__", [](const Lease& self, const py::args&) { self.release(); });

  py::class_<Client>(module, "Client")
      .def(py::init(
          [](const py::dict& options) { return std::make_unique<Client>(options_of(options)); }))
      .def_static("from_config",
                  [](const std::optional<std::string>& path, const py::dict& environment) {
                    const auto variables = environment.cast<std::map<std::string, std::string>>();
                    auto loaded = value_of(client::load_options(
                        path, [&](const std::string& name) -> std::optional<std::string> {
                          const auto found = variables.find(name);
                          if (found == variables.end()) return std::nullopt;
                          return found->second;
                        }));
                    return std::make_unique<Client>(std::move(loaded.options));
                  })
      .def("put", &Client::put)
      .def("get", &Client::get, py::arg("key"), no_wait)
      .def("get_into", &Client::get_into, py::arg("key"), py::arg("buffer"), no_wait)
      .def("acquire", &Client::acquire, py::arg("key"), no_wait)
      .def("exists", &Client::exists, py::arg("key"), no_wait)
      .def("batched_get", &Client::batched_get, py::arg("keys"), no_wait)
      .def("batched_get_into", &Client::batched_get_into, py::arg("items"), no_wait)
      .def("batched_put", &Client::batched_put)
      .def("batched_contains", &Client::batched_contains, py::arg("keys"), no_wait)
      .def("start_put", &Client::start_put)
      .def("start_put_chunk", &Client::start_put_chunk)
      .def("start_get", &Client::start_get)
      .def("start_get_into", &Client::start_get_into)
      .def("start_acquire", &Client::start_acquire)
      .def("start_exists", &Client::start_exists)
      .def("start_batched_get_into", &Client::start_batched_get_into)
      .def("start_batched_put", &Client::start_batched_put)
      .def("start_batched_contains", &Client::start_batched_contains)
      .def("close", &Client::close)
      .def("statistics", &Client::statistics);
}
