// The command m2.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "commands.h"
#include "input_output.h"
#include "m2/error.h"
#include "m2/version.h"

namespace {

constexpr int kSuccess = 0;
constexpr int kFailure = 1;
constexpr int kWrongUsage = 2;
constexpr int kInterrupted = 130;

int report(const char* message, int exit_code) {
  const auto& colors = m2::app::error_colors();
  std::fprintf(stderr, "%.*sm2: %s%.*s\n", static_cast<int>(colors.error.size()),
               colors.error.data(), message, static_cast<int>(colors.reset.size()),
               colors.reset.data());
  return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"MiniMax-M2 on your machine: chat, generate, and every step by itself."};
  app.name("m2");
  app.set_version_flag("--version", M2_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.\n"
      "Environment: M2_NUM_THREADS (threads of the CPU backend), M2_CPU_TARGET (instruction set),\n"
      "NO_COLOR (no colours).");
  m2::app::add_chat_command(app);
  m2::app::add_generate_command(app);
  m2::app::add_inspect_command(app);
  m2::app::add_tokenize_command(app);
  m2::app::add_detokenize_command(app);
  m2::app::add_template_command(app);
  m2::app::add_parse_command(app);
  m2::app::add_forward_command(app);
  m2::app::add_quantize_command(app);
  m2::app::add_perplexity_command(app);
  m2::app::add_download_command(app);
  m2::app::add_bench_command(app);
  try {
    app.parse(argc, argv);
    m2::app::flush_output();
    return kSuccess;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kSuccess : kWrongUsage;
  } catch (const m2::Error& error) {
    if (error.code() == m2::ErrorCode::kCancelled) return kInterrupted;
    return report(error.what(), kFailure);
  } catch (const std::exception& error) {
    return report(error.what(), kFailure);
  }
}
