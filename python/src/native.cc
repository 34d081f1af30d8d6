// SPDX-License-Identifier: Apache-2.0
// hyperpod_kv._native: hyperpod::client for Python. hyperpod_kv/client.py is its public face.
//
// The GIL is released while anything waits or is copied. Asynchronous calls report to a
// Completions object, which an event loop watches by its descriptor: no thread of Python's is used.
// The client's I/O thread never takes the GIL.
#include <cxxabi.h>
#include <pthread.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "hyperpod/base/file_descriptor.h"
#include "hyperpod/base/text.h"
#include "hyperpod/client/client.h"
#include "hyperpod/client/config.h"

namespace py = pybind11;

namespace {

namespace client = hyperpod::client;
using client::Error;
using client::ErrorCode;
using client::Result;

/// Text for people. It may quote what is not UTF-8, a path or a daemon's words, whose bytes are
/// then shown as \\xff.
py::str text_of(const std::string& text) {
  PyObject* const decoded =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "backslashreplace");
  if (decoded == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(decoded);
}

/// Runs what runs Python code or takes the GIL. Where the interpreter goes down, Python ends a
/// daemon thread in there by unwinding it, and destructors would use Python's objects without the
/// GIL. So the thread sleeps until the process ends, as it does by itself from Python 3.14 on.
/// `run` must own nothing.
template <class Run>
auto in_python(const Run& run) {
  try {
    return run();
  } catch (const abi::__forced_unwind&) {
    while (true) ::pause();
  }
}

template <class... Arguments>
py::object call(const py::object& function, const Arguments&... arguments) {
  PyObject* const result = in_python(
      [&] { return PyObject_CallFunctionObjArgs(function.ptr(), arguments.ptr()..., nullptr); });
  if (result == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

/// What is in `iterable`, whose iterator may be Python code.
py::list items_of(const py::iterable& iterable) {
  PyObject* const items = in_python([&] { return PySequence_List(iterable.ptr()); });
  if (items == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::list>(items);
}

py::object exception_of(const Error& error) {
  return call(py::module_::import("hyperpod_kv.errors").attr("from_code"),
              py::str(client::to_string(error.code)), text_of(error.message),
              py::int_(error.status));
}

[[noreturn]] void raise(const py::object& exception) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw py::error_already_set();
}

[[noreturn]] void raise(const Error& error) { raise(exception_of(error)); }

/// Raises a class of hyperpod_kv.errors.
[[noreturn]] void raise(const char* type, const std::string& message) {
  raise(call(py::module_::import("hyperpod_kv.errors").attr(type), text_of(message)));
}

/// The process that made an object. A child of fork() has neither the client's threads nor the
/// holders of its locks, so what waits for either asks here first.
class Maker {
 public:
  bool is_this_process() const { return process_ == ::getpid(); }

 private:
  const pid_t process_ = ::getpid();
};

/// Python runs the handlers of signals here, and nowhere else.
bool in_main_thread() { return ::getpid() == ::gettid(); }

bool in_main_interpreter() { return PyInterpreterState_Get() == PyInterpreterState_Main(); }

/// Gives the GIL up while it lives. Unlike pybind11's own, it is for daemon threads too.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;
  ~WithoutGil() {
    in_python([&] { PyEval_RestoreThread(state_); });
  }

 private:
  PyThreadState* const state_;
};

template <class T>
T value_of(Result<T> result) {
  if (!result) raise(result.error());
  if constexpr (!std::is_void_v<T>) return *std::move(result);
}

/// The bytes of an object that speaks the buffer protocol, held. Made and destroyed with the GIL.
class Buffer {
 public:
  Buffer(const py::object& object, bool writable) {
    if (PyObject_GetBuffer(object.ptr(), &view_, writable ? PyBUF_CONTIG : PyBUF_CONTIG_RO) == 0) {
      return;
    }
    if (PyErr_ExceptionMatches(PyExc_MemoryError) != 0) throw py::error_already_set();
    PyErr_Clear();
    raise("UnusableBuffer", why_unusable(object, writable));
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
  static std::string why_unusable(const py::object& object, bool writable) {
    const std::string type = Py_TYPE(object.ptr())->tp_name;
    if (PyObject_CheckBuffer(object.ptr()) == 0) {
      return "a buffer is needed (bytes, bytearray, memoryview, a numpy array), not " + type;
    }
    Py_buffer view{};
    if (writable && PyObject_GetBuffer(object.ptr(), &view, PyBUF_CONTIG_RO) == 0) {
      PyBuffer_Release(&view);
      return "the buffer is read-only; a " + type + " of another kind is needed to read into";
    }
    PyErr_Clear();
    return "the buffer does not lie in one piece; copy it, as by numpy.ascontiguousarray()";
  }

  Py_buffer view_{};
};

std::string string_of(PyObject* bytes) {
  if (bytes == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::bytes>(bytes);
}

/// Text as UTF-8. A lone surrogate, which has none, becomes bytes that are not UTF-8.
std::string utf8_of(const py::handle& text) {
  return string_of(PyUnicode_AsEncodedString(text.ptr(), "utf-8", "surrogatepass"));
}

/// A path, str, bytes or os.PathLike, as the system takes it. Raises TypeError for others, and
/// ValueError for what no path can be.
std::string path_of(const py::handle& path) {
  PyObject* bytes = nullptr;
  return string_of(PyUnicode_FSConverter(path.ptr(), &bytes) == 0 ? nullptr : bytes);
}

/// Keys are text (as UTF-8) or bytes.
std::string key_of(const py::object& key) {
  if (py::isinstance<py::bytes>(key)) return key.cast<std::string>();
  if (py::isinstance<py::str>(key)) {
    if (PyUnicode_AsUTF8(key.ptr()) != nullptr) return key.cast<std::string>();
    PyErr_Clear();
    raise({ErrorCode::invalid_argument, "the key " + hyperpod::base::quoted(utf8_of(key)) +
                                            " has a lone surrogate, which is not UTF-8"});
  }
  raise({ErrorCode::invalid_argument, "a key must be str or bytes"});
}

std::vector<std::string> keys_of(const py::iterable& keys) {
  std::vector<std::string> all;
  for (const py::handle key : items_of(keys))
    all.push_back(key_of(py::reinterpret_borrow<py::object>(key)));
  return all;
}

/// What a batch is made of: pairs of a key and a buffer.
std::vector<std::pair<py::object, py::object>> pairs_of(const py::iterable& items) {
  std::vector<std::pair<py::object, py::object>> all;
  for (const py::handle item : items_of(items)) {
    const auto pair = py::reinterpret_borrow<py::object>(item);
    if (!(py::isinstance<py::tuple>(pair) || py::isinstance<py::list>(pair)) ||
        py::len(pair) != 2) {
      raise({ErrorCode::invalid_argument, "an item of a batch must be a pair of key and buffer"});
    }
    all.emplace_back(pair[py::int_(0)], pair[py::int_(1)]);
  }
  return all;
}

// Numbers are read here and not by pybind11, whose TypeErrors quote all arguments: buffers of many
// megabytes, and whatever is secret.

/// For a value of another type, which its name and what it must be are told of.
[[noreturn]] void raise_type_error(const char* what, const py::object& value) {
  PyErr_Format(PyExc_TypeError, "%s, not %.200s", what, Py_TYPE(value.ptr())->tp_name);
  throw py::error_already_set();
}

/// `wait` is seconds, or None.
client::ReadOptions read_options(const py::object& wait) {
  if (wait.is_none()) return {};
  double seconds = PyFloat_AsDouble(wait.ptr());
  if (seconds == -1 && PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_TypeError) != 0) {
      PyErr_Clear();
      raise_type_error("wait must be a number of seconds or None", wait);
    }
    if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) throw py::error_already_set();
    PyErr_Clear();
    seconds = HUGE_VAL;
  }
  if (!(seconds >= 0 && seconds <= 86400)) {
    raise({ErrorCode::invalid_argument, "wait must be from 0 to 86400 seconds"});
  }
  return {.wait =
              std::chrono::ceil<std::chrono::milliseconds>(std::chrono::duration<double>(seconds))};
}

/// A number of bytes, which the argument `name` is.
std::uint64_t bytes_given(const char* name, const py::object& value) {
  if (PyIndex_Check(value.ptr()) == 0) {
    raise_type_error((std::string(name) + " must be a whole number").c_str(), value);
  }
  const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!number) throw py::error_already_set();
  const std::uint64_t bytes = PyLong_AsUnsignedLongLong(number.ptr());
  if (PyErr_Occurred() == nullptr) return bytes;
  PyErr_Clear();
  raise({ErrorCode::invalid_argument, std::string(name) + " must be from 0 to 2^64 - 1"});
}

std::optional<std::uint64_t> bytes_given_or_none(const char* name, const py::object& value) {
  if (value.is_none()) return std::nullopt;
  return bytes_given(name, value);
}

// --- Waiting ------------------------------------------------------------------------------------

/// Where a blocking call waits for the outcomes of the asynchronous calls that it has started, and
/// takes them as they come. Used with the GIL by one thread.
template <class T>
class Inbox {
 public:
  Inbox() = default;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;
  /// Cancels what is under way and waits for it: it uses the caller's buffers, if it is here.
  ~Inbox() {
    if (taken_ >= calls_.size() || !maker_.is_this_process()) return;
    for (const client::Call& call : calls_) call.cancel();
    const WithoutGil waiting;
    std::unique_lock lock(shared_->mutex);
    shared_->came.wait(lock, [&] { return taken_ + shared_->outcomes.size() >= calls_.size(); });
  }

  client::Handler<T> handler(std::size_t index = 0) const {
    return [shared = shared_, index](T outcome) {
      std::lock_guard lock(shared->mutex);
      shared->outcomes.emplace_back(index, std::move(outcome));
      shared->came.notify_one();
    };
  }
  /// A call that one of the handlers was given to.
  void expect(client::Call call) { calls_.push_back(std::move(call)); }

  /// The next outcome and its handler's index. Throws what the handler of a signal has raised,
  /// which Python runs in its main thread alone, and Forked in the child where one has forked.
  std::pair<std::size_t, T> next() {
    constexpr std::chrono::milliseconds between_signals{50};
    while (true) {
      {
        const WithoutGil waiting;
        std::unique_lock lock(shared_->mutex);
        const auto came = [&] { return !shared_->outcomes.empty(); };
        if (in_main_thread()) {
          shared_->came.wait_for(lock, between_signals, came);
        } else {
          shared_->came.wait(lock, came);
        }
        if (came()) {
          auto first = std::move(shared_->outcomes.front());
          shared_->outcomes.pop_front();
          ++taken_;
          return first;
        }
      }
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!maker_.is_this_process()) {
        raise({ErrorCode::forked,
               "the process was forked while the call waited; make a client in the child"});
      }
    }
  }

 private:
  struct Shared {
    std::mutex mutex;
    std::condition_variable came;
    std::deque<std::pair<std::size_t, T>> outcomes;
  };
  Maker maker_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::vector<client::Call> calls_;
  std::size_t taken_ = 0;
};

/// The outcome of one asynchronous call, which `start(handler)` starts.
template <class T, class Start>
T outcome_of(Start start) {
  Inbox<T> inbox;
  inbox.expect(start(inbox.handler()));
  return std::move(inbox.next().second);
}

// --- Leases -------------------------------------------------------------------------------------

/// A lease and how many views of its bytes are held. All under the GIL.
struct HeldLease {
  explicit HeldLease(client::Lease granted) : lease(std::move(granted)) {}
  HeldLease(const HeldLease&) = delete;
  HeldLease& operator=(const HeldLease&) = delete;
  ~HeldLease() {
    // A lease's destructor waits for the daemon if the client has been closed; this never does.
    if (lease) lease->async_release([](const Result<void>&) {});
  }

  std::optional<client::Lease> lease;
  std::size_t views = 0;
  std::size_t copies = 0;  ///< Under way in other threads.
};

/// Exports one fragment of a lease through the buffer protocol.
struct FragmentObject {
  PyObject_HEAD std::shared_ptr<HeldLease>* held;
  std::span<const std::byte> bytes;
};

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  auto* fragment = reinterpret_cast<FragmentObject*>(self);
  if (!(*fragment->held)->lease) {
    view->obj = nullptr;
    PyErr_SetString(PyExc_BufferError, "the lease has been released");
    return -1;
  }
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
    if (released()) raise({ErrorCode::lease_expired, "the lease has been released"});
    return *held_->lease;
  }
  bool released() const { return !held_ || !held_->lease; }

  py::str id() const { return text_of(lease().id()); }
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

  py::bytes read(const py::object& from, const py::object& count) const {
    const std::uint64_t offset = bytes_given("offset", from);
    const auto size = bytes_given_or_none("size", count);
    const std::uint64_t all = lease().size();
    if (offset > all) raise({ErrorCode::invalid_argument, "the offset is behind the object's end"});
    const std::uint64_t wanted = std::min(size.value_or(all - offset), all - offset);
    py::bytes bytes = allocate(wanted);
    copy(span_of(bytes), offset);
    return bytes;
  }

  /// Without `size` as many bytes as there are and as fit.
  std::uint64_t read_into(const py::object& destination, const py::object& from,
                          const py::object& count) const {
    const std::uint64_t offset = bytes_given("offset", from);
    const auto size = bytes_given_or_none("size", count);
    const Buffer buffer(destination, true);
    const std::uint64_t all = lease().size();
    if (offset > all) raise({ErrorCode::invalid_argument, "the offset is behind the object's end"});
    const std::uint64_t room = buffer.bytes().size();
    if (size && *size > room) {
      raise({ErrorCode::too_large,
             "the buffer has " + std::to_string(room) + " bytes, not " + std::to_string(*size)});
    }
    const auto into = buffer.bytes().first(size.value_or(std::min(room, all - offset)));
    copy(into, offset);
    return into.size();
  }

  /// The header that LMCache puts before a chunk: payload_bytes, format, [(type, shape), …].
  py::tuple chunk_header(std::size_t groups) const {
    std::vector<std::byte> bytes(client::chunk_header_bytes(groups));
    if (lease().size() < bytes.size()) {
      raise({ErrorCode::malformed_response, "the object is shorter than a chunk's header"});
    }
    value_of(lease().copy_to(bytes));
    const auto header = value_of(client::decode_chunk_header(bytes, groups));
    py::list tensors;
    for (const client::TensorLayout& tensor : header.layout.groups) {
      tensors.append(py::make_tuple(static_cast<std::int32_t>(tensor.type), tensor.shape));
    }
    return py::make_tuple(header.payload_bytes, static_cast<std::int32_t>(header.layout.format),
                          tensors, header.layout.payload_bytes());
  }

  /// Takes the lease out, to be released. Nothing if that has happened before.
  std::optional<client::Lease> take() {
    if (released()) return std::nullopt;
    if (held_->views + held_->copies > 0) {
      raise("ViewsHeld",
            held_->views == 0
                ? std::string("another thread is reading through the lease")
                : std::to_string(held_->views) +
                      " views of the lease's bytes are still held; release them first");
    }
    return std::exchange(held_->lease, std::nullopt);
  }

  void release() {
    auto taken = take();
    if (!taken) return;
    Inbox<Result<void>> inbox;
    taken->async_release(inbox.handler());
    value_of(inbox.next().second);
  }

  /// Leaves a block. With an exception under way, views that its traceback holds put the release
  /// off until they go.
  void exit(const py::object& exception) {
    if (!exception.is_none() && !released() && held_->views + held_->copies > 0) {
      held_.reset();
      return;
    }
    auto taken = take();
    if (!taken) return;
    Inbox<Result<void>> inbox;
    taken->async_release(inbox.handler());
    inbox.next();
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
    const client::Lease& source = lease();
    const std::shared_ptr<HeldLease> held = held_;
    Result<void> copied;
    ++held->copies;
    {
      const WithoutGil copying;
      copied = source.copy_to(into, offset);
    }
    --held->copies;
    value_of(std::move(copied));
  }

 private:
  std::shared_ptr<HeldLease> held_;
};

using GrantedLease = Result<std::optional<client::Lease>>;

/// The reads that this module makes of leases itself, whose sizes no buffer can be made for before;
/// see client::Statistics.
struct GetCounters {
  std::atomic<std::uint64_t> success{0}, failure{0}, miss{0};

  /// `handler`, for a lease to read; counts what ended without one.
  static client::Handler<GrantedLease> around(std::shared_ptr<GetCounters> counters,
                                              client::Handler<GrantedLease> handler) {
    return [counters = std::move(counters),
            handler = std::move(handler)](GrantedLease outcome) mutable {
      const bool miss = outcome && !*outcome;
      if (miss) ++counters->miss;
      if (miss || (!outcome && outcome.error().code != ErrorCode::forked)) ++counters->failure;
      handler(std::move(outcome));
    };
  }
};

/// The object's bytes, or None where the lease ended before they were read.
py::object bytes_of(client::Lease granted, GetCounters& counters) {
  struct Count {
    ~Count() { ++(hit ? counters.success : counters.failure); }
    GetCounters& counters;
    bool hit = false;
  } count{counters};
  py::bytes bytes = Lease::allocate(granted.size());
  Result<void> copied;
  {
    const WithoutGil copying;
    copied = granted.copy_to(Lease::span_of(bytes));
    granted.async_release([](const Result<void>&) {});
  }
  count.hit = copied.has_value();
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
  /// Takes out what must be destroyed with the GIL; the rest may then go without.
  virtual std::shared_ptr<void> abandon() = 0;
};

/// Keeps what must be destroyed with the GIL and is let go of where it is not held.
class Remains {
 public:
  static void add(std::shared_ptr<void> what) {
    std::lock_guard lock(state().mutex);
    state().all.push_back(std::move(what));
  }
  /// With the GIL.
  static void destroy() {
    std::vector<std::shared_ptr<void>> all;
    std::lock_guard lock(state().mutex);
    all.swap(state().all);
  }

 private:
  struct State {
    std::mutex mutex;
    std::vector<std::shared_ptr<void>> all;
  };
  static State& state() { return *place(); }
  static State*& place() {
    static State* forever = [] {
      // A child has its own: what holds the lock may not be there.
      pthread_atfork(nullptr, nullptr, [] { place() = new State; });
      return new State;  // the interpreter may end before the I/O thread
    }();
    return forever;
  }
};

/// Holds back the signals that a thread gets, so that no handler of Python's runs in its code: it
/// may raise anywhere. Python runs one all the same if another thread gets the signal.
class WithoutSignals {
 public:
  WithoutSignals() {
    sigset_t held;
    sigfillset(&held);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS}) {
      sigdelset(&held, fault);
    }
    pthread_sigmask(SIG_BLOCK, &held, &before_);
  }
  WithoutSignals(const WithoutSignals&) = delete;
  WithoutSignals& operator=(const WithoutSignals&) = delete;
  ~WithoutSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

/// The calls of one event loop that have ended and that it does not know of yet. In a child of
/// fork() nothing of it is touched: the descriptor is the parent's as well.
class Completions {
 public:
  struct Shared {
    Shared() : event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

    /// Any thread, without the GIL.
    void add(std::uint64_t token, std::unique_ptr<Outcome> outcome) {
      std::unique_lock lock(mutex);
      if (closed) {
        lock.unlock();
        Remains::add(outcome->abandon());
        return;
      }
      ended.emplace_back(token, std::move(outcome));
      if (ended.size() == 1) ::eventfd_write(event.get(), 1);
    }

    const hyperpod::base::FileDescriptor event;
    std::mutex mutex;
    std::vector<std::pair<std::uint64_t, std::unique_ptr<Outcome>>> ended;
    bool closed = false;
  };

  Completions() : shared_(std::make_shared<Shared>()) {
    if (!shared_->event) {
      raise({ErrorCode::out_of_resources, "no descriptor is left for an event loop"});
    }
    Remains::destroy();
  }
  ~Completions() { close(); }

  /// Later outcomes, and those not drained, are let go of. Idempotent.
  void close() {
    if (!maker_.is_this_process()) {
      // Its lock may be held by a thread that is not here.
      static_cast<void>(new std::shared_ptr<Shared>(shared_));
      return;
    }
    auto ended = take(true);
    for (const auto& [token, outcome] : ended) outcome->abandon();
    const WithoutGil waiting;  // leases may wait for their release
    ended.clear();
  }

  int fileno() const { return shared_->event.get(); }
  const std::shared_ptr<Shared>& shared() const { return shared_; }

  /// Calls `done(token, error, value)` for each call that has ended; one of the two is None. Where
  /// it raises, as by the handler of a signal, it is called again, the others are told of all the
  /// same, and then the exception is raised.
  void drain(const py::function& done) {
    if (!maker_.is_this_process()) return;
    std::optional<WithoutSignals> undisturbed;
    if (in_main_thread()) {
      undisturbed.emplace();
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();  // nothing is taken yet
    }
    eventfd_t ignored = 0;
    ::eventfd_read(shared_->event.get(), &ignored);
    py::object exception;
    for (auto& [token, outcome] : take(false)) {
      py::object value = py::none();
      py::object error = py::none();
      try {
        value = outcome->value();
      } catch (py::error_already_set& raised) {
        error = raised.value();
      }
      outcome.reset();
      tell(done, py::make_tuple(token, error, value), exception);
    }
    if (exception) raise(exception);
  }

 private:
  /// `exception` becomes what is raised meanwhile, with what it was before as its context.
  static void tell(const py::function& done, const py::tuple& completion, py::object& exception) {
    constexpr int most_attempts = 100;  // it may raise because it is wrong
    for (int attempt = 0; attempt < most_attempts; ++attempt) {
      try {
        call(done, py::object(completion[0]), py::object(completion[1]), py::object(completion[2]));
        return;
      } catch (py::error_already_set& raised) {
        py::object newest = raised.value();
        if (exception && !newest.is(exception)) {
          PyException_SetContext(newest.ptr(), exception.release().ptr());
        }
        exception = std::move(newest);
      }
    }
  }

  std::vector<std::pair<std::uint64_t, std::unique_ptr<Outcome>>> take(bool close) {
    std::lock_guard lock(shared_->mutex);
    shared_->closed |= close;
    return std::exchange(shared_->ended, {});
  }

  Maker maker_;
  const std::shared_ptr<Shared> shared_;
};

/// Makes a handler that reports to `to`. `convert` turns the outcome into a Python object; `kept`
/// lives until it has been called.
template <class T, class Convert, class Kept>
client::Handler<T> report(std::shared_ptr<Completions::Shared> to, std::uint64_t token,
                          Convert convert, Kept kept) {
  struct Ended final : Outcome {
    Ended(T value, Convert f, Kept k)
        : outcome(std::move(value)), convert(std::move(f)), kept(std::move(k)) {}
    py::object value() override { return convert(std::move(outcome)); }
    std::shared_ptr<void> abandon() override { return std::make_shared<Kept>(std::move(kept)); }
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

py::object lease_result(GrantedLease outcome) {
  auto lease = value_of(std::move(outcome));
  if (!lease) return py::none();
  return py::cast(Lease(*std::move(lease)));
}

py::object bytes_result(GrantedLease outcome, GetCounters& counters) {
  auto lease = value_of(std::move(outcome));
  if (!lease) return py::none();
  return bytes_of(*std::move(lease), counters);
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
    client_ =
        std::make_unique<client::Client>(value_of(client::Client::create(std::move(options))));
  }
  ~Client() {
    const WithoutGil closing;
    client_.reset();
  }

  py::object put(const py::object& key, const py::object& object) {
    const std::string name = key_of(key);
    const Buffer buffer(object, false);
    return put_result(outcome_of<Result<client::PutOutcome>>([&](auto handler) {
      return client_->async_put(name, buffer.bytes(), std::move(handler));
    }));
  }
  py::object get(const py::object& key, const py::object& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    return bytes_result(outcome_of<GrantedLease>([&](auto handler) {
                          return lease_to_read(name, std::move(handler), read);
                        }),
                        *counters_);
  }
  py::object get_into(const py::object& key, const py::object& into, const py::object& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    const Buffer buffer(into, true);
    return size_result(outcome_of<Result<client::GetOutcome>>([&](auto handler) {
      return client_->async_get(name, buffer.bytes(), std::move(handler), read);
    }));
  }
  py::object acquire(const py::object& key, const py::object& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    return lease_result(outcome_of<GrantedLease>(
        [&](auto handler) { return client_->async_acquire(name, std::move(handler), read); }));
  }
  bool exists(const py::object& key, const py::object& wait) {
    const std::string name = key_of(key);
    const auto read = read_options(wait);
    return value_of(outcome_of<Result<bool>>(
        [&](auto handler) { return client_->async_exists(name, std::move(handler), read); }));
  }

  py::list batched_get(const py::iterable& keys, const py::object& wait) {
    const std::vector<std::string> names = keys_of(keys);
    const auto read = read_options(wait);
    // No buffer can be made before the size is known. Each lease is read and let go of as it comes.
    py::list results(names.size());
    Inbox<GrantedLease> inbox;
    for (std::size_t i = 0; i < names.size(); ++i) {
      inbox.expect(lease_to_read(names[i], inbox.handler(i), read));
    }
    for (std::size_t taken = 0; taken < names.size(); ++taken) {
      auto [i, lease] = inbox.next();
      results[i] = lease ? bytes_result(std::move(lease), *counters_) : exception_of(lease.error());
    }
    return results;
  }
  py::list batched_get_into(const py::iterable& items, const py::object& wait) {
    const GetBatch batch(items);
    const auto read = read_options(wait);
    return list_of(outcome_of<std::vector<Result<client::GetOutcome>>>([&](auto handler) {
                     return client_->async_batched_get(batch.items, std::move(handler), read);
                   }),
                   size_result);
  }
  py::list batched_put(const py::iterable& items) {
    const PutBatch batch(items);
    return list_of(outcome_of<std::vector<Result<client::PutOutcome>>>([&](auto handler) {
                     return client_->async_batched_put(batch.items, std::move(handler));
                   }),
                   put_result);
  }
  std::size_t batched_contains(const py::iterable& keys, const py::object& wait) {
    const auto read = read_options(wait);
    return count_of(outcome_of<client::ContainsOutcome>([&](auto handler) {
      return client_->async_batched_contains(keys_of(keys), std::move(handler), read);
    }));
  }

  client::Call start_put(const Completions& to, std::uint64_t token, const py::object& key,
                         const py::object& object) {
    Buffer buffer(object, false);
    const auto bytes = buffer.bytes();
    return client_->async_put(
        key_of(key), bytes,
        report<Result<client::PutOutcome>>(to.shared(), token, put_result, std::move(buffer)));
  }
  client::Call start_put_chunk(
      const Completions& to, std::uint64_t token, const py::object& key, const py::object& payload,
      std::int32_t format,
      const std::vector<std::pair<std::int32_t, std::array<std::int32_t, 4>>>& groups) {
    struct Kept {
      std::string key;
      Buffer buffer;
    };
    auto kept = std::make_unique<Kept>(Kept{key_of(key), Buffer(payload, false)});
    std::vector<client::PutItem> items{
        {.key = kept->key, .bytes = kept->buffer.bytes(), .layout = layout_of(format, groups)}};
    return client_->async_batched_put(std::move(items),
                                      report<std::vector<Result<client::PutOutcome>>>(
                                          to.shared(), token,
                                          [](std::vector<Result<client::PutOutcome>> outcomes) {
                                            return put_result(std::move(outcomes.front()));
                                          },
                                          std::move(kept)));
  }
  client::Call start_get(const Completions& to, std::uint64_t token, const py::object& key,
                         const py::object& wait) {
    return lease_to_read(key_of(key),
                         report<GrantedLease>(
                             to.shared(), token,
                             [counters = counters_](GrantedLease outcome) {
                               return bytes_result(std::move(outcome), *counters);
                             },
                             Nothing{}),
                         read_options(wait));
  }
  client::Call start_get_into(const Completions& to, std::uint64_t token, const py::object& key,
                              const py::object& into, const py::object& wait) {
    Buffer buffer(into, true);
    const auto bytes = buffer.bytes();
    return client_->async_get(
        key_of(key), bytes,
        report<Result<client::GetOutcome>>(to.shared(), token, size_result, std::move(buffer)),
        read_options(wait));
  }
  client::Call start_acquire(const Completions& to, std::uint64_t token, const py::object& key,
                             const py::object& wait) {
    return client_->async_acquire(key_of(key),
                                  report<GrantedLease>(to.shared(), token, lease_result, Nothing{}),
                                  read_options(wait));
  }
  client::Call start_exists(const Completions& to, std::uint64_t token, const py::object& key,
                            const py::object& wait) {
    return client_->async_exists(
        key_of(key),
        report<Result<bool>>(
            to.shared(), token,
            [](Result<bool> there) -> py::object { return py::bool_(value_of(std::move(there))); },
            Nothing{}),
        read_options(wait));
  }
  client::Call start_batched_get_into(const Completions& to, std::uint64_t token,
                                      const py::iterable& items, const py::object& wait) {
    auto batch = std::make_unique<GetBatch>(items);
    auto copies = batch->items;
    return client_->async_batched_get(
        std::move(copies),
        report<std::vector<Result<client::GetOutcome>>>(
            to.shared(), token,
            [](std::vector<Result<client::GetOutcome>> outcomes) -> py::object {
              return list_of(std::move(outcomes), size_result);
            },
            std::move(batch)),
        read_options(wait));
  }
  client::Call start_batched_put(const Completions& to, std::uint64_t token,
                                 const py::iterable& items) {
    auto batch = std::make_unique<PutBatch>(items);
    auto copies = batch->items;
    return client_->async_batched_put(
        std::move(copies), report<std::vector<Result<client::PutOutcome>>>(
                               to.shared(), token,
                               [](std::vector<Result<client::PutOutcome>> outcomes) -> py::object {
                                 return list_of(std::move(outcomes), put_result);
                               },
                               std::move(batch)));
  }
  client::Call start_batched_contains(const Completions& to, std::uint64_t token,
                                      const py::iterable& keys, const py::object& wait) {
    return client_->async_batched_contains(keys_of(keys),
                                           report<client::ContainsOutcome>(
                                               to.shared(), token,
                                               [](client::ContainsOutcome outcome) -> py::object {
                                                 return py::int_(count_of(std::move(outcome)));
                                               },
                                               Nothing{}),
                                           read_options(wait));
  }

  void close() {
    const WithoutGil closing;
    client_->close();
  }

  py::dict statistics() const {
    const client::Statistics now = client_->statistics();
    py::dict all;
    all["get_success"] = now.get_success + counters_->success;
    all["get_failure"] = now.get_failure + counters_->failure;
    all["get_miss"] = now.get_miss + counters_->miss;
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
  client::Call lease_to_read(const std::string& key, client::Handler<GrantedLease> handler,
                             const client::ReadOptions& read) {
    return client_->async_acquire(key, GetCounters::around(counters_, std::move(handler)), read);
  }

  struct GetBatch {
    explicit GetBatch(const py::iterable& from) {
      for (const auto& [key, into] : pairs_of(from)) {
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
    explicit PutBatch(const py::iterable& from) {
      for (const auto& [key, object] : pairs_of(from)) {
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
  const std::shared_ptr<GetCounters> counters_ = std::make_shared<GetCounters>();
};

std::chrono::nanoseconds seconds_of(const py::handle& value) {
  const auto seconds = value.cast<double>();
  constexpr double most = 1e9;  // 30 years
  if (!(std::abs(seconds) <= most)) throw py::cast_error();
  return std::chrono::nanoseconds(std::llround(seconds * 1e9));
}

std::chrono::milliseconds milliseconds_of(const py::handle& value) {
  return std::chrono::ceil<std::chrono::milliseconds>(seconds_of(value));
}

/// Throws py::cast_error for a value of another kind. False: there is no such option.
bool set_option(client::ClientOptions& options, const std::string& name, const py::handle& value) {
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
    options.timeout = milliseconds_of(value);
  } else if (name == "lease_wait_timeout") {
    options.lease_wait_timeout.reset();
    if (!value.is_none()) options.lease_wait_timeout = milliseconds_of(value);
  } else if (name == "lease_ttl") {
    options.lease_ttl = seconds_of(value);
  } else if (name == "put_stream_chunk_bytes") {
    options.put_stream_chunk_bytes = value.cast<std::uint64_t>();
  } else if (name == "max_lease_bytes") {
    options.max_lease_bytes = value.cast<std::optional<std::uint64_t>>();
  } else if (name == "use_https") {
    options.use_https = value.cast<bool>();
  } else if (name == "save_chunk_meta") {
    options.save_chunk_meta = value.cast<bool>();
  } else if (name == "ca_file") {
    try {
      options.tls.ca_file = path_of(value);
    } catch (const py::error_already_set& error) {
      if (error.matches(PyExc_TypeError) || error.matches(PyExc_ValueError)) throw py::cast_error();
      throw;
    }
  } else if (name == "verify_server") {
    options.tls.verify_server = value.cast<bool>();
  } else if (name == "copy_threads") {
    options.copy_threads = value.cast<std::uint32_t>();
  } else {
    return false;
  }
  return true;
}

/// `options` with what is given in place of what stands there.
client::ClientOptions options_of(const py::dict& given, client::ClientOptions options = {}) {
  for (const auto& [key, value] : given) {
    const std::string name = utf8_of(key);
    bool known = false;
    try {
      known = set_option(options, name, value);
    } catch (const py::cast_error&) {
      raise({ErrorCode::invalid_option,
             "the option '" + name + "' cannot be " + py::repr(value).cast<std::string>()});
    }
    if (!known) raise({ErrorCode::invalid_option, "there is no option '" + name + "'"});
  }
  return options;
}

/// What is raised where text cannot be bytes, as `what` cannot.
[[noreturn]] void raise_unencodable(const std::string& what, const py::error_already_set& why) {
  if (!why.matches(PyExc_ValueError)) throw py::error_already_set(why);
  raise({ErrorCode::invalid_option, what + " cannot be used: " + utf8_of(py::str(why.value()))});
}

/// What `variable(name)` has for a variable of the environment, str as in os.environ, or None.
std::optional<std::string> variable_of(const py::object& variable, const std::string& name) {
  const auto text = py::reinterpret_steal<py::object>(
      PyUnicode_DecodeFSDefaultAndSize(name.data(), static_cast<Py_ssize_t>(name.size())));
  if (!text) throw py::error_already_set();
  const py::object value = variable(text);
  if (value.is_none()) return std::nullopt;
  try {
    return string_of(PyUnicode_EncodeFSDefault(value.ptr()));
  } catch (const py::error_already_set& error) {
    raise_unencodable("the variable " + name, error);
  }
}

std::optional<std::string> config_path(const py::object& path) {
  if (path.is_none()) return std::nullopt;
  try {
    return path_of(path);
  } catch (const py::error_already_set& error) {
    raise_unencodable("the path " + utf8_of(py::repr(path)), error);
  }
}

/// A client and what its user probably did not mean.
py::tuple client_and_warnings(client::LoadedOptions loaded, const py::dict& given) {
  py::list warnings;
  for (const std::string& warning : loaded.warnings) warnings.append(text_of(warning));
  return py::make_tuple(std::make_unique<Client>(options_of(given, std::move(loaded.options))),
                        warnings);
}

}  // namespace

// pybind11 waits for ever in a subinterpreter. Python asks PyInit__native there unless the main
// interpreter has the module already; client.py asks in_main_interpreter() for that case.
#define PyInit__native hyperpod_kv_make_native
PYBIND11_MODULE(_native, module) {
  module.doc() = "hyperpod::client for Python; use hyperpod_kv.Client.";
  module.def("in_main_interpreter", in_main_interpreter);
  const auto no_wait = py::arg("wait") = py::none();

  py::class_<client::Call>(module, "Call").def("cancel", &client::Call::cancel);

  py::class_<Completions>(module, "Completions")
      .def(py::init<>())
      .def("fileno", &Completions::fileno)
      .def("drain", &Completions::drain)
      .def("close", &Completions::close);

  py::class_<Lease>(module, "Lease")
      .def_property_readonly("id", &Lease::id)
      .def_property_readonly("size", &Lease::size)
      .def_property_readonly("time_left", &Lease::time_left)
      .def_property_readonly("valid", &Lease::valid)
      .def_property_readonly("fragments", &Lease::fragments)
      .def("read", &Lease::read, py::arg("offset") = 0, py::arg("size") = py::none())
      .def("read_into", &Lease::read_into, py::arg("buffer"), py::arg("offset") = 0,
           py::arg("size") = py::none())
      .def("chunk_header", &Lease::chunk_header)
      .def("release", &Lease::release)
      .def("start_release",
           [](Lease& self, const Completions& to, std::uint64_t token) {
             const auto void_result = [](Result<void> released) -> py::object {
               value_of(std::move(released));
               return py::none();
             };
             auto handler = report<Result<void>>(to.shared(), token, void_result, Nothing{});
             if (auto taken = self.take()) {
               taken->async_release(std::move(handler));
             } else {
               handler(Result<void>());
             }
             return client::Call();
           })
      .def("__len__", &Lease::size)
      .def("__bool__", [](const Lease&) { return true; })  // whether or not it has a length
      .def("__enter__", [](const py::object& self) { return self; })
      .def("__exit__", [](Lease& self, const py::object& type, const py::object&,
                          const py::object&) { self.exit(type); });

  py::class_<Client>(module, "Client")
      .def(py::init(
          [](const py::dict& options) { return std::make_unique<Client>(options_of(options)); }))
      .def_static("from_config",
                  [](const py::object& path, const py::object& variable) {
                    return client_and_warnings(
                        value_of(client::load_options(
                            config_path(path),
                            [&](const std::string& name) { return variable_of(variable, name); })),
                        {});
                  })
      .def_static("from_text",
                  [](const py::str& yaml, const std::string& name, const py::dict& given) {
                    return client_and_warnings(value_of(client::parse_options(utf8_of(yaml), name)),
                                               given);
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
#undef PyInit__native

// NOLINTNEXTLINE(bugprone-reserved-identifier): Python makes the name
extern "C" PYBIND11_EXPORT PyObject* PyInit__native() {
  if (in_main_interpreter()) return hyperpod_kv_make_native();
  PyErr_SetString(PyExc_ImportError, "hyperpod_kv cannot be used in a subinterpreter");
  return nullptr;
}
