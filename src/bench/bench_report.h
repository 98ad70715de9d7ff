// What a run leaves behind: JSON, and lines of a table.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "bench/benchmark.h"

namespace m2::bench {

/// Model, device, limits and every result with its repetitions.
[[nodiscard]] nlohmann::ordered_json bench_json(BenchModel& subject,
                                                std::span<const BenchResult> results);

/// The model and the device, and the head of the table.
[[nodiscard]] std::string table_head(BenchModel& subject);
[[nodiscard]] std::string table_row(const BenchResult& result);

}  // namespace m2::bench
