// m2 inspect: what a model directory holds and how much memory it needs.
#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "input_output.h"
#include "service/inspection.h"

namespace m2::app {
namespace {

struct InspectOptions {
  std::filesystem::path model;
  std::vector<std::int64_t> contexts;
  bool tensors = false;
  bool json = false;
};

std::string padded(std::string text, std::size_t width) {
  if (text.size() < width) text.append(width - text.size(), ' ');
  return text;
}

void print_row(const std::string& name, const std::string& value) {
  print("  " + padded(name, 26) + value + "\n");
}

void print_title(const std::string& title) {
  print(std::string(colors().bold) + title + std::string(colors().reset) + "\n");
}

std::string plain(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void print_config(const Json& report) {
  print_title("Configuration");
  for (const auto& [key, value] : report["config"].items()) print_row(key, plain(value));
}

void print_parameters(const Json& report) {
  print_title("Parameters");
  for (const auto& [key, value] : report["parameters"].items()) {
    print_row(key, format_count(value));
  }
  print_row("active for a token", format_count(report["active_parameters"]));
}

void print_weights(const Json& weights) {
  const bool stored = weights["stored"];
  print_title(stored ? "Weights (" + weights["files"].dump() + " files)"
                     : std::string("Weights (not here; the published FP8 layout)"));
  for (const auto& [key, value] : weights["bytes"].items()) print_row(key, format_bytes(value));
  if (!stored) print_row("total in BF16", format_bytes(weights["bytes_bf16"]));
  if (!stored) return;
  for (const auto& [dtype, bytes] : weights["bytes_by_dtype"].items()) {
    print_row("stored as " + dtype, format_bytes(bytes));
  }
  for (const Json& name : weights["unexpected"]) print_row("unexpected", plain(name));
}

void print_memory(const Json& report) {
  print_title("Memory (weights and a float32 KV cache)");
  for (const Json& entry : report["memory"]) {
    print_row("context " + format_count(entry["context"]),
              padded(format_bytes(entry["total_f32"]), 12) + "KV " + format_bytes(entry["kv_f32"]));
  }
}

void print_tensors(const Json& weights) {
  if (!weights.contains("tensors")) return;
  print_title("Tensors");
  for (const Json& tensor : weights["tensors"]) {
    print("  " + padded(tensor["dtype"], 10) + padded(tensor["shape"].dump(), 16) +
          plain(tensor["name"]) + "\n");
  }
}

void inspect(const InspectOptions& options) {
  Json report = inspect_model(options.model, options.contexts);
  if (options.json) {
    if (!options.tensors) report["weights"].erase("tensors");
    print_json(report);
    return;
  }
  print_config(report);
  print_parameters(report);
  print_weights(report["weights"]);
  print_memory(report);
  if (options.tensors) print_tensors(report["weights"]);
}

}  // namespace

void add_inspect_command(CLI::App& app) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand(
      "inspect", "Configuration, tensors, sizes and memory needs of a model directory");
  command
      ->add_option("-m,--model", options->model,
                   "Model directory (a config.json alone will do) or GGUF file")
      ->required();
  command->add_option("--context", options->contexts, "Tokens of context to compute the memory for")
      ->check(CLI::PositiveNumber);
  command->add_flag("--tensors", options->tensors, "List every tensor");
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options] { inspect(*options); });
}

}  // namespace m2::app
