// A program of its own: it replaces the global allocation functions.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "backends/backends.h"
#include "engine_stack.h"

namespace {

std::atomic<std::int64_t> num_allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++num_allocations;
  const std::size_t rounded = (size + alignment - 1) / alignment * alignment;
  void* memory = std::aligned_alloc(alignment, rounded == 0 ? alignment : rounded);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t /*alignment*/) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t /*size*/, std::align_val_t /*alignment*/) noexcept {
  std::free(memory);
}

namespace m2 {
namespace {

TEST(SteadyDecode, AllocatesNothing) {
  test::EngineStack stack(make_backend("cpu", 2));
  Engine engine(stack.model, {.max_seqs = 5, .kv_cache = {.num_tokens = 2048, .block_size = 4}});
  for (std::int32_t salt = 0; salt < 4; ++salt) {
    EngineRequest request = test::request_of(test::prompt_of(30, salt), 200);
    request.config.do_sample = salt % 2 == 0;
    request.config.top_k = 10;
    request.config.top_p = 0.9;
    (void)engine.submit(std::move(request));
  }
  for (int step = 0; step < 60; ++step) (void)engine.step();
  const std::int64_t before = num_allocations;
  std::size_t num_tokens = 0;
  for (int step = 0; step < 120; ++step) num_tokens += engine.step().size();
  EXPECT_EQ(num_tokens, 480U);
  EXPECT_EQ(num_allocations - before, 0);
}

}  // namespace
}  // namespace m2
