// m2 quantize: a model in other formats, with the error of every tensor.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "input_output.h"
#include "m2/error.h"
#include "quantizer/quantize.h"
#include "service/export_gguf.h"

namespace m2::app {
namespace {

struct QuantizeCommandOptions {
  std::filesystem::path source;
  std::filesystem::path destination;
  std::string format = "int4_g32";
  std::vector<std::string> rules;
  std::string max_shard_size = "5GB";
  int num_threads = 0;
  std::filesystem::path report;
  bool json = false;
};

// One line on standard error, on a terminal only.
class QuantizeLine {
 public:
  ~QuantizeLine() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

  void show(const QuantizeProgress& progress) {
    const auto now = std::chrono::steady_clock::now();
    const bool due = !shown_ || now - drawn_ > std::chrono::milliseconds(100);
    if (!stderr_is_terminal() || !due) return;
    shown_ = true;
    drawn_ = now;
    const double seconds = std::chrono::duration<double>(now - started_).count();
    const double rate = static_cast<double>(progress.done_bytes) / std::max(seconds, 1e-3);
    const double left = static_cast<double>(progress.total_bytes - progress.done_bytes) / rate;
    std::fprintf(
        stderr, "\r%s of %s, %s/s, %.0f s left: %.60s\033[K",
        format_bytes(progress.done_bytes).c_str(), format_bytes(progress.total_bytes).c_str(),
        format_bytes(static_cast<std::int64_t>(rate)).c_str(), left, progress.tensor.c_str());
  }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point drawn_;
  bool shown_ = false;
};

Json groups_json(const std::vector<ResultGroup>& groups) {
  Json list = Json::array();
  for (const ResultGroup& group : groups) {
    list.push_back({{"role", group.role},
                    {"from", group.from},
                    {"to", group.to},
                    {"tensors", group.num_tensors},
                    {"weights", group.num_weights},
                    {"bytes_before", group.bytes_before},
                    {"bytes_after", group.bytes_after},
                    {"relative_rms_error", group.error.relative()},
                    {"largest_error", group.error.largest},
                    {"worst_relative_rms_error", group.worst_relative},
                    {"worst_tensor", group.worst_tensor}});
  }
  return list;
}

Json report_json(const QuantizeResult& result) {
  Json tensors = Json::array();
  for (const TensorResult& tensor : result.tensors) tensors.push_back(to_json(tensor));
  return {{"summary", groups_json(group_results(result.tensors))},
          {"shards", result.num_shards},
          {"kept_shards", result.kept_shards},
          {"tensors", std::move(tensors)}};
}

void print_line(const std::string& role, const std::string& formats, const std::string& tensors,
                const std::string& before, const std::string& after, const std::string& bits,
                const std::string& error, const std::string& worst) {
  std::array<char, 256> line{};
  std::snprintf(line.data(), line.size(), "%-16s%-22s%8s%11s%11s%9s%11s%11s\n", role.c_str(),
                formats.c_str(), tensors.c_str(), before.c_str(), after.c_str(), bits.c_str(),
                error.c_str(), worst.c_str());
  print(line.data());
}

std::string percent(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.3f %%", 100 * value);
  return text.data();
}

std::string bits_of(std::int64_t bytes, std::int64_t weights) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f",
                8.0 * static_cast<double>(bytes) / static_cast<double>(weights));
  return text.data();
}

void print_summary(const QuantizeResult& result) {
  print_line("", "", "tensors", "before", "after", "bits", "RMS error", "worst");
  std::int64_t before = 0;
  std::int64_t after = 0;
  std::int64_t weights = 0;
  for (const ResultGroup& group : group_results(result.tensors)) {
    const bool exact = group.error.squared_error == 0;
    print_line(group.role, group.from == group.to ? group.to : group.from + " > " + group.to,
               format_count(group.num_tensors), format_bytes(group.bytes_before),
               format_bytes(group.bytes_after), bits_of(group.bytes_after, group.num_weights),
               exact ? "exact" : percent(group.error.relative()),
               exact ? "" : percent(group.worst_relative));
    before += group.bytes_before;
    after += group.bytes_after;
    weights += group.num_weights;
  }
  print_line("total", "", format_count(std::ssize(result.tensors)), format_bytes(before),
             format_bytes(after), bits_of(after, weights), "", "");
  if (result.kept_shards > 0) {
    print(format_count(result.kept_shards) + " of " + format_count(result.num_shards) +
          " files were complete from an earlier run\n");
  }
}

void write_report(const std::filesystem::path& path, const Json& report) {
  std::ofstream out(path);
  out << report.dump(1) << "\n";
  out.close();
  if (!out) throw Error(ErrorCode::kInvalidArgument, path.string() + ": cannot write the report");
}

// llama.cpp's formats and rules.
void write_gguf(const QuantizeCommandOptions& command) {
  if (!command.rules.empty() || !command.report.empty() || command.json) {
    throw Error(ErrorCode::kInvalidArgument,
                "--tensor, --report and --json are not for GGUF files, which follow llama.cpp");
  }
  QuantizeLine line;
  ExportGgufOptions options = {.format = gguf_format_from_name(command.format),
                               .num_threads = command.num_threads};
  options.progress = [&line](std::int64_t done, std::int64_t total) {
    line.show({.done_bytes = done, .total_bytes = total});
  };
  export_gguf(command.source, command.destination, options);
}

void quantize_model(const QuantizeCommandOptions& command) {
  if (command.destination.extension() == ".gguf") return write_gguf(command);
  QuantizeOptions options;
  options.recipe.format = parse_target_format(command.format);
  for (const std::string& rule : command.rules) {
    options.recipe.rules.push_back(parse_tensor_rule(rule));
  }
  options.max_shard_size = command.max_shard_size;
  options.num_threads = command.num_threads;
  QuantizeResult result;
  {
    const InterruptScope interrupt;
    QuantizeLine line;
    options.stop = interrupt.stop_token();
    options.progress = [&line](const QuantizeProgress& progress) { line.show(progress); };
    result = quantize(command.source, command.destination, options);
  }
  const Json report = report_json(result);
  if (!command.report.empty()) write_report(command.report, report);
  if (command.json) {
    print_json(report);
  } else {
    print_summary(result);
  }
}

}  // namespace

void add_quantize_command(CLI::App& app) {
  auto options = std::make_shared<QuantizeCommandOptions>();
  CLI::App* command =
      app.add_subcommand("quantize", "A model in fewer bits; reports the error of every tensor");
  command->add_option("source", options->source, "Model directory or GGUF file")->required();
  command->add_option("destination", options->destination, "Directory, or GGUF file, to write")
      ->required();
  command
      ->add_option(
          "--format", options->format,
          "Of the experts: int4_g32, int4_g128, int8_g32, bf16, ...; for a GGUF file q4_k, "
          "q8_0, bf16, ...")
      ->capture_default_str();
  command
      ->add_option("--tensor", options->rules,
                   "PATTERN=FORMAT for tensors whose name contains PATTERN (with *, ?, [..]); "
                   "may be repeated, the first match wins")
      ->allow_extra_args(false);
  command
      ->add_option("--max-shard-size", options->max_shard_size,
                   "Of a weight file: bytes, or with KB, MB, GB")
      ->capture_default_str();
  command->add_option("-t,--threads", options->num_threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  command->add_option("--report", options->report, "JSON file for the error of every tensor");
  command->add_flag("--json", options->json, "Print the report as JSON");
  command->footer(
      "Attention and head become int8_g32 beside 4-bit experts, else FORMAT; the embedding stays\n"
      "16 bits wide; router, norms and biases stay what they are. \"stored\" keeps a tensor.\n"
      "A GGUF source gives weights and configuration: add the tokenizer's files to the result.\n"
      "An interrupted run goes on where it stopped when it is started again in the same way.");
  command->callback([options] { quantize_model(*options); });
}

}  // namespace m2::app
