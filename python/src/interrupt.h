// Long calls of the library that Ctrl-C ends.
#pragma once

#include <nanobind/nanobind.h>

#include <exception>
#include <functional>
#include <stop_token>

namespace m2::python {

namespace nb = nanobind;

/// A call that runs on a thread of its own, because only the interpreter's main thread handles
/// signals and a download or a load does not come back to it. The caller's thread, which must hold
/// the GIL, waits without it. When a signal handler raises (KeyboardInterrupt), or a callback that
/// was passed through guard(), the library is asked to stop and that exception is raised.
class InterruptibleCall {
 public:
  void run(const std::function<void()>& work);
  [[nodiscard]] std::stop_token stop_token() const { return stop_.get_token(); }

  /// Runs Python code from the library's thread. Returns false once the call is to end.
  bool guard(const std::function<void()>& callback);

 private:
  void interrupt();

  std::stop_source stop_;
  std::exception_ptr raised_;  // by Python; guarded by the GIL
};

/// For callbacks that the library makes on the caller's own thread: throws what a signal handler
/// raised.
void check_signals();

}  // namespace m2::python
