#include "daemon/session.h"

#include <gtest/gtest.h>

namespace hyperpod::conformance {
namespace {

using namespace std::chrono_literals;

TEST(LeaseTerms, AreWrittenAsTheClientsWriteThem) {
  EXPECT_EQ((LeaseTerms{5000ms, 30s}.query()), "timeout_ms=5000&ttl_s=30.0");
  EXPECT_EQ((LeaseTerms{0ms, 1900ms}.query()), "timeout_ms=0&ttl_s=1.9");
}

TEST(Printable, KeepsTextAndEscapesTheRest) {
  EXPECT_EQ(printable("a\r\nb\tc"), "a\nb\\x09c");
  EXPECT_EQ(printable("Schlüssel 鍵 🔑"), "Schlüssel 鍵 🔑");
  EXPECT_EQ(printable(std::string_view("\x1b[31m\0", 6)), "\\x1B[31m\\x00");
  EXPECT_EQ(printable("\xC3"), "\\xC3");
  EXPECT_EQ(printable("\xC0\xAF"), "\\xC0\\xAF");           // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xED\\xA0\\x80");  // a surrogate
}

TEST(Transcript, KeepsTheFirstAndTheLatestEvents) {
  Transcript transcript;
  for (int i = 0; i < 100; ++i) transcript.add(Event::Kind::sent, 1, std::to_string(i), "");
  const auto events = transcript.events();
  EXPECT_EQ(events.front().head, "0");
  EXPECT_EQ(events.back().head, "99");
  EXPECT_EQ(events.size() + transcript.dropped(), 100u);
}

}  // namespace
}  // namespace hyperpod::conformance
