// SPDX-License-Identifier: Apache-2.0
#include "journal/head.h"

#include <algorithm>
#include <array>

#include "hyperpod/emulator/journal.h"
#include "text/percent.h"

namespace hyperpod::emulator::journal {
namespace {

constexpr std::string_view redacted = "[redacted]";

bool is_secret(std::string_view name) {
  constexpr std::array<std::string_view, 9> words{
      "auth", "cookie", "credential", "key", "passw", "secret", "session", "signature", "token"};
  std::string lower(name);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return std::ranges::any_of(words, [&](auto word) { return lower.find(word) != lower.npos; });
}

// A target and what stands around it: "POST /path?name=value HTTP/1.1".
std::string without_secrets_in_target(std::string_view line) {
  std::string out;
  // "http://user:password@host/path": of a target in absolute form, which does not begin with '/'.
  const auto target = line.find(' ');
  const auto scheme = line.find("://");
  if (target != line.npos && scheme != line.npos && line.substr(target + 1, 1) != "/") {
    const auto host = scheme + 3;
    const auto end = std::min(line.find_first_of("/? ", host), line.size());
    const auto at = line.substr(0, end).rfind('@');
    if (at != line.npos && at > host) {
      out.append(line.substr(0, host)).append(redacted);
      line.remove_prefix(at);
    }
  }
  const auto query = std::min(line.find('?'), line.size());
  out += line.substr(0, query);
  line.remove_prefix(query);
  while (!line.empty()) {
    const auto end = std::min(line.find_first_of("& ", 1), line.size());
    const std::string_view parameter = line.substr(0, end);
    const auto equals = parameter.find('=');
    const bool named = equals != parameter.npos && (line[0] == '?' || line[0] == '&');
    const std::string_view name = named ? parameter.substr(1, equals - 1) : std::string_view{};
    if (named && is_secret(text::percent_decode(name).value_or(std::string(name)))) {
      out.append(parameter.substr(0, equals + 1)).append(redacted);
    } else {
      out += parameter;
    }
    line.remove_prefix(end);
  }
  return out;
}

}  // namespace

std::string presentable_head(std::string_view head) {
  const bool cut = head.size() > Journal::longest_head;
  head = head.substr(0, Journal::longest_head);
  std::string out;
  bool first = true;
  bool secret = false;  // whether the field that the line belongs to is
  while (!head.empty()) {
    const auto end = std::min(head.find('\n'), head.size() - 1) + 1;
    const std::string_view whole = head.substr(0, end);
    const std::string_view line = whole.substr(0, whole.find_last_not_of("\r\n") + 1);
    const std::string_view name = line.substr(0, line.find(':'));
    head.remove_prefix(end);
    const bool folded = !line.empty() && (line[0] == ' ' || line[0] == '\t');
    // The first line is a field only where a request has none.
    const bool field = !first || (name.size() < line.size() && name.find(' ') == name.npos);
    if (!folded) secret = field && is_secret(name);
    if (!secret) {
      out += first && !field ? without_secrets_in_target(line) : std::string(line);
    } else if (folded || name.size() == line.size()) {
      out += redacted;
    } else {
      out.append(name).append(": ").append(redacted);
    }
    out += whole.substr(line.size());
    first = false;
  }
  if (cut) out.append(out.ends_with('\n') ? "" : "\r\n").append("[cut]");
  return out;
}

}  // namespace hyperpod::emulator::journal
