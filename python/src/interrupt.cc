#include "interrupt.h"

#include <chrono>
#include <future>
#include <thread>

namespace m2::python {
namespace {

constexpr auto kSignalInterval = std::chrono::milliseconds(50);

}  // namespace

void check_signals() {
  const nb::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

// Called inside a handler of nb::python_error, with the GIL.
void InterruptibleCall::interrupt() {
  if (raised_ == nullptr) raised_ = std::current_exception();
  stop_.request_stop();
}

bool InterruptibleCall::guard(const std::function<void()>& callback) {
  const nb::gil_scoped_acquire gil;
  if (stop_.stop_requested()) return false;
  try {
    callback();
  } catch (const nb::python_error&) {
    interrupt();
  }
  return !stop_.stop_requested();
}

void InterruptibleCall::run(const std::function<void()>& work) {
  std::packaged_task<void()> task(work);
  std::future<void> result = task.get_future();
  std::thread worker(std::move(task));
  for (bool done = false; !done;) {
    {
      const nb::gil_scoped_release release;
      done = result.wait_for(kSignalInterval) == std::future_status::ready;
    }
    try {
      if (!done) check_signals();
    } catch (const nb::python_error&) {
      interrupt();
    }
  }
  worker.join();
  if (raised_ != nullptr) std::rethrow_exception(raised_);
  result.get();
}

}  // namespace m2::python
