// SPDX-License-Identifier: Apache-2.0
#include "journal/head.h"

#include <algorithm>
#include <array>

#include "hyperpod/emulator/journal.h"
#include "text/percent.h"

namespace hyperpod::emulator::journal {
namespace {

constexpr std::string_view redacted = "[redacted]";

// The words of JournalHeads.
constexpr std::array<std::string_view, 9> words{"auth",   "cookie",  "credential", "key",  "passw",
                                                "secret", "session", "signature",  "token"};
constexpr std::size_t longest_word = 10;

/// In lower case, with its escapes decoded; broken ones stay.
std::string plain(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const int high = text.size() > 2 && text[0] == '%' ? text::hex_digit(text[1]) : -1;
    const int low = high < 0 ? -1 : text::hex_digit(text[2]);
    const char c = low < 0 ? text[0] : static_cast<char>(high << 4 | low);
    out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    text.remove_prefix(low < 0 ? 1 : 3);
  }
  return out;
}

bool is_secret(std::string_view name) {
  const std::string lower = plain(name);
  return std::ranges::any_of(words, [&](auto word) { return lower.find(word) != lower.npos; });
}

/// Where the first of the words stands; behind the end if there is none.
std::size_t first_word(std::string_view line) {
  std::size_t at = 0;
  for (; at < line.size(); ++at) {
    const std::string here = plain(line.substr(at, 3 * longest_word));
    if (std::ranges::any_of(words, [&](auto word) { return here.starts_with(word); })) break;
  }
  return at;
}

/// "?name=value&name=value", and what stands around it.
std::string without_secret_parameters(std::string_view text) {
  const auto begin = std::min(text.find_first_of("?#"), text.size());
  std::string out(text.substr(0, begin));
  text.remove_prefix(begin);
  while (!text.empty()) {
    const auto end_of_name = std::min(text.find_first_of("=?#&; ", 1), text.size());
    auto end = end_of_name;
    if (text[0] != ' ' && text.substr(end, 1) == "=") {
      if (is_secret(text.substr(1, end - 1))) {
        out.append(text.substr(0, end + 1)).append(redacted);
        // To some a semicolon is part of the value.
        text.remove_prefix(std::min(text.find_first_of("& ", end), text.size()));
        continue;
      }
      end = std::min(text.find_first_of("?#&; ", end), text.size());
    }
    out += text.substr(0, end);
    text.remove_prefix(end);
  }
  return out;
}

/// As above, and without what stands in front of a host, "http://user:password@host/path".
std::string without_secrets_in_urls(std::string_view text) {
  constexpr std::string_view behind_scheme = "://";
  std::string out;
  for (auto scheme = text.find(behind_scheme); scheme != text.npos;
       scheme = text.find(behind_scheme)) {
    const auto host = scheme + behind_scheme.size();
    const auto at = text.substr(0, text.find_first_of("/?# \t", host)).rfind('@');
    const bool has_user = at != text.npos && at > host;
    out.append(text.substr(0, host)).append(has_user ? redacted : "");
    text.remove_prefix(has_user ? at : host);
  }
  return without_secret_parameters(out.append(text));
}

/// "METHOD TARGET VERSION", or as far as it was kept.
bool is_request_line(std::string_view line) {
  const auto end_of_method = line.find(' ');
  if (end_of_method == line.npos) return false;
  const auto is_letter = [](char c) { return c >= 'A' && c <= 'Z'; };
  if (!std::ranges::all_of(line.substr(0, end_of_method), is_letter)) return false;
  line.remove_prefix(end_of_method + 1);
  const std::string_view target = line.substr(0, line.find(' '));
  line.remove_prefix(std::min(target.size() + 1, line.size()));
  const auto is_visible = [](char c) { return static_cast<unsigned char>(c) > ' ' && c != '\x7f'; };
  return (target.starts_with('/') || target.find("://") != target.npos) &&
         std::ranges::all_of(target, is_visible) &&
         line.size() <= std::string_view("HTTP/1.1").size() &&
         std::string_view("HTTP/").starts_with(line.substr(0, 5));
}

std::string first_line(std::string_view line) {
  if (is_request_line(line)) {
    // A path may look like anything.
    const auto target = line.find(' ') + 1;
    const bool has_path = line[target] == '/';
    const auto path = has_path ? std::min(line.find_first_of("?# ", target), line.size()) : 0;
    return std::string(line.substr(0, path)) + without_secrets_in_urls(line.substr(path));
  }
  // The reason of a status says nothing of anybody.
  if (line.starts_with("HTTP/") && line.find_first_of(":=") == line.npos) return std::string(line);
  const auto word = first_word(line);
  std::string out = without_secrets_in_urls(line.substr(0, word));
  if (word < line.size()) out += redacted;
  return out;
}

std::string field(std::string_view line) {
  const std::string_view name = line.substr(0, line.find(':'));
  if (!is_secret(name))
    return std::string(name) + without_secrets_in_urls(line.substr(name.size()));
  if (name.size() == line.size()) return std::string(redacted);
  return std::string(name).append(": ").append(redacted);
}

}  // namespace

std::string presentable_head(std::string_view head) {
  const bool cut = head.size() > Journal::longest_head;
  head = head.substr(0, Journal::longest_head);
  std::string out;
  bool first = true;    // nothing but ends of lines so far
  bool broken = false;  // by a carriage return alone, which to some ends no line
  bool hidden = false;  // something of the line before
  while (!head.empty()) {
    const std::string_view line = head.substr(0, head.find_first_of("\r\n"));
    head.remove_prefix(line.size());
    const std::string_view end = head.substr(0, head.starts_with("\r\n") ? 2 : 1);
    head.remove_prefix(end.size());
    if (!line.empty()) {
      const bool goes_on = broken || line[0] == ' ' || line[0] == '\t';
      const std::string shown = goes_on && hidden ? std::string(redacted)
                                : first           ? first_line(line)
                                                  : field(line);
      hidden = shown != line;
      out += shown;
    }
    out += end;
    broken = end == "\r";
    first = first && line.empty();
  }
  if (cut) out.append(out.ends_with('\n') ? "" : "\r\n").append("[cut]");
  return out;
}

}  // namespace hyperpod::emulator::journal
