// SPDX-License-Identifier: Apache-2.0
#include "proxy/message.h"

#include <strings.h>

#include <algorithm>
#include <cstdlib>

namespace hyperpod::conformance::proxy {
namespace {

bool same_name(std::string_view one, std::string_view other) {
  return one.size() == other.size() && ::strncasecmp(one.data(), other.data(), one.size()) == 0;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

Headers parse_headers(std::string_view lines) {
  Headers headers;
  while (!lines.empty()) {
    const auto end = lines.find("\r\n");
    const auto line = lines.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos) {
      headers.emplace_back(line.substr(0, colon), trimmed(line.substr(colon + 1)));
    }
    lines.remove_prefix(end == std::string_view::npos ? lines.size() : end + 2);
  }
  return headers;
}

std::string header_lines(const Headers& headers) {
  std::string text;
  for (const auto& [name, value] : headers)
    text.append(name).append(": ").append(value).append("\r\n");
  return text;
}

std::optional<std::string> find_header(const Headers& headers, std::string_view name) {
  for (const auto& [key, value] : headers) {
    if (same_name(key, name)) return value;
  }
  return std::nullopt;
}

void erase_header(Headers& headers, std::string_view name) {
  std::erase_if(headers, [&](const auto& header) { return same_name(header.first, name); });
}

std::string path_of(const std::string& target) { return target.substr(0, target.find('?')); }

/// Where the value of a parameter stands in a target; nullopt without it.
std::optional<std::pair<std::size_t, std::size_t>> locate(const std::string& target,
                                                          std::string_view name) {
  const std::string sought = std::string(name) + "=";
  for (std::size_t at = target.find('?'); at != std::string::npos; at = target.find('&', at + 1)) {
    if (target.compare(at + 1, sought.size(), sought) != 0) continue;
    const std::size_t begin = at + 1 + sought.size();
    return std::pair(begin, std::min(target.find('&', begin), target.size()) - begin);
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::string> RequestHead::header(std::string_view name) const {
  return find_header(headers, name);
}
void RequestHead::remove(std::string_view name) { erase_header(headers, name); }

std::uint64_t RequestHead::content_length() const {
  return std::strtoull(header("Content-Length").value_or("0").c_str(), nullptr, 10);
}

bool RequestHead::is_acquire() const {
  return method == "POST" && path_of(target).ends_with("/leases");
}
bool RequestHead::is_release() const { return method == "POST" && target.ends_with("/release"); }

std::string RequestHead::object() const {
  std::string path = path_of(target);
  if (is_acquire()) path.resize(path.size() - std::string_view("/leases").size());
  return path;
}

std::string RequestHead::lease_id() const {
  constexpr std::string_view before = "/v1/leases/";
  constexpr std::string_view behind = "/release";
  if (!is_release() || target.size() < before.size() + behind.size()) return "";
  return target.substr(before.size(), target.size() - before.size() - behind.size());
}

std::optional<std::string> RequestHead::parameter(std::string_view name) const {
  const auto place = locate(target, name);
  if (!place) return std::nullopt;
  return target.substr(place->first, place->second);
}

void RequestHead::set_parameter(std::string_view name, std::string_view value) {
  if (const auto place = locate(target, name)) target.replace(place->first, place->second, value);
}

std::string RequestHead::text() const {
  return method + " " + target + " " + version + "\r\n" + header_lines(headers) + "\r\n";
}

void ResponseMessage::set_header(std::string_view name, std::string value) {
  erase_header(headers, name);
  headers.emplace_back(name, std::move(value));
}

void ResponseMessage::remove(std::string_view name) { erase_header(headers, name); }

ResponseMessage ResponseMessage::of(int status, std::string body) {
  return {status, {{"Content-Type", "application/json"}}, std::move(body)};
}

std::string ResponseMessage::text(std::string_view version) const {
  std::string text(version);
  text.append(" ")
      .append(std::to_string(status))
      .append(" Mutated\r\n")
      .append(header_lines(headers));
  if (status >= 200)
    text.append("Content-Length: ").append(std::to_string(body.size())).append("\r\n");
  return text.append("\r\n").append(body);
}

std::optional<std::pair<RequestHead, std::size_t>> take_request_head(std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  const auto line = bytes.substr(0, bytes.find("\r\n"));
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last ||
      !line.substr(last + 1).starts_with("HTTP/1.")) {
    return std::nullopt;
  }
  RequestHead head{std::string(line.substr(0, first)),
                   std::string(line.substr(first + 1, last - first - 1)),
                   std::string(line.substr(last + 1)),
                   {}};
  const std::size_t begin = std::min(line.size() + 2, end);
  head.headers = parse_headers(bytes.substr(begin, end - begin));
  return std::pair(std::move(head), end + 4);
}

std::optional<std::pair<ResponseMessage, std::size_t>> take_response(std::string_view bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos || !bytes.starts_with("HTTP/1.") || end < 12)
    return std::nullopt;
  ResponseMessage response;
  response.status = std::atoi(std::string(bytes.substr(9, 3)).c_str());
  const std::size_t begin = std::min(bytes.find("\r\n") + 2, end);
  response.headers = parse_headers(bytes.substr(begin, end - begin));
  if (response.status < 200) return std::pair(std::move(response), end + 4);
  const std::size_t size = std::strtoull(
      find_header(response.headers, "Content-Length").value_or("0").c_str(), nullptr, 10);
  if (bytes.size() - end - 4 < size) return std::nullopt;
  response.body = bytes.substr(end + 4, size);
  erase_header(response.headers, "Content-Length");
  return std::pair(std::move(response), end + 4 + size);
}

}  // namespace hyperpod::conformance::proxy
