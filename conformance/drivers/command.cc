// SPDX-License-Identifier: Apache-2.0
#include "command.h"

#include <functional>
#include <map>
#include <stdexcept>

namespace hyperpod::driver {
namespace {

// More than any check needs; a mistaken size shall be a sentence and not the end of the process.
constexpr std::uint64_t max_size = std::uint64_t{1} << 30;

// Thrown while a command is read, and nowhere else.
struct Malformed : std::runtime_error {
  using runtime_error::runtime_error;
};

const Json& member(const Json& object, const char* name, const char* kind) {
  const auto found = object.find(name);
  if (found == object.end()) {
    throw Malformed("\"" + std::string(name) + "\" is missing; it must be " + kind);
  }
  return *found;
}

[[noreturn]] void wrong_kind(const char* name, const char* kind, const Json& found) {
  throw Malformed("\"" + std::string(name) + "\" must be " + kind + ", but is " + found.dump());
}

std::string text(const Json& object, const char* name) {
  constexpr const char* kind = "a string";
  const Json& found = member(object, name, kind);
  if (!found.is_string()) wrong_kind(name, kind, found);
  return found;
}

std::uint64_t whole_number(const Json& object, const char* name) {
  constexpr const char* kind = "a whole number, 0 or more";
  const Json& found = member(object, name, kind);
  if (!found.is_number_unsigned()) wrong_kind(name, kind, found);
  return found;
}

std::uint64_t size(const Json& object) {
  const std::uint64_t found = whole_number(object, "size");
  if (found > max_size) {
    throw Malformed("\"size\" must not exceed " + std::to_string(max_size) + ", but is " +
                    std::to_string(found));
  }
  return found;
}

// What `read` makes of each element.
template <class Read>
auto list(const Json& object, const char* name, const Read& read) {
  constexpr const char* kind = "an array";
  const Json& found = member(object, name, kind);
  if (!found.is_array()) wrong_kind(name, kind, found);
  std::vector<decltype(read(found))> elements;
  for (const Json& element : found) elements.push_back(read(element));
  return elements;
}

const Json& as_object(const Json& element) {
  if (!element.is_object()) throw Malformed("an object was expected, but it is " + element.dump());
  return element;
}

Put read_put(const Json& object) {
  as_object(object);
  return {text(object, "key"), size(object), whole_number(object, "seed")};
}

Get read_get(const Json& object) {
  as_object(object);
  return {text(object, "key"), size(object)};
}

Fork read_fork(const Json& object) { return {read_get(object)}; }

Exists read_exists(const Json& object) { return {text(object, "key")}; }

Configure read_configure(const Json& object) {
  Configure configure{text(object, "url"), {}, {}, Json::object()};
  if (object.contains("bucket")) configure.bucket = text(object, "bucket");
  const Json& segment = member(object, "segment", "a string or null");
  if (!segment.is_null()) configure.segment = text(object, "segment");
  for (const std::string& name : parameter_names()) {
    if (const auto found = object.find(name); found != object.end()) {
      configure.parameters[name] = *found;
    }
  }
  return configure;
}

BatchPut read_batch_put(const Json& object) { return {list(object, "items", read_put)}; }
BatchGet read_batch_get(const Json& object) { return {list(object, "items", read_get)}; }

BatchContains read_batch_contains(const Json& object) {
  return {list(object, "keys", [](const Json& key) {
    if (!key.is_string()) throw Malformed("a key must be a string, but one is " + key.dump());
    return key.get<std::string>();
  })};
}

Concurrent read_concurrent(const Json& object) {
  using Operation = std::variant<Put, Get, Exists>;
  return {list(object, "operations", [](const Json& operation) -> Operation {
    const std::string op = text(as_object(operation), "op");
    if (op == "put") return read_put(operation);
    if (op == "get") return read_get(operation);
    if (op == "exists") return read_exists(operation);
    throw Malformed("\"" + op + "\" cannot be concurrent; put, get and exists can");
  })};
}

template <class Plain>
Plain read_plain(const Json&) {
  return {};
}

using Readers = std::map<std::string, std::function<Command(const Json&)>>;

const Readers& readers() {
  static const Readers readers{
      {"hello", read_plain<Hello>},
      {"configure", read_configure},
      {"put", read_put},
      {"get", read_get},
      {"exists", read_exists},
      {"batch_put", read_batch_put},
      {"batch_get", read_batch_get},
      {"batch_contains", read_batch_contains},
      {"concurrent", read_concurrent},
      {"stats", read_plain<Stats>},
      {"close", read_plain<Close>},
      {"fork", read_fork},
      {"raise", read_plain<Raise>},
  };
  return readers;
}

}  // namespace

Request parse_request(std::string_view line) {
  Request request{nullptr, Unsupported{}};
  try {
    // The parser takes it for the end.
    if (line.find('\0') != line.npos) throw Malformed("a command has no NUL byte");
    const Json object = Json::parse(line);
    if (!object.is_object()) throw Malformed("a command is a JSON object, not " + object.dump());
    if (const Json& id = member(object, "id", "a number"); id.is_number()) {
      request.id = id;
    } else {
      wrong_kind("id", "a number", id);
    }
    const auto reader = readers().find(text(object, "op"));
    if (reader != readers().end()) request.command = reader->second(object);
  } catch (const Json::parse_error& error) {
    request.command = tl::unexpected("the line is not JSON: " + std::string(error.what()));
  } catch (const Malformed& error) {
    request.command = tl::unexpected(std::string(error.what()));
  }
  return request;
}

const std::vector<std::string>& operation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, reader] : readers()) all.push_back(name);
    return all;
  }();
  return names;
}

const std::vector<std::string>& parameter_names() {
  static const std::vector<std::string> names{
      "max_concurrent_requests",
      "max_connections",
      "max_connections_per_host",
      "timeout_ms",
      "lease_ttl_s",
      "put_stream_chunk_bytes",
      "save_chunk_meta",
      "lease_wait_timeout_ms",
      "max_lease_size_mb",
  };
  return names;
}

}  // namespace hyperpod::driver
