// SPDX-License-Identifier: Apache-2.0
#include "daemon/names.h"

#include <array>
#include <cstdio>

namespace hyperpod::conformance::daemon {

std::span<const std::pair<std::string_view, std::string_view>> lookalikes() {
  static constexpr std::pair<std::string_view, std::string_view> pairs[]{
      {"key", "Key"},
      {"key", "kez"},
      {"key", "keyy"},
      {"key", "key%20"},
      {"key", "%20key"},
      {"key.", "key"},
      {"a%5Cb", "a%2Fb"},
      {"a%23b", "a"},
      {"a%3Fb", "a"},
      {"a%3Bb", "a"},
      {"a%2Fb", "a"},
      {"a%2F%2Fb", "a%2Fb"},
      {"a%2F", "a"},
      {"%2Fa%2F..%2Fb", "%2Fb"},
      {"a%2F.%2Fb", "a%2Fb"},
      {"k%C3%A0", "k%C3%85"},    // Their last bytes are white space in ISO 8859-1.
      {"75be4d1e", "4baa5d72"},  // With one CRC-32, whatever stands in front.
      {"k%C4%B1", "ki"},
      {"k%CE%91", "kA"},
      {"k%E2%80%8B", "k"},
      {"k%C2%AD", "k"},
      {"k%EF%BB%BF", "k"},
      {"%C3%A9", "e%CC%81"},
      {"%EF%BC%A1", "A"},
      {"%C3%9F", "ss"},
      {"%F0%9F%94%91", "%EF%BF%BD"},
      {"0", "00"},
      {"1", "01"},
      {"1", "1.0"},
      {"a@01", "a@1"},
      {"a@0", "a@00"},
      {"a-b", "a_b"},
      {"a.b", "a-b"},
      {"a%3Ab", "a%2Fb"},
      {"a%2Bb", "a%20b"},
      {"a%2541", "aA"},
      {"a%25", "a"},
      {"a%2A", "aa"},
      {"a%26b", "a"},
      {"a%3Db", "a"},
      {"a%22b", "ab"},
      {"a%7Cb", "ab"},
      {"a%2C1", "a%2C2"},
      {"a%20%20b", "a%20b"}};
  return pairs;
}

std::string encoded(unsigned char c) {
  std::array<char, 8> text{};
  std::snprintf(text.data(), text.size(), "%%%02X", c);
  return text.data();
}

std::string encoded(std::string_view name) {
  constexpr std::string_view unreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string text;
  for (const char c : name) {
    if (unreserved.find(c) != unreserved.npos) {
      text += c;
    } else {
      text += encoded(static_cast<unsigned char>(c));
    }
  }
  return text;
}

bool may_be_refused(std::string_view encoded_name) {
  for (auto at = encoded_name.find('%'); at != encoded_name.npos;
       at = encoded_name.find('%', at + 1)) {
    const std::string digits(encoded_name.substr(at + 1, 2));
    if (digits[0] < '2' || digits == "7F") return true;
  }
  return false;
}

bool is_refusal(const Response& response) {
  return response.status >= 400 && response.status != 409;
}

void expect_not_stored(Check& check, Session& session, const Name& name, const std::string& why) {
  if (!may_be_refused(name.bucket) && !may_be_refused(name.key))
    return check.expect_absent(session, name, why);
  const Response leased = session.acquire(name);
  if (is_miss(leased)) return;
  const bool refused = is_refusal(leased) && is_refusal(session.put(name, check.bytes(20)));
  check.expect(refused, "a miss (504 or 404), or that this name is refused throughout: " + why,
               described(leased));
}

}  // namespace hyperpod::conformance::daemon
