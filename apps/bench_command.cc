// m2 bench: how fast a model runs, and what share of the machine that is.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench_report.h"
#include "bench/benchmark.h"
#include "commands.h"
#include "input_output.h"

namespace m2::app {
namespace {

struct BenchCommand {
  bench::BenchModelOptions model;
  bench::BenchOptions sweep;
  std::string kv = "bf16";
  bool json = false;
  bool paced = false;
};

KvFormat kv_format(const std::string& name) {
  if (name == "fp8") return KvFormat::kF8E4M3;
  return name == "f32" ? KvFormat::kF32 : KvFormat::kBF16;
}

void run(BenchCommand& command) {
  command.sweep.workload.kv_format = kv_format(command.kv);
  if (command.paced) {
    command.sweep.before_repetition = [] {
      print("ready\n");
      std::string line;
      std::getline(std::cin, line);
    };
  }
  bench::BenchModel subject(command.model);
  if (!command.json) print(bench::table_head(subject));
  const auto results =
      bench::run_bench(subject, command.sweep, [&](const bench::BenchResult& result) {
        if (!command.json) print(bench::table_row(result));
      });
  if (command.json) print_json(bench::bench_json(subject, results));
}

void add_model(CLI::App& app, bench::BenchModelOptions& options) {
  app.add_option("-m,--model", options.model,
                 "Model directory or hub id; with --random-weights a config.json will do, and "
                 "without it the published sizes are taken");
  app.add_flag("--random-weights", options.random_weights, "Make up the weights in memory");
  app.add_option("--layers", options.num_layers, "Layers of a model with random weights")
      ->check(CLI::Range(1, 10000));
  app.add_option("--format", options.format,
                 "Format of random experts: f32, f16, bf16, fp8, int8_g32, int4_g32, int4_g128")
      ->capture_default_str();
  app.add_option("--attention-format", options.attention_format,
                 "Of random attention weights (default: that of the experts; fp8 on a GPU beside "
                 "integers)");
  app.add_option("--head-format", options.head_format,
                 "Of a random head (default: at least 8 bits)");
  app.add_option("--device", options.device, "\"cpu\", \"cuda\" or \"cuda:<index>\"")
      ->capture_default_str();
  app.add_option("--dtype", options.dtype, "Type of the weights of a model directory")
      ->capture_default_str();
  app.add_option("-t,--threads", options.num_threads, "Threads (default: every core)")
      ->check(CLI::Range(1, 1024));
  app.add_option("-C,--cpu-mask", options.cpu_mask,
                 "Processors to stay on: a mask (0xF0) or a list (0-3,8)");
}

void add_list(CLI::App& app, const char* name, std::vector<std::int64_t>& values,
              const char* description, std::int64_t least) {
  constexpr std::int64_t kMost = std::int64_t{1} << 24U;
  app.add_option(name, values, description)
      ->delimiter(',')
      ->check(CLI::Range(least, kMost))
      ->capture_default_str();
}

void add_sweep(CLI::App& app, BenchCommand& command) {
  bench::BenchOptions& sweep = command.sweep;
  add_list(app, "-p,--prefill", sweep.prefill_tokens, "Tokens of a prompt; 0: no prefill", 0);
  add_list(app, "-n,--decode", sweep.decode_tokens, "New tokens of a sequence; 0: no decoding", 0);
  add_list(app, "-b,--batch", sweep.batch_sizes, "Sequences that decode together", 1);
  add_list(app, "-d,--context", sweep.contexts, "Tokens that are in the cache before", 0);
  app.add_option("-r,--repetitions", sweep.repetitions, "Repetitions; the median counts")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_option("--chunk", sweep.workload.chunk, "Tokens of a step of prefill")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  app.add_option("--kv", command.kv, "Type of the KV cache")
      ->check(CLI::IsMember({"f32", "bf16", "fp8"}))
      ->capture_default_str();
  app.add_flag("--json", command.json, "Print JSON");
  app.add_flag("--paced", command.paced,
               "Print \"ready\" and wait for a line before every repetition, to take turns with "
               "another program");
}

}  // namespace

void add_bench_command(CLI::App& app) {
  auto command = std::make_shared<BenchCommand>();
  CLI::App* bench = app.add_subcommand(
      "bench", "Measure prefill and decoding, as speed and as a share of the machine's limits");
  add_model(*bench, command->model);
  add_sweep(*bench, *command);
  bench->footer(
      "Runs the forward pass and the head on random tokens, without sampling. \"of read\" holds "
      "the\nbytes that must be read (weights of the experts really used, keys and values) against "
      "the\nmemory's rate measured before and after every repetition; \"of mult.\" the products "
      "against\nthe rate of the arithmetic units.");
  bench->callback([command] { run(*command); });
}

}  // namespace m2::app
