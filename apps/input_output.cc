#include "input_output.h"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <stop_token>
#include <thread>

#include "m2/error.h"

namespace m2::app {
namespace {

std::string read_descriptor(int fd, const std::string& name) {
  std::string text;
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const ssize_t count = ::read(fd, buffer.data(), buffer.size());
    if (count == 0) return text;
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      throw Error(ErrorCode::kNotFound, name + ": cannot read: " + std::strerror(errno));
    }
    text.append(buffer.data(), static_cast<std::size_t>(count));
  }
}

bool no_color() {
  const char* value = std::getenv("NO_COLOR");
  return value != nullptr && *value != '\0';
}

constexpr Colors kPlain = {"", "", "", "", ""};
constexpr Colors kColored = {"\033[2m", "\033[1m", "\033[36m", "\033[31m", "\033[0m"};

std::int64_t now_ms() {
  using std::chrono::steady_clock;
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             steady_clock::now().time_since_epoch())
      .count();
}

// The handler may only touch these; a thread turns the flag into a stop request.
std::atomic<int> interrupt_count{0};

void on_interrupt(int) {
  if (interrupt_count.fetch_add(1) >= 1) {
    ::signal(SIGINT, SIG_DFL);
    ::raise(SIGINT);
  }
}

std::unique_ptr<std::stop_source> interrupt_source;
std::unique_ptr<std::jthread> interrupt_watcher;

}  // namespace

std::string read_stdin() { return read_descriptor(STDIN_FILENO, "standard input"); }

std::string read_text(const std::filesystem::path& path) {
  if (path == "-") return read_stdin();
  std::ifstream in(path, std::ios::binary);
  if (!in || std::filesystem::is_directory(path)) {
    throw Error(ErrorCode::kNotFound, path.string() + ": cannot read this file");
  }
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

Json parse_json(std::string_view text, const std::string& what) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    throw Error(ErrorCode::kInvalidArgument, what + ": not valid JSON: " + error.what());
  }
}

Json read_json(const std::filesystem::path& path) {
  return parse_json(read_text(path), path == "-" ? "standard input" : path.string());
}

void print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) {
    throw Error(ErrorCode::kInternal, "cannot write to standard output");
  }
}

void flush_output() {
  if (std::fflush(stdout) != 0) {
    throw Error(ErrorCode::kInternal, "cannot write to standard output");
  }
}

void print_json(const Json& json) {
  print(json.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace) + "\n");
  flush_output();
}

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

const Colors& colors() {
  static const Colors& chosen = stdout_is_terminal() && !no_color() ? kColored : kPlain;
  return chosen;
}

const Colors& error_colors() {
  static const Colors& chosen = stderr_is_terminal() && !no_color() ? kColored : kPlain;
  return chosen;
}

std::string format_bytes(std::int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  std::array<char, 32> text;
  const char* format = unit == 0 || value >= 100 ? "%.0f %s" : value >= 10 ? "%.1f %s" : "%.2f %s";
  std::snprintf(text.data(), text.size(), format, value, kUnits[unit]);
  return text.data();
}

std::string format_count(std::int64_t count) {
  std::string text = std::to_string(count);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), ",");
  }
  return text;
}

InterruptScope::InterruptScope() {
  interrupt_count = 0;
  interrupt_source = std::make_unique<std::stop_source>();
  interrupt_watcher = std::make_unique<std::jthread>([](const std::stop_token& scope_ended) {
    while (!scope_ended.stop_requested()) {
      if (interrupt_count > 0) interrupt_source->request_stop();
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
}

InterruptScope::~InterruptScope() {
  ::signal(SIGINT, SIG_DFL);
  interrupt_watcher.reset();
  interrupt_source.reset();
}

std::stop_token InterruptScope::stop_token() const { return interrupt_source->get_token(); }
bool InterruptScope::interrupted() const { return interrupt_count > 0; }

LoadProgressLine::~LoadProgressLine() {
  if (shown_ms_ >= 0) std::fputs("\r\033[K", stderr);
}

void LoadProgressLine::show(std::int64_t done, std::int64_t total) {
  if (!stderr_is_terminal() || total <= 0) return;
  constexpr std::int64_t kPatienceMs = 300;
  constexpr std::int64_t kIntervalMs = 100;
  const std::int64_t now = now_ms();
  if (started_ms_ < 0) started_ms_ = now;
  if (now - started_ms_ < kPatienceMs || now - shown_ms_ < kIntervalMs) return;
  shown_ms_ = now;
  std::fprintf(stderr, "\rLoading: %lld of %lld tensors\033[K", static_cast<long long>(done),
               static_cast<long long>(total));
}

}  // namespace m2::app
