// Files, standard streams and the terminal, for all commands.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stop_token>
#include <string>
#include <string_view>

namespace m2::app {

using Json = nlohmann::ordered_json;

/// The whole file; "-" is standard input. Throws kNotFound.
std::string read_text(const std::filesystem::path& path);
std::string read_stdin();

/// Throws kInvalidArgument naming `what` and the place of the mistake.
Json parse_json(std::string_view text, const std::string& what);
Json read_json(const std::filesystem::path& path);

/// One line of JSON on standard output; text that is not UTF-8 shows U+FFFD.
void print_json(const Json& json);

/// Writes to standard output at once. Throws kInternal when it is closed or full.
void print(std::string_view text);
void flush_output();

bool stdin_is_terminal();
bool stdout_is_terminal();
bool stderr_is_terminal();

/// Escape sequences for standard output, empty where it is no terminal or NO_COLOR is set.
struct Colors {
  std::string_view dim;
  std::string_view bold;
  std::string_view tool;
  std::string_view error;
  std::string_view reset;
};
const Colors& colors();
/// The same for standard error.
const Colors& error_colors();

/// "1.5 GB": decimal units, three digits.
std::string format_bytes(std::int64_t bytes);
/// "228,689,748,992".
std::string format_count(std::int64_t count);

/// While it lives, Ctrl-C asks `stop_token()` to stop instead of ending the process; a second
/// Ctrl-C before anything reacted ends it.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  [[nodiscard]] std::stop_token stop_token() const;
  [[nodiscard]] bool interrupted() const;
};

/// A line on standard error that shows how far a long load is; only on a terminal, and only when
/// it takes longer than a moment.
class LoadProgressLine {
 public:
  ~LoadProgressLine();
  void show(std::int64_t done, std::int64_t total);

 private:
  std::int64_t started_ms_ = -1;
  std::int64_t shown_ms_ = -1;
};

}  // namespace m2::app
