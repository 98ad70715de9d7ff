#include "model/load_report.h"

#include <algorithm>
#include <functional>

#include "base/error.h"

namespace m2 {
namespace {

constexpr std::size_t kMaxShown = 5;

// "; 7 missing: a, b, c, d, e, and 2 more"
void append_list(std::string& text, std::size_t count, const char* what,
                 const std::function<std::string(std::size_t)>& item) {
  if (count == 0) return;
  text += (text.back() == ':' ? " " : "; ") + std::to_string(count) + " " + what + ": ";
  for (std::size_t i = 0; i < std::min(count, kMaxShown); ++i) {
    text += (i == 0 ? "" : ", ") + item(i);
  }
  if (count > kMaxShown) text += ", and " + std::to_string(count - kMaxShown) + " more";
}

template <typename T, typename Projection>
void sort_unique(std::vector<T>& items, Projection projection) {
  std::ranges::sort(items, {}, projection);
  const auto repeated = std::ranges::unique(items, {}, projection);
  items.erase(repeated.begin(), repeated.end());
}

}  // namespace

void refuse_incomplete(const LoadReport& report, bool missing_allowed, bool mismatched_allowed) {
  std::string text = "checkpoint does not fit the config:";
  if (!missing_allowed) {
    append_list(text, report.missing.size(), "missing",
                [&](std::size_t i) { return report.missing[i]; });
  }
  if (!mismatched_allowed) {
    append_list(text, report.mismatched.size(), "of another shape", [&](std::size_t i) {
      const auto& [name, file_shape, model_shape] = report.mismatched[i];
      return name + " is " + file_shape.to_string() + " in the file and " +
             model_shape.to_string() + " in the model";
    });
  }
  append_list(text, report.error_msgs.size(), "incomplete",
              [&](std::size_t i) { return report.error_msgs[i]; });
  if (text.back() != ':') fail(ErrorCode::kCorruptFile, text);
}

void finish_report(LoadReport& report) {
  sort_unique(report.missing_keys, std::identity());
  sort_unique(report.unexpected_keys, std::identity());
  sort_unique(report.mismatched_keys, &MismatchedTensor::name);
}

}  // namespace m2
