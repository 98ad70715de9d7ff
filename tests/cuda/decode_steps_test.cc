// Decode steps of changing batches on the device, which are recorded and replayed, against the
// processor.
#include <algorithm>
#include <cmath>
#include <span>

#include "backends/backends.h"
#include "checkpoint/checkpoint.h"
#include "cuda/device_cases.h"
#include "model/minimax_m2.h"
#include "model/place_weights.h"
#include "support/paths.h"

namespace m2 {
namespace {

constexpr std::int32_t kBlockSize = 16;

// A model with a cache and three sequences.
class Side {
 public:
  Side(const MiniMaxM2Config& config, const ModelWeights& mapped, const char* device,
       KvFormat format)
      : placement_(Placement::on(make_backend(device, 0), config.num_hidden_layers)),
        model_(config, std::make_shared<const ModelWeights>(place_weights(mapped, placement_)),
               placement_),
        cache_(placement_, config,
               {.num_tokens = 256, .block_size = kBlockSize, .format = format}) {
    for (int i = 0; i < 3; ++i) sequences_.emplace_back(cache_.allocator(), kBlockSize);
  }

  // The next token of the chosen sequences; logits of all of them, by either way that records.
  std::vector<float> step(const std::vector<std::size_t>& chosen, std::int32_t token) {
    batch_.clear();
    std::vector<std::int32_t> rows;
    for (const std::size_t i : chosen) {
      const std::int64_t position = lengths_[i]++;
      EXPECT_TRUE(sequences_[i].reserve(lengths_[i]));
      const std::int32_t id = (token + static_cast<std::int32_t>(i) * 7) % 60;
      batch_.add({.token_ids = {&id, 1},
                  .position_ids = {&position, 1},
                  .num_cached_tokens = static_cast<std::int32_t>(position),
                  .blocks = &sequences_[i]});
      rows.push_back(static_cast<std::int32_t>(rows.size()));
    }
    batch_.finish();
    if (token % 5 == 0) {
      model_.forward(batch_, cache_);
      const TensorView logits = model_.logits(rows);
      return {logits.as<float>(), logits.as<float>() + logits.num_elements()};
    }
    const TopLogits top = model_.step(batch_, cache_, rows);
    std::vector<float> logits;
    for (const std::int32_t row : rows) {
      const TensorView view = model_.logits_row(row);
      const std::span all(view.as<float>(), static_cast<std::size_t>(view.num_elements()));
      const auto best = std::ranges::max_element(all);
      EXPECT_EQ(top.ids_of(static_cast<std::size_t>(row))[0], best - all.begin());
      EXPECT_EQ(top.logits_of(static_cast<std::size_t>(row))[0], *best);
      logits.insert(logits.end(), all.begin(), all.end());
    }
    return logits;
  }
  void grow() { cache_.grow(512); }

 private:
  Placement placement_;
  MiniMaxM2 model_;
  KvCache cache_;
  std::vector<SequenceBlocks> sequences_;
  std::int32_t lengths_[3] = {};
  Batch batch_;
};

TEST(CudaDecodeSteps, ChangingBatchesMatchTheProcessor) {
  if (cuda::list_devices().empty()) GTEST_SKIP() << "there is no CUDA device";
  struct Case {
    const char* name;
    KvFormat format;
    double limit;  // numbers that differ by a rounding may get different codes
  };
  for (const auto& [name, format, limit] :
       {Case{"gqa", KvFormat::kF32, 1e-3}, Case{"bf16", KvFormat::kF32, 1e-3},
        Case{"gqa", KvFormat::kF8E4M3, 2e-2}}) {
    SCOPED_TRACE(testing::Message() << name << " " << static_cast<int>(format));
    const auto directory = test::golden_path(std::string("checkpoints/") + name);
    const MiniMaxM2Config config = MiniMaxM2Config::from_pretrained(directory);
    const ModelWeights mapped = load_weights(config, Checkpoint::open(directory));
    Side device(config, mapped, "cuda", format);
    Side host(config, mapped, "cpu", format);
    const std::vector<std::vector<std::size_t>> batches = {{0}, {0, 1}, {0, 1, 2}, {2, 1}};
    for (std::int32_t i = 0; i < 80; ++i) {
      // Runs of the same batch, and the batches in turn; tables grow on the way.
      const auto& chosen = batches[static_cast<std::size_t>(i < 40 ? i / 10 : i % 4)];
      if (i == 50) {
        device.grow();
        host.grow();
      }
      const auto got = device.step(chosen, i * 11 % 60);
      const auto want = host.step(chosen, i * 11 % 60);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t k = 0; k < want.size(); ++k) {
        ASSERT_NEAR(got[k], want[k], limit) << "step " << i << " logit " << k;
      }
    }
  }
}

}  // namespace
}  // namespace m2
