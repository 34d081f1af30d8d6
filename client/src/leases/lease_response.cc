// SPDX-License-Identifier: Apache-2.0
#include "leases/lease_response.h"

#include <fmt/format.h>
#include <rapidjson/reader.h>
#include <strings.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <optional>

#include "points.h"

namespace hyperpod::client::leases {
namespace {

using memory::FragmentRange;

// Where there is no memory RapidJSON's own allocator returns null, and nobody looks.
struct ThrowingAllocator {
  [[maybe_unused]] static constexpr bool kNeedFree = true;
  void* Malloc(std::size_t size) { return size == 0 ? nullptr : ::operator new(size); }
  void* Realloc(void* memory, std::size_t old_size, std::size_t size) {
    void* const moved = Malloc(size);
    if (memory != nullptr && moved != nullptr) {
      std::memcpy(moved, memory, std::min(old_size, size));
    }
    Free(memory);
    return moved;
  }
  static void Free(void* memory) noexcept { ::operator delete(memory); }
};

using Reader = rapidjson::GenericReader<rapidjson::UTF8<>, rapidjson::UTF8<>, ThrowingAllocator>;

// Collects id and offsets as the parser meets them, so that an id is known even when the text
// behind it is broken. The members' names are RapidJSON's. Depth 1 is the response's object, 2 the
// offsets array, 3 one of its elements.
class LeaseReader {
 public:
  bool Null() { return scalar(std::nullopt); }
  bool Bool(bool) { return scalar(std::nullopt); }
  // What is not negative is a Uint, except for -0.
  bool Int(int value) { return scalar(value == 0 ? std::optional(0u) : std::nullopt); }
  bool Int64(std::int64_t) { return scalar(std::nullopt); }
  bool Uint(unsigned value) { return scalar(value); }
  bool Uint64(std::uint64_t value) { return scalar(value); }
  bool Double(double) { return scalar(std::nullopt); }
  bool RawNumber(const char*, unsigned, bool) { return scalar(std::nullopt); }

  bool String(const char* text, unsigned size, bool) {
    if (depth_ != 1 || key_ != "id") return scalar(std::nullopt);
    id_.assign(text, size);
    return true;
  }

  bool Key(const char* name, unsigned size, bool) {
    if (depth_ == 1 || (depth_ == 3 && in_offsets_)) key_.assign(name, size);
    return true;
  }

  bool StartObject() {
    if (depth_ == 0) root_is_object_ = true;
    if (depth_ == 1 || depth_ == 3) scalar(std::nullopt);
    if (++depth_ == 3 && in_offsets_) {
      offset_.reset();
      length_.reset();
    }
    return true;
  }

  bool EndObject(unsigned) {
    if (depth_-- == 3 && in_offsets_) add_fragment();
    return true;
  }

  bool StartArray() {
    if (depth_ == 1 && key_ == "id") wrong_type();
    if (depth_ == 1 && key_ == "offsets") {
      in_offsets_ = true;
      fragments_.clear();
    } else if (depth_ == 2 && in_offsets_) {
      wrong_type();
    } else if (depth_ == 3 && in_offsets_) {
      scalar(std::nullopt);
    }
    ++depth_;
    return true;
  }

  bool EndArray(unsigned) {
    if (--depth_ == 1) in_offsets_ = false;
    return true;
  }

  void is_not_json() { fault("is not JSON"); }

  tl::expected<LeaseResponse, UnusableLease> take() {
    if (!root_is_object_) fault("is not a JSON object");
    if (id_.empty()) fault("has no id that is a string");
    if (fragments_.empty()) fault("has no fragment");
    LeaseResponse response;
    for (const FragmentRange& fragment : fragments_) {
      if (__builtin_add_overflow(response.size, fragment.length, &response.size)) {
        fault("has fragments whose lengths overflow");
      }
    }
    if (fault_) return tl::unexpected(UnusableLease{*fault_, id_});
    response.id = std::move(id_);
    response.fragments = std::move(fragments_);
    return response;
  }

 private:
  // A value that is not the string of an id; `number` holds it if it is a whole number >= 0.
  bool scalar(std::optional<std::uint64_t> number) {
    if (depth_ == 1 && (key_ == "id" || key_ == "offsets")) wrong_type();
    if (depth_ == 2 && in_offsets_) wrong_type();
    if (depth_ == 3 && in_offsets_) {
      if (key_ == "offset") offset_ = number;
      if (key_ == "len") length_ = number;
    }
    return true;
  }

  void add_fragment() {
    std::uint64_t end = 0;
    if (!offset_ || !length_) {
      fault("has a fragment without a whole, non-negative offset and len");
    } else if (*length_ == 0) {
      fault("has a fragment of length 0");
    } else if (__builtin_add_overflow(*offset_, *length_, &end)) {
      fault("has a fragment whose end overflows");
    } else {
      fragments_.push_back({*offset_, *length_});
    }
  }

  void wrong_type() { fault(fmt::format("has a member of the wrong type at '{}'", key_)); }
  void fault(std::string reason) {
    if (!fault_) fault_ = std::move(reason);
  }

  int depth_ = 0;
  bool root_is_object_ = false;
  bool in_offsets_ = false;
  std::string key_;
  std::string id_;
  std::optional<std::uint64_t> offset_;
  std::optional<std::uint64_t> length_;
  std::vector<FragmentRange> fragments_;
  std::optional<std::string> fault_;
};

bool is_json(std::string_view content_type) {
  constexpr std::string_view wanted = "application/json";
  const auto ends = [](char c) { return c == ';' || c == ' ' || c == '\t'; };
  const auto end = std::ranges::find_if(content_type, ends);
  const auto type = content_type.substr(0, static_cast<std::size_t>(end - content_type.begin()));
  return type.size() == wanted.size() &&
         strncasecmp(type.data(), wanted.data(), wanted.size()) == 0;
}

}  // namespace

tl::expected<LeaseResponse, UnusableLease> parse_lease_response(std::string_view content_type,
                                                                std::string_view body) {
  LeaseReader lease;
  rapidjson::MemoryStream stream(body.data(), body.size());
  // Iterative: however deep it is nested, the stack is not.
  constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag;
  // It takes a zero byte for the end.
  if (!Reader().Parse<flags>(stream, lease) || stream.Tell() != body.size()) lease.is_not_json();
  auto response = lease.take();
  bool usable_type = is_json(content_type);
  HYPERPOD_POINT("lease.content_type", usable_type);
  if (response && !usable_type) {
    return tl::unexpected(UnusableLease{
        fmt::format("has the content type '{}' instead of application/json", content_type),
        std::move(response->id)});
  }
  return response;
}

}  // namespace hyperpod::client::leases
