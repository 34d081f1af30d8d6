// SPDX-License-Identifier: Apache-2.0
#include "report/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "report/markup.h"

namespace hyperpod::conformance::report {
namespace {

// In pixels, as a browser shows them at the page's full width.
constexpr double width = 900;
constexpr double left = 120;
constexpr double right = 92;
constexpr double lane = 46;
constexpr double gap = 10;
constexpr double foot = 26;

std::string number(double value) {
  std::array<char, 32> text;
  std::snprintf(text.data(), text.size(), "%.1f", value);
  return text.data();
}

std::string text_at(double x, double y, std::string_view css_class, std::string_view text) {
  return "<text class=\"" + std::string(css_class) + "\" x=\"" + number(x) + "\" y=\"" + number(y) +
         "\">" + escaped(text) + "</text>";
}

std::string line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  return "<line class=\"" + std::string(css_class) + "\" x1=\"" + number(x1) + "\" y1=\"" +
         number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2) + "\"/>";
}

double peak_of(const Plot::Series& series) {
  double peak = 0;
  for (const auto& [at, count] : series.points) peak = std::max(peak, count);
  return peak;
}

/// A distance between ticks that gives three to eight of them.
double tick_of(double span) {
  const double raw = span / 6;
  const double decade = std::pow(10, std::floor(std::log10(raw)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (raw <= step * decade) return step * decade;
  }
  return 10 * decade;
}

class Picture {
 public:
  explicit Picture(const Plot& plot) : plot_(plot), most_(std::max(plot.limit, 1.0)) {
    for (const Plot::Series& series : plot.series) {
      most_ = std::max(most_, peak_of(series));
      if (!series.points.empty()) end_ = std::max(end_, series.points.back().first);
    }
    most_ *= 1.15;
  }

  std::string svg() const {
    const double bottom = static_cast<double>(plot_.series.size()) * (lane + gap);
    std::string html = "<svg viewBox=\"0 0 " + number(width) + " " + number(bottom + foot) +
                       "\" role=\"img\" aria-label=\"" + escaped(plot_.title) + "\">";
    for (double at = 0; at <= end_; at += tick_of(end_)) {
      html +=
          line(x(at), 0, x(at), bottom, "grid") + text_at(x(at), bottom + 18, "tick", moment(at));
    }
    double base = lane;
    for (const Plot::Series& series : plot_.series) {
      html += lane_of(series, base);
      base += lane + gap;
    }
    return html + "</svg>";
  }

 private:
  std::string moment(double at) const {
    std::array<char, 32> text;
    std::snprintf(text.data(), text.size(), end_ < 2000 ? "%.0f ms" : "%.1f s",
                  end_ < 2000 ? at : at / 1000);
    return text.data();
  }

  double x(double at) const { return left + (width - left - right) * at / end_; }

  std::string lane_of(const Plot::Series& series, double base) const {
    const auto y = [&](double count) { return base - lane * count / most_; };
    std::string path = "M" + number(x(0)) + " " + number(base);
    for (const auto& [at, count] : series.points)
      path += "H" + number(x(at)) + "V" + number(y(count));
    path += "H" + number(x(end_)) + "V" + number(base) + "Z";
    const double peak = peak_of(series);
    const bool over = plot_.limit > 0 && peak > plot_.limit;
    std::string html = "<path class=\"" + std::string(over ? "over" : "under") + "\" d=\"" + path +
                       "\"/>" + line(left, base, width - right, base, "base") +
                       text_at(left - 10, base - 4, "name", series.name);
    if (plot_.limit > 0) html += line(left, y(plot_.limit), width - right, y(plot_.limit), "limit");
    std::array<char, 64> told;
    std::snprintf(told.data(), told.size(), plot_.limit > 0 ? "peak %.0f of %.0f" : "peak %.0f",
                  peak, plot_.limit);
    return html + text_at(width - right + 8, base - 4, "peak", told.data());
  }

  const Plot& plot_;
  double most_;
  double end_ = 1;
};

}  // namespace

std::string to_svg(const Plot& plot) { return Picture(plot).svg(); }

}  // namespace hyperpod::conformance::report
