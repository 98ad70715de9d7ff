#include "quantizer/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "quantizer/model_directory.h"
#include "service/export_gguf.h"
#include "support/paths.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

using test::error_of;
using test::ModelDirectory;
using test::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

QuantizeOptions options_of(const std::string& format, const std::vector<std::string>& rules = {}) {
  QuantizeOptions options;
  options.recipe.format = parse_target_format(format);
  for (const std::string& rule : rules) options.recipe.rules.push_back(parse_tensor_rule(rule));
  options.num_threads = 2;
  return options;
}

// Every file below a directory, by relative name.
std::map<std::string, std::string> contents(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    files[fs::relative(entry.path(), directory).string()] = test::read_file(entry.path());
  }
  return files;
}

std::vector<float> decoded(const WeightView& view) {
  std::vector<float> values(static_cast<std::size_t>(view.rows * view.cols));
  for (std::int64_t row = 0; row < view.rows; ++row) {
    decode_row(view, row, values.data() + row * view.cols);
  }
  return values;
}

ModelWeights load(const fs::path& directory) {
  return load_weights(MiniMaxM2Config::from_pretrained(directory), Checkpoint::open(directory));
}

TEST(Quantize, WritesADirectoryThatLoads) {
  const ModelDirectory source;
  const TempDir out;
  const auto result = quantize(source.path(), out.path(), options_of("int4_g32"));
  const auto files = contents(out.path());
  std::vector<std::string> names;
  for (const auto& [name, text] : files) names.push_back(name);
  EXPECT_THAT(names, ElementsAre("additional_chat_templates/tool.jinja", "config.json",
                                 "generation_config.json", "model.safetensors", "tokenizer.json"));
  const auto config = nlohmann::json::parse(files.at("config.json"));
  EXPECT_EQ(config["quantization_config"], nlohmann::json({{"quant_method", "m2_blocks"}}));

  const ModelWeights weights = load(out.path());
  const auto& layer = weights.layers[1];
  EXPECT_EQ(layer.experts[3].up.block_format, BlockFormat::kInt4G32);
  EXPECT_EQ(layer.q.block_format, BlockFormat::kInt8G32);
  EXPECT_EQ(weights.lm_head.block_format, BlockFormat::kInt8G32);
  EXPECT_EQ(weights.embed_tokens.dtype, DType::kBF16);
  EXPECT_EQ(layer.gate.dtype, DType::kBF16);
  EXPECT_EQ(result.tensors.size(), Checkpoint::open(out.path())->tensors().size());
}

TEST(Quantize, ReportsTheErrorOfEveryTensor) {
  const ModelDirectory source;
  const TempDir out;
  const auto result = quantize(source.path(), out.path(), options_of("int4_g32"));
  const ModelWeights weights = load(out.path());
  const auto& results = result.tensors;
  const auto found = std::ranges::find(
      results, "model.layers.1.block_sparse_moe.experts.2.w1.weight", &TensorResult::name);
  ASSERT_NE(found, results.end());
  const auto before = decoded(source.weights().layers[1].experts[2].gate);
  const auto after = decoded(weights.layers[1].experts[2].gate);
  double squared = 0;
  double sum = 0;
  double largest = 0;
  for (std::size_t i = 0; i < before.size(); ++i) {
    const double error = double{after[i]} - before[i];
    squared += error * error;
    sum += double{before[i]} * before[i];
    largest = std::max(largest, std::abs(error));
  }
  EXPECT_NEAR(found->error.relative(), std::sqrt(squared / sum), 1e-9);
  EXPECT_EQ(found->error.largest, largest);
  EXPECT_GT(found->error.relative(), 0.03);
  EXPECT_LT(found->error.relative(), 0.1);
  EXPECT_EQ(found->bytes_before, 24 * 32 * 2);
  EXPECT_EQ(found->bytes_after, 2 * 288);
  EXPECT_EQ(found->from + " " + found->to, "BF16 int4_g32");
}

TEST(Quantize, DoesNotDependOnThreadsOrOnTheNamesOfTheSource) {
  const ModelDirectory source;
  const ModelDirectory fused(DType::kBF16, {.hub_names = false});
  const TempDir first;
  const TempDir second;
  auto options = options_of("int4_g128");
  quantize(source.path(), first.path(), options);
  options.num_threads = 1;
  quantize(fused.path(), second.path(), options);
  EXPECT_EQ(contents(first.path()), contents(second.path()));
}

TEST(Quantize, KeepsAnExpertTogetherAndAligned) {
  const ModelDirectory source;
  const TempDir out;
  auto options = options_of("int4_g32");
  options.max_shard_size = "10KB";
  const auto result = quantize(source.path(), out.path(), options);
  EXPECT_GT(result.num_shards, 4);
  const auto checkpoint = Checkpoint::open(out.path());
  for (int layer = 0; layer < 2; ++layer) {
    for (int expert = 0; expert < 6; ++expert) {
      const std::string name = "model.layers." + std::to_string(layer) +
                               ".block_sparse_moe.experts." + std::to_string(expert);
      const auto* gate = checkpoint->find(name + ".w1.weight");
      const auto* down = checkpoint->find(name + ".w2.weight");
      const auto* up = checkpoint->find(name + ".w3.weight");
      const auto* begin = static_cast<const std::byte*>(gate->view.data);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(begin) % 32, 0U) << name;
      EXPECT_EQ(down->view.data, begin + gate->view.num_bytes());
      EXPECT_EQ(up->view.data, begin + gate->view.num_bytes() + down->view.num_bytes());
    }
  }
}

TEST(Quantize, ReadsFp8AndDropsItsScales) {
  const TempDir out;
  const auto golden = test::golden_path("checkpoints/fp8");
  quantize(golden, out.path(), options_of("int8_g32", {"q_proj=stored", "k_proj=bf16"}));
  const ModelWeights before = load(golden);
  const ModelWeights after = load(out.path());
  const auto checkpoint = Checkpoint::open(out.path());
  EXPECT_NE(checkpoint->find("model.layers.0.self_attn.q_proj.weight_scale_inv"), nullptr);
  EXPECT_EQ(checkpoint->find("model.layers.0.self_attn.k_proj.weight_scale_inv"), nullptr);
  EXPECT_EQ(after.layers[0].q.dtype, DType::kF8E4M3);
  EXPECT_EQ(decoded(after.layers[0].q), decoded(before.layers[0].q));
  EXPECT_EQ(after.layers[0].k.dtype, DType::kBF16);
  EXPECT_EQ(after.layers[0].v.block_format, BlockFormat::kInt8G32);
  const auto values = decoded(before.layers[0].experts[0].down);
  const auto coded = decoded(after.layers[0].experts[0].down);
  for (std::size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(coded[i], values[i], 0.01);
}

TEST(Quantize, PlainFormatsLeaveNoQuantizationConfig) {
  const TempDir out;
  quantize(test::golden_path("checkpoints/fp8"), out.path(), options_of("bf16"));
  EXPECT_FALSE(MiniMaxM2Config::from_pretrained(out.path()).quantization.has_value());
  EXPECT_EQ(load(out.path()).layers[0].q.dtype, DType::kBF16);
}

TEST(Quantize, SavedAgainItKeepsFormatsAndBytes) {
  const ModelDirectory source;
  const TempDir out;
  quantize(source.path(), out.path(), options_of("int4_g32"));
  const TempDir again;
  const auto config = MiniMaxM2Config::from_pretrained(out.path());
  save_weights(config, load(out.path()), again.path());
  EXPECT_EQ(test::read_file(again.path() / "model.safetensors"),
            test::read_file(out.path() / "model.safetensors"));
  // 24 rows are no whole strips: nothing may be fused.
  EXPECT_THAT(
      error_of([&] { save_weights(config, load(out.path()), again.path(), {.hub_names = false}); }),
      HasSubstr("int4_g32 pads the 24 rows of an expert"));
}

TEST(Quantize, LoadsDequantized) {
  const ModelDirectory source;
  const TempDir out;
  quantize(source.path(), out.path(), options_of("int4_g32"));
  const ModelWeights weights =
      load_weights(MiniMaxM2Config::from_pretrained(out.path()), Checkpoint::open(out.path()),
                   nullptr, {}, {.dtype = DType::kF32, .dequantize = true});
  const WeightView& up = weights.layers[0].experts[1].up;
  EXPECT_EQ(up.dtype, DType::kF32);
  EXPECT_EQ(decoded(up), decoded(load(out.path()).layers[0].experts[1].up));
}

TEST(Quantize, NamesTheTensorThatDoesNotFit) {
  const auto config = test::tiny_config();
  ModelWeights weights = random_weights(config, DType::kF32, 1);
  const auto& down = weights.layers[1].experts[4].down;
  static_cast<float*>(const_cast<void*>(down.data))[17 * down.cols + 3] =
      std::numeric_limits<float>::quiet_NaN();
  const TempDir source;
  config.save_pretrained(source.path());
  save_weights(config, weights, source.path());
  for (const char* format : {"int4_g32", "int8_g32", "f16"}) {
    const TempDir out;
    const std::string error =
        error_of([&] { quantize(source.path(), out.path(), options_of(format)); });
    EXPECT_THAT(error, HasSubstr("invalid_argument: model.layers.1.block_sparse_moe.experts.4.w2"
                                 ".weight: rows 16 to 31: "));
  }
}

TEST(Quantize, KeepsTheValuesOfGgufFiles) {
  for (const auto& [gguf, ours] : {std::pair{"q8_0", "int8_g32"}, std::pair{"q4_0", "int4_g32"}}) {
    SCOPED_TRACE(gguf);
    const TempDir directory;
    const fs::path file = directory.path() / "model.gguf";
    export_gguf(test::shipped_model(), file, {.format = gguf_format_from_name(gguf)});
    const TempDir out;
    const auto result = quantize(file, out.path(), options_of(ours));
    std::int64_t exact = 0;
    for (const TensorResult& tensor : result.tensors) {
      if (tensor.from != gguf || tensor.to != ours) continue;
      EXPECT_EQ(tensor.error.squared_error, 0) << tensor.name;
      EXPECT_GT(tensor.error.squared_sum, 0) << tensor.name;
      ++exact;
    }
    EXPECT_GE(exact, 5 * 8 * 3);
    const ModelWeights before = load(file);
    const ModelWeights after = load(out.path());
    EXPECT_EQ(decoded(after.layers[2].experts[5].up), decoded(before.layers[2].experts[5].up));
  }
}

// Runs the conversion in a process of its own that dies without warning after `tensors` tensors.
void quantize_and_die(const fs::path& source, const fs::path& out, QuantizeOptions options,
                      int tensors) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    int left = tensors;
    options.progress = [&](const QuantizeProgress& /*progress*/) {
      if (--left == 0) ::kill(::getpid(), SIGKILL);
    };
    quantize(source, out, options);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it ended by itself";
}

class Interrupted : public ::testing::Test {
 protected:
  Interrupted() {
    options_.max_shard_size = "10KB";
    const TempDir whole;
    quantize(source_.path(), whole.path(), options_);
    expected_ = contents(whole.path());
  }

  void die(int tensors) { quantize_and_die(source_.path(), out_.path(), options_, tensors); }
  [[nodiscard]] fs::path shard(int number) const {
    for (const auto& entry : fs::directory_iterator(out_.path())) {
      const std::string name = entry.path().filename().string();
      if (name.starts_with("model-0000" + std::to_string(number)) && entry.is_regular_file()) {
        return entry.path();
      }
    }
    return {};
  }
  QuantizeResult resume() { return quantize(source_.path(), out_.path(), options_); }

  ModelDirectory source_;
  TempDir out_;
  QuantizeOptions options_ = options_of("int4_g32");
  std::map<std::string, std::string> expected_;
};

TEST_F(Interrupted, GoesOnWhereItWasKilled) {
  // Again and again, at points that lie inside a shard and between two.
  for (const int tensors : {1, 9, 20, 2, 15}) {
    die(tensors);
    EXPECT_FALSE(fs::exists(out_.path() / "config.json"));
  }
  const fs::path first = shard(1);
  const auto written = fs::last_write_time(first);
  const QuantizeResult result = resume();
  EXPECT_GT(result.kept_shards, 1);
  EXPECT_LT(result.kept_shards, result.num_shards);
  EXPECT_EQ(fs::last_write_time(first), written) << "a complete shard was written again";
  EXPECT_EQ(contents(out_.path()), expected_);
  // The report is whole too.
  for (const TensorResult& tensor : result.tensors) {
    EXPECT_EQ(tensor.error.squared_sum > 0, tensor.from != tensor.to) << tensor.name;
  }
}

TEST_F(Interrupted, WritesDamagedShardsAgain) {
  die(55);
  const auto damage = [](const fs::path& path, auto change) {
    std::string bytes = test::read_file(path);
    change(bytes);
    std::ofstream(path, std::ios::binary) << bytes;
  };
  damage(shard(1), [](std::string& bytes) { bytes[bytes.size() / 2] ^= 1; });
  damage(shard(2), [](std::string& bytes) { bytes.pop_back(); });
  fs::remove(shard(3));
  const QuantizeResult result = resume();
  EXPECT_GT(result.kept_shards, 0);
  EXPECT_EQ(contents(out_.path()), expected_);
}

TEST_F(Interrupted, RefusesAnotherPlan) {
  die(9);
  auto other = options_of("int8_g32");
  other.max_shard_size = options_.max_shard_size;
  EXPECT_THAT(error_of([&] { quantize(source_.path(), out_.path(), other); }),
              HasSubstr("format was \"int4_g32\" and is \"int8_g32\"; remove it"));
  auto rules = options_of("int4_g32", {"q_proj=bf16"});
  rules.max_shard_size = options_.max_shard_size;
  EXPECT_THAT(error_of([&] { quantize(source_.path(), out_.path(), rules); }),
              HasSubstr("the rules differ"));
  fs::last_write_time(source_.path() / "model.safetensors", fs::file_time_type::clock::now());
  EXPECT_THAT(error_of([&] { resume(); }), HasSubstr("the source files differ"));
}

TEST_F(Interrupted, AStopLeavesWhatWasDone) {
  std::stop_source stop;
  auto options = options_;
  options.stop = stop.get_token();
  int left = 20;
  options.progress = [&](const QuantizeProgress& /*progress*/) {
    if (--left == 0) stop.request_stop();
  };
  EXPECT_THAT(error_of([&] { quantize(source_.path(), out_.path(), options); }),
              HasSubstr("cancelled: "));
  EXPECT_GT(resume().kept_shards, 0);
  EXPECT_EQ(contents(out_.path()), expected_);
}

TEST(Quantize, RefusesADirectoryWithOtherFiles) {
  const ModelDirectory source;
  const TempDir out;
  out.write("notes.txt", "mine");
  EXPECT_THAT(error_of([&] { quantize(source.path(), out.path(), options_of("int4_g32")); }),
              HasSubstr("is not empty and holds no unfinished conversion"));
  EXPECT_THAT(error_of([&] { quantize(source.path(), source.path(), options_of("int4_g32")); }),
              HasSubstr("is not empty"));
}

}  // namespace
}  // namespace m2
