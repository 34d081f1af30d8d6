// SPDX-License-Identifier: Apache-2.0
#include "bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace hyperpod::client::cli {
namespace {

using Bucket = LatencyHistogram::Bucket;

std::string duration_text(std::chrono::nanoseconds duration) {
  const auto count = static_cast<double>(duration.count());
  if (count < 1e3) return fmt::format("{:.0f} ns", count);
  if (count < 1e6) return fmt::format("{:.3g} us", count / 1e3);
  if (count < 1e9) return fmt::format("{:.3g} ms", count / 1e6);
  return fmt::format("{:.3g} s", count / 1e9);
}

std::uint64_t most_in(const std::vector<Bucket>& buckets) {
  std::uint64_t most = 0;
  for (const Bucket& bucket : buckets) most = std::max(most, bucket.count);
  return most;
}

// The plot's own coordinates; the page scales it.
constexpr double width = 720;
constexpr double height = 200;
constexpr double axis = 24;

std::string percentile_line(const LatencyHistogram& histogram, const std::vector<Bucket>& buckets,
                            double share, const char* label) {
  const auto value = histogram.quantile(share);
  const auto at =
      std::ranges::find_if(buckets, [value](const Bucket& bucket) { return value < bucket.to; });
  const auto index = static_cast<double>(std::min(at, buckets.end() - 1) - buckets.begin());
  const double x = (index + 0.5) * width / static_cast<double>(buckets.size());
  return fmt::format(
      "<line class=\"mark\" x1=\"{0:.1f}\" y1=\"0\" x2=\"{0:.1f}\" y2=\"{1}\"/>"
      "<text class=\"mark\" x=\"{2:.1f}\" y=\"12\">{3} {4}</text>\n",
      x, height, std::min(x + 4, width - 90), label, duration_text(value));
}

std::string plot(const LatencySeries& series) {
  const auto buckets = series.histogram.buckets(8);
  const auto most = static_cast<double>(most_in(buckets));
  std::string svg = fmt::format(
      "<h2>{0}</h2>\n<svg viewBox=\"0 0 {1} {2}\" role=\"img\" aria-label=\"latencies of {0}\">\n",
      series.name, width, height + axis);
  const double step = width / static_cast<double>(buckets.size());
  const std::size_t label_each = std::max<std::size_t>(buckets.size() / 8, 1);
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    const Bucket& bucket = buckets[i];
    const double x = static_cast<double>(i) * step;
    const double bar = static_cast<double>(bucket.count) / most * (height - 20);
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\"><title>{} to {}: "
        "{}</title></rect>\n",
        x, height - bar, std::max(step - 1, 0.5), bar, duration_text(bucket.from),
        duration_text(bucket.to), bucket.count);
    if (i % label_each == 0) {
      svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\">{}</text>\n", x, height + axis - 8,
                         duration_text(bucket.from));
    }
  }
  svg += percentile_line(series.histogram, buckets, 0.5, "p50");
  svg += percentile_line(series.histogram, buckets, 0.99, "p99");
  return svg + "</svg>\n";
}

std::string table(const nlohmann::json& figures, const std::vector<LatencySeries>& all) {
  std::string html =
      "<table><tr><th>operation<th>count<th>per second<th>MiB/s<th>p50<th>p99<th>longest</tr>\n";
  for (const LatencySeries& series : all) {
    const auto& row = figures.at(series.name);
    const auto rate = row.find("mib_per_second");
    html += fmt::format("<tr><td>{}<td>{}<td>{:.0f}<td>{}<td>{}<td>{}<td>{}</tr>\n", series.name,
                        series.histogram.count(), row.at("per_second").get<double>(),
                        rate == row.end() ? "" : fmt::format("{:.0f}", rate->get<double>()),
                        duration_text(series.histogram.quantile(0.5)),
                        duration_text(series.histogram.quantile(0.99)),
                        duration_text(series.histogram.longest()));
  }
  return html + "</table>\n";
}

constexpr const char* page_head =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>hyperpod-kv bench</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark }\n"
    "body { font: 15px system-ui, sans-serif; max-width: 760px; margin: 2em auto; padding: 0 1em "
    "}\n"
    "table { border-collapse: collapse; font-variant-numeric: tabular-nums }\n"
    "td, th { padding: .2em .8em; text-align: right }\n"
    "td:first-child, th:first-child { text-align: left }\n"
    "svg { width: 100% } rect { fill: #3a76c4 } text { font-size: 11px; fill: currentColor }\n"
    "line.mark { stroke: #c4503a; stroke-dasharray: 3 } text.mark { fill: #c4503a }\n"
    "</style></head><body>\n<h1>hyperpod-kv bench</h1>\n";

}  // namespace

std::string to_lines(const LatencySeries& series) {
  constexpr double longest_bar = 40;
  const auto buckets = series.histogram.buckets(1);
  if (buckets.empty()) return {};
  const auto most = static_cast<double>(most_in(buckets));
  std::string lines = fmt::format("{}\n", series.name);
  for (const Bucket& bucket : buckets) {
    const auto length =
        static_cast<std::size_t>(std::ceil(static_cast<double>(bucket.count) / most * longest_bar));
    lines += fmt::format("  {:>8} {:<40} {}\n", duration_text(bucket.from),
                         std::string(length, '#'), bucket.count);
  }
  return lines;
}

std::string to_page(const nlohmann::json& figures, const std::vector<LatencySeries>& all) {
  std::string page = page_head;
  page += fmt::format(
      "<p>{} s, {} workers of {} threads, objects of {} bytes, {} of the operations gets. {} "
      "errors, {} reads of wrong bytes.</p>\n",
      figures.at("seconds").dump(), figures.at("workers").dump(), figures.at("threads").dump(),
      figures.at("object_bytes").dump(), figures.at("read_share").dump(),
      figures.at("errors").dump(), figures.at("wrong").dump());
  page += table(figures, all);
  for (const LatencySeries& series : all) {
    if (series.histogram.count() > 0) page += plot(series);
  }
  return page + "</body></html>\n";
}

}  // namespace hyperpod::client::cli
