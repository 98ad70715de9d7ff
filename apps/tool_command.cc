#include "tool_command.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "m2/error.h"

namespace m2::app {
namespace {

struct Pipe {
  int read_end = -1;
  int write_end = -1;

  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      throw Error(ErrorCode::kInternal, std::string("tool command: ") + std::strerror(errno));
    }
    read_end = ends[0];
    write_end = ends[1];
  }
  ~Pipe() {
    close_end(read_end);
    close_end(write_end);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  static void close_end(int& end) {
    if (end >= 0) ::close(end);
    end = -1;
  }
};

[[noreturn]] void run_child(const std::string& command, const Pipe& input, const Pipe& output) {
  ::dup2(input.read_end, STDIN_FILENO);
  ::dup2(output.write_end, STDOUT_FILENO);
  ::signal(SIGPIPE, SIG_DFL);
  ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
  ::_exit(127);
}

// Feeds and drains the child together, so that neither side waits for the other.
std::string exchange(Pipe& input, Pipe& output, std::string_view text) {
  ::fcntl(input.write_end, F_SETFL, O_NONBLOCK);
  std::string result;
  std::array<char, 1 << 14> buffer;
  for (;;) {
    if (text.empty()) Pipe::close_end(input.write_end);
    std::array<pollfd, 2> ends = {{{output.read_end, POLLIN, 0}, {input.write_end, POLLOUT, 0}}};
    if (::poll(ends.data(), input.write_end >= 0 ? 2 : 1, -1) < 0 && errno != EINTR) break;
    if (ends[1].fd >= 0 && ends[1].revents != 0) {
      const ssize_t count = ::write(input.write_end, text.data(), text.size());
      if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
      if (count < 0 && errno != EAGAIN && errno != EINTR) text = {};  // it does not read its input
    }
    if (ends[0].revents == 0) continue;
    const ssize_t count = ::read(output.read_end, buffer.data(), buffer.size());
    if (count == 0 || (count < 0 && errno != EINTR)) break;
    if (count > 0) result.append(buffer.data(), static_cast<std::size_t>(count));
  }
  return result;
}

}  // namespace

std::string run_tool_command(const std::string& command, const std::string& input) {
  Pipe to_child;
  Pipe from_child;
  ::signal(SIGPIPE, SIG_IGN);
  const pid_t child = ::fork();
  if (child < 0) {
    throw Error(ErrorCode::kInternal, std::string("tool command: ") + std::strerror(errno));
  }
  if (child == 0) run_child(command, to_child, from_child);
  Pipe::close_end(to_child.read_end);
  Pipe::close_end(from_child.write_end);
  std::string result = exchange(to_child, from_child, input);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!result.empty() && result.back() == '\n') result.pop_back();
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    if (!result.empty()) result += "\n";
    result += WIFEXITED(status)
                  ? "error: the tool ended with code " + std::to_string(WEXITSTATUS(status))
                  : "error: the tool was ended by a signal";
  }
  return result;
}

}  // namespace m2::app
