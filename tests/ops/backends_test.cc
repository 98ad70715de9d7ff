#include "backends/backends.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <string>

#include "base/error.h"
#include "cpu/cpu_backend.h"
#include "m2/error.h"

namespace m2 {
namespace {

using testing::HasSubstr;

ErrorCode code_of(const std::function<void()>& body, std::string* message) {
  try {
    body();
  } catch (const Error& error) {
    *message = error.what();
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

TEST(Backends, CpuDescribesItself) {
  const auto backend = make_backend("cpu", 2);
  EXPECT_THAT(backend->description(), testing::MatchesRegex("cpu \\(.+, 2 threads\\)"));
  const Tensor memory = backend->allocate(DType::kF32, {3});
  EXPECT_EQ(memory.as<float>()[2], 0.0F);
}

TEST(Backends, UnknownDevicesNameWhatExists) {
  for (const char* device : {"tpu", "cuda:999", "cuda:x", "cuda:", "cpu:0", ""}) {
    std::string message;
    EXPECT_EQ(code_of([&] { (void)make_backend(device, 1); }, &message), ErrorCode::kUnsupported);
    EXPECT_THAT(message, testing::AllOf(HasSubstr(concat('"', device, '"')), HasSubstr("\"cpu\"")));
  }
}

TEST(Backends, EveryListedDeviceCanBeMade) {
  const auto devices = list_devices();
  ASSERT_FALSE(devices.empty());
  EXPECT_EQ(devices.back().name, "cpu");
  for (const DeviceInfo& device : devices) {
    EXPECT_THAT(make_backend(device.name, 1)->description(), testing::StartsWith(device.name));
    EXPECT_GE(device.free_bytes, 0);
  }
}

TEST(Backends, EnvironmentForcesTheInstructionSet) {
  for (const auto& target : CpuBackend::supported_targets()) {
    ASSERT_EQ(setenv("M2_CPU_TARGET", target.c_str(), 1), 0);
    EXPECT_THAT(make_backend("cpu", 1)->description(), HasSubstr("(" + target + ", 1 thread)"));
  }
  ASSERT_EQ(setenv("M2_CPU_TARGET", "Z80", 1), 0);
  std::string message;
  EXPECT_EQ(code_of([] { (void)make_backend("cpu", 1); }, &message), ErrorCode::kUnsupported);
  EXPECT_THAT(message, testing::AllOf(HasSubstr("\"Z80\""),
                                      HasSubstr(CpuBackend::supported_targets().back())));
  ASSERT_EQ(unsetenv("M2_CPU_TARGET"), 0);
}

}  // namespace
}  // namespace m2
