// The shipped model in block formats: greedy continuations on the device and on the processor.
#include <cstdio>

#include "checkpoint/file_images.h"
#include "cuda/device_models.h"
#include "cuda/devices.h"
#include "m2/tokenizer.h"
#include "quantizer/quantize.h"
#include "service/export_gguf.h"
#include "support/paths.h"

namespace m2 {
namespace {

constexpr int kTokens = 128;
constexpr const char* kPrompts[] = {"]~b]user\nHello![e~[\n]~b]ai\n",
                                    "]~b]user\nWhat is 17 * 25?[e~[\n]~b]ai\n"};
// How far behind the best a token may be, in root mean square errors of its logits; also what
// tools/compare_gguf.py allows.
constexpr double kMostErrors = 4.0;

struct Format {
  const char* name;
  bool gguf;
};

constexpr Format kFormats[] = {{"int8_g32", false}, {"int4_g32", false}, {"int4_g128", false},
                               {"q8_0", true},      {"q4_0", true},      {"q4_k", true},
                               {"q6_k", true}};

std::filesystem::path make_model(const Format& format, const std::filesystem::path& directory) {
  const auto path = directory / (format.gguf ? "model.gguf" : "model");
  if (format.gguf) {
    export_gguf(test::shipped_model(), path, {.format = gguf_format_from_name(format.name)});
  } else {
    QuantizeOptions options;
    options.recipe.format = parse_target_format(format.name);
    quantize(test::shipped_model(), path, options);
  }
  return path;
}

std::vector<std::int64_t> tokens_of(const std::string& prompt) {
  const auto ids = Tokenizer::from_pretrained(test::shipped_model()).encode_ids(prompt);
  return {ids.begin(), ids.end()};
}

// Of the logits of a step, root mean square.
double error_of(const TensorView& logits, const TensorView& exact) {
  double sum = 0.0;
  for (std::int64_t i = 0; i < exact.num_elements(); ++i) {
    const double error = double{logits.as<float>()[i]} - double{exact.as<float>()[i]};
    sum += error * error;
  }
  return std::sqrt(sum / static_cast<double>(exact.num_elements()));
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Errors {
  std::vector<double> host;
  std::vector<double> device;
  int parted = 0;  // tokens
};

// Both continue what the processor says; a token that the device would say instead is as good.
void converse(test::Conversation host, test::Conversation device, test::Conversation exact,
              std::vector<std::int64_t> ids, Errors& errors) {
  for (int step = 0; step < kTokens; ++step) {
    const std::int64_t host_token = host.next(ids);
    const std::int64_t device_token = device.next(ids);
    exact.next(ids);
    const TensorView logits = exact.logits().view();
    errors.host.push_back(error_of(host.logits().view(), logits));
    errors.device.push_back(error_of(device.logits().view(), logits));
    if (device_token != host_token) {
      ++errors.parted;
      const float* values = logits.as<float>();
      EXPECT_LE(std::fabs(values[host_token] - values[device_token]),
                kMostErrors * (errors.host.back() + errors.device.back()))
          << "step " << step;
    }
    ids = {host_token};
  }
}

class CudaQuantisedModel : public testing::TestWithParam<Format> {
 protected:
  void SetUp() override {
    if (cuda::list_devices().empty()) GTEST_SKIP() << "there is no CUDA device";
  }
};

TEST_P(CudaQuantisedModel, SaysWhatItSaysOnTheProcessor) {
  const Format& format = GetParam();
  const test::TempDir directory;
  const auto path = make_model(format, directory.path());
  const auto host = test::load_on(path, "cpu");
  const auto device = test::load_on(path, "cuda");
  const auto exact = test::load_on(path, "cpu", {.dtype = DType::kF32, .dequantize = true});
  Errors errors;
  for (const char* prompt : kPrompts) {
    converse(test::Conversation(*host), test::Conversation(*device), test::Conversation(*exact),
             tokens_of(prompt), errors);
  }
  // The processor rounds activations to 8 bits, the device to 12 or weights to 9.
  EXPECT_LE(median(errors.device), median(errors.host));
  std::printf("cuda quantised %-9s %d of %d tokens differ, median error %.4f, on the host %.4f\n",
              format.name, errors.parted, static_cast<int>(errors.host.size()),
              median(errors.device), median(errors.host));
}

INSTANTIATE_TEST_SUITE_P(Formats, CudaQuantisedModel, testing::ValuesIn(kFormats),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace m2
