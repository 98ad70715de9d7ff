// m2 perplexity: how well a model predicts a text, alone or against another one.
#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "commands.h"
#include "input_output.h"
#include "model_options.h"
#include "service/perplexity.h"

namespace m2::app {
namespace {

struct PerplexityCommandOptions {
  ModelOptions model;
  std::string file;
  std::string baseline;
  PerplexityOptions measure;
  std::vector<std::string> between;  // two markers, or empty
  bool json = false;
};

// One line on standard error, on a terminal only.
class PerplexityLine {
 public:
  ~PerplexityLine() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }

  void show(const PerplexityProgress& progress) {
    if (!stderr_is_terminal()) return;
    shown_ = true;
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    const auto done = static_cast<double>(progress.windows);
    const double left = seconds / done * (static_cast<double>(progress.total_windows) - done);
    std::fprintf(stderr, "\rwindow %lld of %lld, %.0f s left: perplexity %.4f\033[K",
                 static_cast<long long>(progress.windows),
                 static_cast<long long>(progress.total_windows), left, progress.perplexity);
  }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  bool shown_ = false;
};

Json estimate_json(const MeanEstimate& estimate) {
  return {{"mean", estimate.mean()}, {"error", estimate.error()}};
}

Json result_json(const Perplexity& result, const PerplexityOptions& options, double seconds) {
  Json json = {{"perplexity", result.value()},
               {"error", result.error()},
               {"nll", estimate_json(result.nll)},
               {"context", options.context},
               {"stride", options.effective_stride()},
               {"windows", result.num_windows},
               {"text_tokens", result.num_tokens},
               {"scored_tokens", result.nll.count()},
               {"seconds", seconds}};
  if (result.divergence) {
    json["baseline"] = {{"nll_difference", estimate_json(result.divergence->nll_difference)},
                        {"kl", estimate_json(result.divergence->kl)},
                        {"same_top", estimate_json(result.divergence->same_top)}};
  }
  return json;
}

template <typename... Values>
void print_format(const char* format, Values... values) {
  std::array<char, 200> line{};
  std::snprintf(line.data(), line.size(), format, values...);
  print(line.data());
}

void print_result(const Perplexity& result, const PerplexityOptions& options, double seconds) {
  print_format("perplexity %.4f +- %.4f (%lld of %lld tokens, %lld windows of %lld, %.1f s)\n",
               result.value(), result.error(), static_cast<long long>(result.nll.count()),
               static_cast<long long>(result.num_tokens),
               static_cast<long long>(result.num_windows), static_cast<long long>(options.context),
               seconds);
  if (!result.divergence) return;
  const Divergence& divergence = *result.divergence;
  const MeanEstimate& difference = divergence.nll_difference;
  const double ratio = std::exp(difference.mean());
  print_format("against the baseline: perplexity %+.3f %% +- %.3f %%\n", 100 * (ratio - 1),
               100 * ratio * difference.error());
  print_format("KL divergence %.6f +- %.6f, the same first choice for %.2f %% +- %.2f %%\n",
               divergence.kl.mean(), divergence.kl.error(), 100 * divergence.same_top.mean(),
               100 * divergence.same_top.error());
}

void perplexity(PerplexityCommandOptions command) {
  const std::string text = read_text(command.file);
  const auto loaded = load_model(command.model);
  std::unique_ptr<LoadedModel> baseline;
  if (!command.baseline.empty()) {
    ModelOptions options = command.model;
    options.name = command.baseline;
    baseline = load_model(options);
  }
  EncodeOptions encode;
  encode.offset_unit = OffsetUnit::kBytes;
  const Encoding encoding = loaded->tokenizer().encode(text, encode);
  std::vector<std::uint8_t> counts;
  if (!command.between.empty()) {
    counts = tokens_between(encoding, text, command.between[0], command.between[1]);
    command.measure.counts = counts;
  }
  const InterruptScope interrupt;
  command.measure.stop = interrupt.stop_token();
  const auto started = std::chrono::steady_clock::now();
  Perplexity result;
  {
    PerplexityLine line;
    command.measure.progress = [&line](const PerplexityProgress& p) { line.show(p); };
    result = measure_perplexity(loaded->model(), encoding.ids, command.measure,
                                baseline ? &baseline->model() : nullptr);
  }
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  if (command.json) {
    print_json(result_json(result, command.measure, seconds));
  } else {
    print_result(result, command.measure, seconds);
  }
}

}  // namespace

void add_perplexity_command(CLI::App& app) {
  auto options = std::make_shared<PerplexityCommandOptions>();
  CLI::App* command =
      app.add_subcommand("perplexity", "How well a model predicts a text, with a standard error");
  add_model_options(*command, options->model);
  command->add_option("-f,--file", options->file, "The text; - is standard input")->required();
  command->add_option("-c,--context", options->measure.context, "Tokens of a window")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--stride", options->measure.stride,
                   "Tokens from one window to the next: the context (default; the second half of "
                   "a window counts, as in llama.cpp), or at most half of it (the last ones count)")
      ->check(CLI::PositiveNumber);
  command
      ->add_option("--only-between", options->between,
                   "BEGIN END: only tokens behind BEGIN, up to and with END, count: replies in a "
                   "text of conversations")
      ->expected(2);
  command->add_option("--windows", options->measure.max_windows, "Only the first windows")
      ->check(CLI::PositiveNumber);
  command->add_option("--baseline", options->baseline,
                      "Another model of the same vocabulary to compare with, token by token");
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options] { perplexity(*options); });
}

}  // namespace m2::app
