// SPDX-License-Identifier: Apache-2.0
#include "plots.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <numeric>

#include "report.h"

namespace hyperpod::bench {
namespace {

constexpr int width = 720;
constexpr int label_width = 230;
constexpr int figure_width = 110;
constexpr int bar_height = 18;
constexpr int row_height = 26;
constexpr int top = 40;
constexpr std::array<const char*, 2> colours{"#2f6f9f", "#8fbcdb"};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char character : text) {
    switch (character) {
      case '<':
        result += "&lt;";
        break;
      case '&':
        result += "&amp;";
        break;
      default:
        result += character;
    }
  }
  return result;
}

std::string text_at(double x, int y, const char* anchor, const std::string& text) {
  return "<text x=\"" + fixed(x, 0) + "\" y=\"" + std::to_string(y) + "\" text-anchor=\"" + anchor +
         "\">" + escaped(text) + "</text>\n";
}

double length_of(const Bar& bar) {
  return std::accumulate(bar.parts.begin(), bar.parts.end(), 0.0);
}

std::string figures_of(const Bar& bar) {
  std::string text;
  for (const double part : bar.parts) {
    text += (text.empty() ? "" : " + ") + (part < 100 ? fixed(part, 1) : grouped(part));
  }
  return text;
}

bool begins(const nlohmann::json& row, std::string_view prefix) {
  return row.at("id").get<std::string>().starts_with(prefix) && row.contains("details");
}

std::vector<Bar> cpu_bars(const nlohmann::json& rows) {
  std::vector<Bar> bars;
  for (const auto& row : rows) {
    if (!begins(row, "lease-") || row.at("against").get<std::string>().find("nginx") != 0) continue;
    const std::string connections = row.at("id").get<std::string>().substr(6) + " connections";
    for (const auto& [side, name] :
         {std::pair("requests_ours", "emulator, "), std::pair("requests_theirs", "nginx, ")}) {
      const auto& figures = row.at("details").at(side);
      bars.push_back(
          {name + connections,
           {figures.at("user_cpu_us_a_request"), figures.at("system_cpu_us_a_request")}});
    }
  }
  return bars;
}

std::vector<Bar> put_bars(const nlohmann::json& rows) {
  std::vector<Bar> bars;
  for (const auto& row : rows) {
    if (!begins(row, "put-")) continue;
    const std::string what = row.at("what").get<std::string>().substr(std::size("PUT of ") - 1);
    const auto& details = row.at("details");
    bars.push_back({"emulator, " + what, {details.at("median_ours").get<double>() / (1 << 20)}});
    bars.push_back({"raw receiver", {details.at("median_theirs").get<double>() / (1 << 20)}});
  }
  return bars;
}

std::vector<Bar> engine_bars(const nlohmann::json& rows) {
  std::vector<Bar> bars;
  for (const auto& row : rows) {
    if (!begins(row, "engine-")) continue;
    const auto& details = row.at("details");
    const std::string objects = ", " + grouped(details.at("objects")) + " objects";
    bars.push_back({"lease or release" + objects, {details.at("lease_call_ns")}});
    bars.push_back({"half a PUT" + objects, {details.at("put_call_ns")}});
  }
  return bars;
}

}  // namespace

std::string bar_chart(const std::string& title, const std::string& unit,
                      const std::vector<Bar>& bars) {
  double longest = 0;
  for (const Bar& bar : bars) longest = std::max(longest, length_of(bar));
  const double scale = longest > 0 ? (width - label_width - figure_width) / longest : 0;
  const int height = top + static_cast<int>(bars.size()) * row_height;
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) +
                    "\" height=\"" + std::to_string(height) + "\" viewBox=\"0 0 " +
                    std::to_string(width) + " " + std::to_string(height) +
                    "\" role=\"img\" aria-label=\"" + escaped(title) +
                    "\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#777\">\n" +
                    text_at(0, 18, "start", title + " (" + unit + ")");
  int y = top;
  for (const Bar& bar : bars) {
    svg += text_at(label_width - 8, y + 14, "end", bar.label);
    double x = label_width;
    for (std::size_t i = 0; i < bar.parts.size(); ++i) {
      const double length = bar.parts[i] * scale;
      svg += "<rect x=\"" + fixed(x, 1) + "\" y=\"" + std::to_string(y) + "\" width=\"" +
             fixed(length, 1) + "\" height=\"" + std::to_string(bar_height) + "\" fill=\"" +
             colours[i % colours.size()] + "\"/>\n";
      x += length;
    }
    svg += text_at(x + 6, y + 14, "start", figures_of(bar));
    y += row_height;
  }
  return svg + "</svg>\n";
}

Result<void> write_plots(const nlohmann::json& report, const std::string& folder) {
  const auto& rows = report.at("rows");
  const auto write = [&folder](const char* name, const std::string& title, const std::string& unit,
                               const std::vector<Bar>& bars) {
    return bars.empty() ||
           (std::ofstream(folder + "/" + name) << bar_chart(title, unit, bars) << std::flush);
  };
  const bool written =
      write("cpu.svg", "CPU time of the server for a request of lease or release",
            "microseconds, user + system", cpu_bars(rows)) &&
      write("put.svg", "Bytes of PUTs stored", "MiB/s", put_bars(rows)) &&
      write("engine.svg", "A call of the engine, which holds the lock that all requests share",
            "nanoseconds", engine_bars(rows));
  if (!written) return failure("the plots cannot be written to " + folder);
  return {};
}

}  // namespace hyperpod::bench
