// SPDX-License-Identifier: Apache-2.0
// The client's reader of configurations against Python and PyYAML: the same values, and errors for
// the same texts. A few hundred texts are written by hand, others are made from them.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "config_json.h"
#include "config_value.h"
#include "config_variable.h"
#include "config_yaml.h"
#include "hyperpod/base/child_process.h"
#include "hyperpod/client/config.h"

namespace hyperpod::client {
namespace {

using nlohmann::json;

constexpr const char* python = "/usr/bin/python3";  // the one that python3-yaml belongs to

// What the reference says of each text.
std::vector<json> ask_python(const std::string& what, const std::vector<std::string>& texts) {
  std::string input;
  for (const std::string& text : texts) input += json{{what, text}}.dump() + "\n";
  base::ChildOptions options;
  options.arguments = {python, "-B", "-W", "ignore", HYPERPOD_LMCACHE_REFERENCE};
  options.input = input;
  auto child = base::ChildProcess::start(options);
  if (!child) throw std::runtime_error(child.error().message);
  const int code = child->wait();
  if (code != 0) throw std::runtime_error("the reference failed: " + child->errors());
  std::vector<json> responses;
  std::istringstream lines(child->output());
  for (std::string line; std::getline(lines, line);) responses.push_back(json::parse(line));
  if (responses.size() != texts.size()) throw std::runtime_error("the reference ended early");
  return responses;
}

bool reference_is_there() {
  base::ChildOptions options;
  options.arguments = {python, "-c", "import yaml"};
  auto child = base::ChildProcess::start(options);
  return child && child->wait() == 0;
}

std::string name_of(ConfigValue::Kind kind) {
  switch (kind) {
    case ConfigValue::Kind::none:
      return "none";
    case ConfigValue::Kind::boolean:
      return "boolean";
    case ConfigValue::Kind::integer:
      return "integer";
    case ConfigValue::Kind::decimal:
      return "decimal";
    case ConfigValue::Kind::text:
      return "text";
    case ConfigValue::Kind::timestamp:
      return "timestamp";
    case ConfigValue::Kind::bytes:
      return "bytes";
    case ConfigValue::Kind::sequence:
      return "sequence";
    case ConfigValue::Kind::mapping:
      break;
  }
  return "mapping";
}

json number_or_null(std::optional<double> number) {
  return number ? json(python_text(*number)) : json(nullptr);
}

// A value in the terms of the reference.
json described(const ConfigValue& value, int depth = 0) {
  json result = {{"kind", name_of(value.kind)}, {"truth", value.truth}};
  switch (value.kind) {
    case ConfigValue::Kind::bytes:
    case ConfigValue::Kind::sequence:
      return result;
    case ConfigValue::Kind::mapping: {
      if (depth == 2) return result;
      json entries = json::object();
      for (const auto& [key, entry] : value.entries) entries[key] = described(entry, depth + 1);
      result["entries"] = entries;
      return result;
    }
    default:
      break;
  }
  result["text"] = value.text;
  result["int"] = number_or_null(to_integer(value));
  result["float"] = number_or_null(to_decimal(value));
  return result;
}

json described(const Result<ConfigValue>& value) {
  return value ? described(*value) : json{{"error", value.error().message}};
}

// Compares what the reference says of each text with what `ours` says. Of errors only whether there
// is one.
template <class Ours>
void compare(const std::string& what, const std::vector<std::string>& texts, Ours ours) {
  if (!reference_is_there()) GTEST_SKIP() << "python3-yaml is not installed";
  const auto expected = ask_python(what, texts);
  int differences = 0;
  for (std::size_t i = 0; i < texts.size() && differences < 20; ++i) {
    const json actual = ours(texts[i]);
    const bool same =
        expected[i].contains("error") ? actual.contains("error") : actual == expected[i];
    if (same) continue;
    ++differences;
    ADD_FAILURE() << json(texts[i]).dump() << "\n  python: " << expected[i].dump()
                  << "\n  ours:   " << actual.dump(-1, ' ', false, json::error_handler_t::replace);
  }
}

json ours_of_yaml(const std::string& text) { return described(parse_yaml(text)); }

// Scalars as they may stand in a file.
const std::vector<std::string>& scalars() {
  static const std::vector<std::string> all = {
      // null
      "", "~", "null", "Null", "NULL", "nULL", "None", "none", "nil",
      // booleans
      "yes", "Yes", "YES", "yEs", "y", "Y", "n", "N", "no", "No", "NO", "true", "True", "TRUE",
      "tRUE", "false", "False", "FALSE", "on", "On", "ON", "oN", "off", "Off", "OFF", "t", "f",
      // integers of YAML 1.1
      "0", "-0", "+0", "00", "0_", "007", "010", "-010", "+017", "08", "09", "0o17", "0O17", "0_7",
      "1", "+1", "-1", "12", "1_000", "1__0", "1_", "_1", "1 000", "1,000", "--1", "+-1", "- 1",
      "0b101", "0b1_0", "-0b11", "0b", "0b_", "0b2", "0B1", "0x1F", "0xff", "-0xFf", "0x_f", "0x",
      "0x_", "0X1F", "0xg", "1:30", "190:20:30", "-1:30", "1:60", "1:5", "1:05", "01:30", "0:30",
      "1:30:", ":30", "1_0:30", "1:2:3:4:5:6:7:8:9:10:11:12", "9223372036854775807",
      "18446744073709551616", "123456789012345678901234567890", "0xffffffffffffffffffffffff",
      "-170141183460469231731687303715884105728",
      // decimals
      "1.0", "1.", ".5", "-.5", "+.5", "0.5", "-1.5", "+1.5", "1.5e3", "1.5e+3", "1.5E-3", "1e5",
      "1e+5", "1E5", "1.e+5", ".5e+1", ".5e1", "1_0.5_0", "._5", ".", "..", "-", "+", "1.2.3",
      "1:30.5", "1:30.", "190:20:30.15", ".inf", "-.inf", "+.inf", ".Inf", ".INF", ".iNF", "inf",
      "-inf", "Infinity", ".nan", ".NaN", ".NAN", "-.nan", "nan", "NaN", "1.0e+400", "1.0e-400",
      "30.0", "12345678901234567.0", "1.0e+16", "1.0e+15", "0.0001", "0.00001", "1.0e-5",
      "123456789.123456789", "5e-324", "2.0e+0", "1_000.5", "6.02e+23", "-0.0", "100.0e-2",
      // timestamps
      "2001-12-14", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43Z",
      "2001-12-14 21:59:43.10 -5", "2001-12-15 2:59:43.10", "2001-12-14 21:59:43",
      "2001-12-14 21:59:43.1234567", "2001-02-30", "2000-02-29", "1900-02-29", "0000-01-01",
      "2001-13-01", "2001-00-10", "2001-12-14 24:00:00", "2001-12-14 21:60:00",
      "2001-12-14 21:59:60", "2001-12-14 21:59:43 +24:00", "2001-12-14 21:59:43 +23:59",
      "2001-12-14 21:59:43 -00:00", "2001-12-14 21:59:43 +5:3", "2001-12-14 21:59:43.",
      "2001-12-14 21:59", "2001-12-14  21:59:43  Z", "20011214", "2001-12-14 21:59:43 z",
      "2001-12-14 21:59:43 +1", "2001-1-1 1:00:00", "999-01-01", "10000-01-01",
      // text
      "hello", "two words", "'12'", "\"12\"", "'yes'", "\"~\"", "''", "\"\"", "'it''s'",
      "\"a\\tb\\u00e9\\x41\\\\\"", "a#b", "a #b", "http://h:9200",
      "sagemaker-hyperpod://$NODE_IP:9200", "=", "'='", "<<", "'<<'", "a: b", "- a", "?", "? a",
      ":", "::", "a:", "{}", "[]", "[a, b]", "{a: 1}", "{a: {b: {c: 1}}}", "[1, [2, [3]]]", "[a",
      "{a", "a]", "a}", "@x", "`x", "%x", "&a", "&a x", "*a", "!", "! 12", "! '12'", "|", ">",
      "ünïcödé", "\xf0\x9f\x98\x80", "null and void", "12 monkeys", "1 # one", "yes # really",
      "\"unclosed", "'unclosed",
      // tags
      "!!str 12", "!!str yes", "!!str", "!!str ~", "!!int 12", "!!int '12'", "!!int 0x1F",
      "!!int 0o17", "!!int abc", "!!int ''", "!!int ' 7 '", "!!int 1.5", "!!int 1:99", "!!int _",
      "!!float 1", "!!float 1e5", "!!float '1_0'", "!!float inf", "!!float .5", "!!float ''",
      "!!float x", "!!float 1:30", "!!bool yes", "!!bool 'On'", "!!bool Y", "!!bool 1", "!!null ''",
      "!!null x", "!!null ~", "!!timestamp 2001-1-1", "!!timestamp x", "!!timestamp '2001-12-14'",
      "!!seq []", "!!seq x", "!!seq {}", "!!map {}", "!!map x", "!!map []", "!!set {a, b}",
      "!!set {}", "!!set [a]", "!!omap [a: 1]", "!!omap [a]", "!!omap {a: 1}", "!!omap []",
      "!!pairs [a: 1, a: 2]", "!!pairs [{a: 1, b: 2}]", "!!binary aGVsbG8=", "!!python/none x",
      "!!python/tuple [1]", "!local x", "!<tag:yaml.org,2002:int> 7", "!e!x y", "!!unknown x",
      "!!str [a]", "!!int {a: 1}", "!!merge x", "!!value x", "!!yaml x"};
  return all;
}

std::vector<std::string> documents_by_hand() {
  return {
      "",
      " ",
      "\n",
      "---",
      "--- \n",
      "...",
      "---\n...\n",
      "# only a comment",
      "---\na: 1\n...\n",
      "a: 1\n---\nb: 2\n",
      "--- a\n--- b\n",
      "---\n---\n",
      "a: 1\n...\n...\n",
      "a: 1\n... \nb: 2",
      "%YAML 1.1\n---\na: 010\n",
      "%YAML 1.2\n---\na: 010\n",
      "%YAML 2.0\n---\na: 1\n",
      "%TAG ! tag:yaml.org,2002:\n---\na: !int 7\n",

      "a: 1\n%YAML 1.1\n",
      "\xef\xbb\xbf"
      "a: 1\n",
      "\xef\xbb\xbf",
      "\xef\xbb\xbf---\na: 1\n",
      "\xef\xbb\xbf# c\na: 1",
      "a: 1\r\nb: 2\r\n",
      "a: 1\rb: 2\r",
      "a: |\r\n  x\r\n  y\r\n",
      "a: \"x\r\n  y\"\r\n",
      "a: 1\n\tb: 2\n",
      "\ta: 1\n",
      "a:\t1\n",
      "a: 1\t\n",
      "a:\n\t- x\n",
      "a: 1 \t# c\n",
      "{a:\t1}",
      "a:\n  - x\n  -\ty\n",
      "a: 'x\n\ty'\n",
      "a: 1\n b: 2\n",
      "a:\n b: 1\n  c: 2\n",
      "a: b: c\n",
      "# a\tb\na: 1\n",
      "a: 1 # x\ty\n",
      "a: 'x\ty' # \t\n",
      "a: x#\ty\n",
      "a: |\n  x\ty\n",
      "a: \"\t\"\t\n",
      "a: x\ty\n",
      "a: \xc3\xa9 '\t'\nb:\t1\n",
      "a: '\xc3\xa9\xc3\xa9\t' #\n",
      "a: \xc3\xa9\r\nb: '\t'\r\n",
      "-\ta\n",
      "a: [x,\ty]\n",
      "\n\t\na: 1\n",
      "a: 1\n\t\n",
      "a: |\n  x\n\t\nb: 1\n",
      "a: >\n  x\n  \ty\n",
      "a: 1\na: 2\n",
      "a: 1\nb: 2\na: 3\n",
      "a: {x: 1}\na: {y: 2}\n",
      "1: a\n1: b\n",
      "yes: 1\ntrue: 2\n",
      "~: 1\n",
      "[a]: 1\n",
      "{a: 1}: 2\n",
      "? a\n: 1\n",
      "? [a]\n: 1\n",
      "? a\n",
      "? a\n? b\n",
      "? |\n  k\n: v\n",
      "!!set {a}: 1\n",
      "2001-12-14: 1\n",
      "1.5: x\n",
      "a: &x 1\nb: *x\n",
      "a: *x\n",
      "a: &x 1\nb: &x 2\n",
      "a: &x {k: 1}\nb: *x\n",
      "a: &x [*x]\n",
      "&a [*a]\n",
      "&a [*a, *b]\n",
      "&a {b: *a}\n",
      "&a {*a : 1}\n",
      "a: &x\nb: *x\n",
      "*a : 1\n",
      "a: &x x\n*x : 2\n",
      "a: & x\n",
      "a: * x\n",
      "a: &x &y z\n",
      "&x *y\n",
      "a: !!str &x 1\n",
      // merges
      "b: &b {x: 1}\na: {<<: *b, y: 2}\n",
      "b: &b {x: 1}\na: {x: 2, <<: *b}\n",
      "b: &b {x: 1}\na: {<<: *b, x: 2}\n",
      "a: {<<: {x: 1}, y: 2}\n",
      "a: {<<: {x: 1}, <<: {x: 2}}\n",
      "a: &a {x: 1}\nb: &b {x: 2}\nc: {<<: [*a, *b]}\n",
      "c: {<<: [{x: 1}, {x: 2, y: 3}]}\n",
      "c: {<<: [{x: 1}, {x: 2}], <<: {x: 3}}\n",
      "c: {<<: {x: 3}, <<: [{x: 1}, {x: 2}]}\n",
      "c: {<<: []}\n",
      "c: {<<: {}}\n",
      "c: {<<: 1}\n",
      "c: {<<: [1]}\n",
      "c: {<<: [[{x: 1}]]}\n",
      "c: {<<: ~}\n",
      "c: {<<: }\n",
      "c: {'<<': {x: 1}}\n",
      "c: {!!str <<: {x: 1}}\n",
      "c: {!!merge '<<': {x: 1}}\n",
      "c: {!!merge x: {x: 1}}\n",
      "- <<\n",
      "a: <<\n",
      "<<\n",
      "<<: {a: 1}\nb: 2\n",
      "b: 2\n<<: {a: 1, b: 3}\n",
      "<<: [{a: 1}, {a: 2, c: 3}]\nb: 2\n",
      "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n",
      "a: &a {<<: *a, x: 1}\n",
      "a: &a {x: 1, <<: *a, <<: {y: 2}}\n",
      "a: &a {<<: [*a, {x: 2}], x: 1}\n",
      "a: {<<: &b {<<: &c {x: 1}, x: 2}, y: *c, z: *b}\n",
      "a: {=: 1}\n",
      "a: {=: 1, b: 2}\n",
      "=: 1\n",
      "c: {<<: {=: 1}}\n",
      "!!set {<<: {x: 1}}\n",
      "a: !!set {<<: {x: 1}}\n",
      "d: &d\n  sagemaker_hyperpod_bucket: base\n  sagemaker_hyperpod_timeout_ms: 0x10\n"
      "extra_config:\n  <<: *d\n  sagemaker_hyperpod_timeout_ms: 1_000\n",
      // blocks and folding
      "a: |\n  one\n  two\n",
      "a: |-\n  one\n",
      "a: |+\n  one\n\n",
      "a: >\n  one\n  two\n\n  three\n",
      "a: >-\n  one\n   two\n",
      "a: |2\n  one\n",
      "a: |1\n  one\n",
      "a: |0\n  one\n",
      "a: |\none\n",
      "a: |\n\n  x\n",
      "a: |  # c\n  x\n",

      "a: one\n  two\n",
      "a: 'one\n\n  two'\n",
      "a: \"one \\\n  two\"\n",
      "a: \"\\q\"\n",

      "a: \"\\U0001f600\"\n",
      "a: 12\n  13\n",
      "a:\n- x\n- y\nb: 1\n",
      "a:\n  - x\n  - {y: 1}\n",
      "- a\n- b\n",
      "-a\n",
      "- - a\n  - b\n",
      "a: [x,\ny]\n",
      "a: [x,\n  y]\n",
      "a: {x: 1,\n  y: 2}\n",
      "a: [x, , y]\n",
      "a: [x, ]\n",
      "a: {x}\n",
      "a: {x, y: 1}\n",
      "a: {x:1}\n",
      "a: {\"x\":1}\n",
      "a: [x: 1]\n",
      "a: [x: 1, y]\n",
      "a: [? x : 1]\n",
      "a: {? x : 1}\n",
      "a: {x: [}\n",
      "a: [1, 2}\n",
      "[a, b]\n",
      "{a: 1}\n",
      "{a: 1} b\n",
      "'a': 1\n",
      "\"a\" : 1\n",
      "a : 1\n",
      "a :1\n",
      "a:1\n",
      "a: 1\nb\n",
      "a\nb: 1\n",
      "a: - b\n",
      "- a\nb: 1\n",
      "a:\n  b\n  c: 1\n",
      "a: [a b, c d]\n",
      "a: http://h:1/x?y#z\n",
      "a: [http://h:1, b]\n",
      "a: x:y\n",
      "a: [x:y]\n",
      "{a: x:y}\n",
      "a: @b\n",
      "a: `b\n",
      "a: %b\n",
      "a: !b c\n",
      "a: 'x' y\n",
      "a: \"x\" # c\n",
      "a: \"x\"#c\n",
      "a: b # c\n#d\n  # e\nf: 1\n",
      "a: \x01\n",
      "a: \x7f\n",
      "a: \xc2\x85\n",
      "a: x\xc2\x85"
      "b: y\n",
      "a: x\xe2\x80\xa8"
      "b\n",
      "a: \xc2\xa0\n",
      "a: x\xc2\xa0\n",
      "a: \xef\xbf\xbe\n",
      "a: \xef\xbb\xbf"
      "b\n",
      "a: \xf0\x9f\x98\x80\n",
      "k: v\n#",
      "#\n#\n",
      // LMCache's own
      "chunk_size: 256\nlocal_cpu: True\nmax_local_cpu_size: 5\n"
      "remote_url: \"sagemaker-hyperpod://$NODE_IP:9200\"\n",
      "extra_config:\n  remote_storage_plugin.hyperpodkv.module_path: hyperpod_kv.lmcache\n",
      "remote_storage_plugins: [\"hyperpodkv\"]\nextra_config: {a.b: {c: {d: e}}}\n",
      R"({"extra_config": {"a": "b\/c", "d": null, "e": true, "f": 1e5}})",
  };
}

// Those that may stand between brackets; config_yaml.h tells what libyaml reads otherwise there.
std::vector<std::string> flow_scalars() {
  std::vector<std::string> all = scalars();
  std::erase_if(all, [](const std::string& text) {
    return text.ends_with(':') || text.starts_with('?') || text == "!!str" || text == "!";
  });
  return all;
}

// Files made of scalars at random places.
std::vector<std::string> generated_documents(std::size_t count) {
  std::mt19937 random(20'261'128);  // NOLINT(cert-msc51-cpp): the same files each time
  const auto pick = [&](const std::vector<std::string>& from) -> const std::string& {
    return from[random() % from.size()];
  };
  const auto in_flow = flow_scalars();
  const std::vector<std::string> keys = {"a", "b", "extra_config", "'a'", "1", "yes", "~", "a b"};
  const std::vector<std::string> ends = {"\n", "\n", "\n", "\r\n", " # c\n", "\n\n", " \n"};
  std::vector<std::string> documents;
  while (documents.size() < count) {
    std::string text = random() % 8 == 0 ? "---\n" : "";
    std::vector<std::string> anchors;
    const auto lines = 1 + random() % 6;
    for (std::size_t i = 0; i < lines; ++i) {
      text += pick(keys) + ": ";
      switch (random() % 8) {
        case 0: {
          const std::string anchor = "m" + std::to_string(i);
          text += "&" + anchor + " {x: " + pick(in_flow) + ", " + pick(keys) + ": 7}";
          anchors.push_back(anchor);
          break;
        }
        case 1:
          text += "{y: 1, <<: " + (anchors.empty() ? "{x: 1}" : "*" + pick(anchors)) + "}";
          break;
        case 2:
          text += "{<<: [" + (anchors.empty() ? "{}" : "*" + pick(anchors)) +
                  ", {x: " + pick(in_flow) + "}], a: " + pick(in_flow) + "}";
          break;
        case 3:
          text += "[" + pick(in_flow) + ", " + pick(in_flow) + "]";
          break;
        case 4:
          text += "\n  " + pick(keys) + ": " + pick(scalars()) + pick(ends) + "  " + pick(keys) +
                  ": " + pick(scalars());
          break;
        default:
          text += pick(scalars());
      }
      text += pick(ends);
    }
    documents.push_back(text);
  }
  return documents;
}

TEST(ConfigAgainstPython, ReadsEveryScalarAsPyyamlDoes) {
  std::vector<std::string> texts;
  for (const std::string& scalar : scalars()) {
    texts.push_back("a: " + scalar + "\n");
    texts.push_back("- " + scalar + "\n");
    texts.push_back(scalar);
  }
  for (const std::string& scalar : flow_scalars()) {
    texts.push_back("extra_config: {x: " + scalar + "}\n");
  }
  compare("yaml", texts, ours_of_yaml);
}

TEST(ConfigAgainstPython, ReadsDocumentsAsPyyamlDoes) {
  compare("yaml", documents_by_hand(), ours_of_yaml);
}

TEST(ConfigAgainstPython, ReadsGeneratedDocumentsAsPyyamlDoes) {
  compare("yaml", generated_documents(800), ours_of_yaml);
}

TEST(ConfigAgainstPython, ReadsJsonAsPythonDoes) {
  std::vector<std::string> values = {"1",
                                     "-1",
                                     "0",
                                     "-0",
                                     "01",
                                     "1.",
                                     ".5",
                                     "1.5",
                                     "1e5",
                                     "1E+5",
                                     "1e",
                                     "1e400",
                                     "1e-400",
                                     "+1",
                                     "NaN",
                                     "Infinity",
                                     "-Infinity",
                                     "nan",
                                     "inf",
                                     "-",
                                     "true",
                                     "True",
                                     "false",
                                     "null",
                                     "None",
                                     "\"\"",
                                     "\"a\"",
                                     "'a'",
                                     "\"\\u00e9\"",
                                     "\"\\ud83d\\ude00\"",
                                     "\"\\u12\"",
                                     "\"\\x41\"",
                                     "\"\\/\"",
                                     "\"a\tb\"",
                                     "\"a\nb\"",
                                     "\"\x7f\"",
                                     "\"unclosed",
                                     "\"\\\"\"",
                                     "[]",
                                     "[1]",
                                     "[1,]",
                                     "[,]",
                                     "[1 2]",
                                     "{}",
                                     "{\"b\": 1}",
                                     "{\"b\": 1,}",
                                     "{b: 1}",
                                     "{\"b\" 1}",
                                     "{\"b\": }",
                                     "123456789012345678901234567890",
                                     "1.0",
                                     "100000000000000000000.0",
                                     "1_000",
                                     "0x10",
                                     "",
                                     "{\"b\": {\"c\": {\"d\": 1}}}",
                                     "[[[1]]]",
                                     "tru",
                                     "nul",
                                     "1 2",
                                     "\"\xc3\xa9\"",
                                     "// c\n1"};
  std::vector<std::string> texts = {"{} {}", "{}x",  " {} ",          "\n{}\n",
                                    "\t{}",  "\f{}", "\xef\xbb\xbf{}"};
  for (const std::string& value : values) {
    texts.push_back(value);
    texts.push_back("{\"a\": " + value + "}");
    texts.push_back("{\"a\": 1, \"a\" : " + value + " , \"c\":2}");
    texts.push_back("[" + value + "]");
  }
  compare("json", texts, [](const std::string& text) { return described(parse_json(text)); });
}

TEST(ConfigAgainstPython, TakesQuotesAndBlanksOffVariablesAsLmcacheDoes) {
  std::vector<std::string> texts = {"",
                                    " ",
                                    "a",
                                    " a ",
                                    "a\n",
                                    "\ta\t",
                                    "\xc2\xa0"
                                    "a\xe2\x80\x83",
                                    "\x1c"
                                    "a",
                                    "''",
                                    "\"\"",
                                    "'a'",
                                    "\"a\"",
                                    "'a\"",
                                    "'",
                                    "\"",
                                    "' a '",
                                    "  'a'  ",
                                    "\"'a'\"",
                                    "'it's'",
                                    "'it\\'s'",
                                    "\"a\\nb\"",
                                    "\"a\nb\"",
                                    "'''a'''",
                                    "'''a\nb'''",
                                    "'a' 'b'",
                                    "'a''b'",
                                    "'a', 'b'",
                                    "'a',\"b\",'c'",
                                    "'a' + 'b'",
                                    "'a'b'",
                                    "\"{\\\"a\\\": 1}\"",
                                    "'{\"a\": 1}'",
                                    "\"{\"a\": 1}\"",
                                    "'\\x41'",
                                    "'\\x4'",
                                    "'\\u00e9'",
                                    "'\\u12'",
                                    "'\\U0001f600'",
                                    "'\\U00110000'",
                                    "'\\101'",
                                    "'\\8'",
                                    "'\\q'",
                                    "'\\\\'",
                                    "'\\'",
                                    "'a\\\nb'",
                                    "''''",
                                    "'''a'",
                                    "\"\"\"a\"\"\"",
                                    "'a' ,'b'",
                                    "'\xc3\xa9'",
                                    "'a'\t'b'",
                                    "'a' if 1 else 'b'",
                                    "'%s' % 'a'"};
  std::mt19937 random(7);  // NOLINT(cert-msc51-cpp)
  const std::vector<std::string> parts = {"'",   "\"", "\\", "a", " ", "n",
                                          "x41", "{",  "}",  "'", "\""};
  for (int i = 0; i < 600; ++i) {
    std::string text = i % 2 == 0 ? "'" : "\"";
    for (auto left = random() % 8; left > 0; --left) text += parts[random() % parts.size()];
    texts.push_back(text + (i % 2 == 0 ? "'" : "\""));
  }
  compare("variable", texts, [](const std::string& text) {
    return json{{"text", variable_value(text)}};
  });
}

json ours_of_load(const std::string& text) {
  const auto loaded = parse_options(text, "test.yaml");
  if (!loaded) return {{"error", loaded.error().message}};
  const ClientOptions& options = loaded->options;
  const auto given = [&](const char* name) {
    return std::ranges::find(loaded->keys, std::string("sagemaker_hyperpod_") + name) !=
           loaded->keys.end();
  };
  const auto if_given = [&](const char* name, const json& value) {
    return given(name) ? value : json(nullptr);
  };
  json result = {
      {"remote_url", options.remote_url.empty() ? json(nullptr) : json(options.remote_url)},
      {"bucket", if_given("bucket", options.bucket)},
      {"shared_memory_name",
       options.shared_memory_name ? json(*options.shared_memory_name) : json(nullptr)},
      {"max_concurrent_requests",
       if_given("max_concurrent_requests", double(options.max_concurrent_requests))},
      {"timeout_ms", if_given("timeout_ms", double(options.timeout.count()))},
      {"lease_ttl_s",
       if_given("lease_ttl_s", std::chrono::duration<double>(options.lease_ttl).count())},
      {"max_lease_bytes",
       options.max_lease_bytes ? json(double(*options.max_lease_bytes)) : json(nullptr)},
      {"use_https", if_given("use_https", options.use_https)},
      {"save_chunk_meta", options.save_chunk_meta}};
  return result;
}

// Each parameter with each scalar, but for what the client refuses or changes on purpose.
TEST(ConfigAgainstPython, ConvertsEveryParameterAsLmcacheDoes) {
  const std::vector<std::string> values = {"7",
                                           "'7'",
                                           "' 7 '",
                                           "'+7'",
                                           "7.9",
                                           "'7.9'",
                                           "1_000",
                                           "'1_000'",
                                           "'1__0'",
                                           "0x10",
                                           "'0x10'",
                                           "010",
                                           "'010'",
                                           "1:30",
                                           "1e5",
                                           "'1e2'",
                                           "1.0e+2",
                                           "'1.5'",
                                           "0",
                                           "-1",
                                           "0.5",
                                           "'0'",
                                           "'-3'",
                                           "true",
                                           "false",
                                           "yes",
                                           "'true'",
                                           "'false'",
                                           "''",
                                           "~",
                                           "text",
                                           "[1]",
                                           "{a: 1}",
                                           "[]",
                                           "{}",
                                           "nan_",
                                           "'0b1'",
                                           "2001",
                                           "'\xc2\xa0"
                                           "7'",
                                           "!!int '8'",
                                           "!!float 8",
                                           "!!str 8",
                                           "1:00:00",
                                           "3.0",
                                           "'3.'",
                                           "'.5'",
                                           "'5_0.5'"};
  std::vector<std::string> texts;
  for (const char* name : {"max_concurrent_requests", "timeout_ms", "lease_ttl_s", "use_https"}) {
    for (const std::string& value : values) {
      texts.push_back("extra_config:\n  sagemaker_hyperpod_" + std::string(name) + ": " + value);
    }
  }
  for (const std::string& value : values) {
    texts.push_back("extra_config: {save_chunk_meta: " + value + "}");
    texts.push_back("extra_config: {save_chunk_meta: false}\nuse_layerwise: " + value);
    if (!value.starts_with('[') && !value.starts_with('{')) {  // the client refuses such buckets
      texts.push_back("extra_config: {sagemaker_hyperpod_bucket: " + value + "}");
      texts.push_back("extra_config: {sagemaker_hyperpod_shared_memory_name: " + value + "}");
    }
  }
  for (const char* size :
       {"7", "0.5", "'1.5'", "~", "0", "-1", ".inf", "inf", "''", "x", "true", "1e2", "[1]"}) {
    texts.push_back("extra_config: {sagemaker_hyperpod_max_lease_size_mb: " + std::string(size) +
                    "}");
  }
  for (const char* bucket : {"2001-12-14", "2001-12-14 21:59:43.5 +1", "1.0e+20", "1.50", "0xff",
                             "1e5", "12345678901234567890123", ".inf", "None", "'a b'"}) {
    texts.push_back("extra_config: {sagemaker_hyperpod_bucket: " + std::string(bucket) + "}");
  }
  for (const char* extra : {"''", "~", "'{}'", "'{\"sagemaker_hyperpod_bucket\": \"j\"}'", "'{'",
                            "'[]'", "'[1]'", "'7'", "'null'", "7", "[1]", "[]", "false", "true",
                            "{}", "'{\"sagemaker_hyperpod_lease_ttl_s\": 1e2}'"}) {
    texts.push_back("extra_config: " + std::string(extra));
  }
  for (const char* url : {"~", "''", "12", "h:9200", "'h:9200'", "yes"}) {
    texts.push_back("remote_url: " + std::string(url));
  }
  for (const char* whole :
       {"- a", "text", "7", "0", "false", "''", "[]", "{}", "~", "a: [", "2001-12-14"}) {
    texts.push_back(whole);
  }
  compare("load", texts, ours_of_load);
}

}  // namespace
}  // namespace hyperpod::client
