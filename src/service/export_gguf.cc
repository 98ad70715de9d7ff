#include "service/export_gguf.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "chat/chat_template.h"
#include "chat/gguf_templates.h"
#include "checkpoint/gguf_tensor.h"
#include "generation/gguf_generation.h"
#include "gguf/writer.h"
#include "model/gguf_config.h"
#include "model/weight_names.h"
#include "model/weights.h"
#include "quant/ggml_format.h"
#include "text/gguf_tokenizer.h"

namespace m2 {
namespace {

struct NamedFormat {
  std::string_view name;
  GgufFormat format;
  std::uint32_t file_type;  // general.file_type: llama.cpp's word for the whole file
};

constexpr std::array kFormats = {
    NamedFormat{"f32", {DType::kF32}, 0},
    NamedFormat{"f16", {DType::kF16}, 1},
    NamedFormat{"bf16", {DType::kBF16}, 32},
    NamedFormat{"q8_0", {DType::kU8, BlockFormat::kQ8_0}, 7},
    NamedFormat{"q4_0", {DType::kU8, BlockFormat::kQ4_0}, 2},
    NamedFormat{"q4_k", {DType::kU8, BlockFormat::kQ4_K}, 14},
    NamedFormat{"q6_k", {DType::kU8, BlockFormat::kQ6_K}, 18},
};
constexpr std::uint32_t kQuantizationVersion = 2;

const NamedFormat& named(const GgufFormat& format) {
  const auto* found = std::ranges::find_if(kFormats, [&](const NamedFormat& entry) {
    return entry.format.dtype == format.dtype && entry.format.block_format == format.block_format;
  });
  M2_REQUIRE(ErrorCode::kInvalidArgument, found != kFormats.end(),
             "gguf: ", dtype_name(format.dtype), " ", block_format_name(format.block_format),
             " cannot be written");
  return *found;
}

GgufFormat fitting(const GgufFormat& wanted, std::int64_t cols) {
  if (block_format_fits(wanted.block_format, cols)) return wanted;
  const GgufFormat bytes = {DType::kU8, BlockFormat::kQ8_0};
  return block_format_fits(bytes.block_format, cols) ? bytes : GgufFormat{DType::kF16};
}

GgufFormat head_format(const GgufFormat& wanted) {
  const bool four_bits =
      wanted.block_format == BlockFormat::kQ4_0 || wanted.block_format == BlockFormat::kQ4_K;
  return four_bits ? GgufFormat{DType::kU8, BlockFormat::kQ6_K} : wanted;
}

void encode_elements(DType dtype, const float* row, std::int64_t cols, std::byte* out) {
  for (std::int64_t col = 0; col < cols; ++col) {
    switch (dtype) {
      case DType::kF32:
        std::memcpy(out + col * 4, &row[col], 4);
        break;
      case DType::kF16: {
        const f16 half = to_f16(row[col]);
        M2_REQUIRE(ErrorCode::kInvalidArgument, std::isfinite(to_float(half)), "gguf: weight ",
                   row[col], " is beyond the range of f16");
        std::memcpy(out + col * 2, &half, 2);
        break;
      }
      default: {
        const bf16 half = to_bf16(row[col]);
        std::memcpy(out + col * 2, &half, 2);
      }
    }
  }
}

// Adds the tensors of a model to a writer, in the order of layers.
class Exporter {
 public:
  Exporter(const MiniMaxM2Config& config, const ModelWeights& weights,
           const ExportGgufOptions& options, GgufWriter& writer)
      : config_(config),
        weights_(weights),
        options_(options),
        writer_(writer),
        pool_(options.num_threads) {}

  void add_all() {
    add_matrix({Part::kEmbedTokens}, weights_.embed_tokens, options_.format);
    add_vector({Part::kNorm}, weights_.norm);
    add_matrix({Part::kLmHead}, weights_.lm_head, head_format(options_.format));
    for (std::int64_t i = 0; i < config_.num_hidden_layers; ++i) add_layer(i);
  }

 private:
  void add_layer(std::int64_t index) {
    const LayerWeights& layer = weights_.layers[static_cast<std::size_t>(index)];
    const auto matrix = [&](Part part, const WeightView& view) {
      add_matrix({part, index}, view, options_.format);
    };
    add_vector({Part::kInputNorm, index}, layer.input_norm);
    matrix(Part::kQ, layer.q);
    matrix(Part::kK, layer.k);
    matrix(Part::kV, layer.v);
    matrix(Part::kAttnOut, layer.attn_out);
    add_vector({Part::kQNorm, index}, layer.q_norm);
    add_vector({Part::kKNorm, index}, layer.k_norm);
    add_vector({Part::kPostAttentionNorm, index}, layer.post_attention_norm);
    add_matrix({Part::kGate, index}, layer.gate, {DType::kF32});
    add_vector({Part::kCorrectionBias, index}, layer.correction_bias);
    add_experts({Part::kStackedGate, index}, layer, &ExpertWeights::gate);
    add_experts({Part::kStackedUp, index}, layer, &ExpertWeights::up);
    add_experts({Part::kFusedDown, index}, layer, &ExpertWeights::down);
  }

  void add_vector(const Place& place, const TensorView& view) {
    total_ += static_cast<std::int64_t>(view.num_bytes());
    writer_.add(gguf_name(place), GgmlType::kF32, view.shape,
                [this, view](const GgufWriter::Sink& sink) {
                  put(sink, {static_cast<const std::byte*>(view.data), view.num_bytes()});
                });
  }

  void add_matrix(const Place& place, const WeightView& view, const GgufFormat& wanted) {
    add_stack(place, {view}, {view.rows, view.cols}, wanted);
  }

  void add_experts(const Place& place, const LayerWeights& layer, WeightView ExpertWeights::*part) {
    std::vector<WeightView> stack;
    for (const ExpertWeights& expert : layer.experts) stack.push_back(expert.*part);
    const WeightView first = stack.front();
    const Shape shape = {std::ssize(stack), first.rows, first.cols};
    add_stack(place, std::move(stack), shape, options_.format);
  }

  void add_stack(const Place& place, std::vector<WeightView> stack, const Shape& shape,
                 const GgufFormat& wanted) {
    const GgufFormat format = fitting(wanted, stack.front().cols);
    const GgmlType type = *ggml_type_of(format.dtype, format.block_format);
    total_ += std::ssize(stack) * stack.front().rows * row_bytes(format, stack.front().cols);
    const std::string name = gguf_name(place);
    writer_.add(name, type, shape,
                [this, name, format, stack = std::move(stack)](const GgufWriter::Sink& sink) {
                  for (const WeightView& view : stack) produce(name, view, format, sink);
                });
  }

  static std::int64_t row_bytes(const GgufFormat& format, std::int64_t cols) {
    if (format.block_format != BlockFormat::kNone) {
      return ggml_layout(format.block_format).row_bytes(cols);
    }
    return cols * static_cast<std::int64_t>(dtype_size(format.dtype));
  }

  void produce(const std::string& name, const WeightView& view, const GgufFormat& format,
               const GgufWriter::Sink& sink) {
    const bool same = view.block_format == format.block_format && view.dtype == format.dtype;
    if (same) {
      const auto* data = static_cast<const std::byte*>(view.data);
      put(sink, {data, static_cast<std::size_t>(view.num_bytes())});
      return;
    }
    constexpr std::int64_t kPieceBytes = std::int64_t{16} << 20U;
    const std::int64_t bytes = row_bytes(format, view.cols);
    const std::int64_t piece = std::clamp<std::int64_t>(kPieceBytes / bytes, 1, view.rows);
    std::vector<std::byte> out(static_cast<std::size_t>(piece * bytes));
    for (std::int64_t begin = 0; begin < view.rows; begin += piece) {
      const std::int64_t count = std::min(piece, view.rows - begin);
      pool_.parallel_for(count, 1, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t row = first; row < last; ++row) {
          encode_row(name, view, begin + row, format, out.data() + row * bytes);
        }
      });
      put(sink, std::span(out).first(static_cast<std::size_t>(count * bytes)));
    }
  }

  static void encode_row(const std::string& name, const WeightView& view, std::int64_t row,
                         const GgufFormat& format, std::byte* out) {
    std::vector<float> values(static_cast<std::size_t>(view.cols));
    decode_row(view, row, values.data());
    try {
      if (format.block_format != BlockFormat::kNone) {
        encode_ggml_row(format.block_format, values.data(), view.cols, out);
      } else {
        encode_elements(format.dtype, values.data(), view.cols, out);
      }
    } catch (const Error& error) {
      fail(error.code(), "tensor ", name, ", row ", row, ": ", error.what());
    }
  }

  void put(const GgufWriter::Sink& sink, std::span<const std::byte> bytes) {
    sink(bytes);
    done_ += std::ssize(bytes);
    if (options_.progress) options_.progress(done_, total_);
  }

  const MiniMaxM2Config& config_;
  const ModelWeights& weights_;
  const ExportGgufOptions& options_;
  GgufWriter& writer_;
  ThreadPool pool_;
  std::int64_t done_ = 0;
  std::int64_t total_ = 0;
};

// The parts that a model may come without.
template <typename Action>
void if_present(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
  }
}

void write_metadata(const std::filesystem::path& source, const MiniMaxM2Config& config,
                    const GgufFormat& format, GgufWriter& writer) {
  write_gguf_config(config, writer);
  writer.set_uint32("general.file_type", named(format).file_type);
  writer.set_uint32("general.quantization_version", kQuantizationVersion);
  if_present([&] {
    generation::write_gguf_generation(GenerationConfig::from_pretrained(source), writer);
  });
  if_present(
      [&] { write_gguf_tokenizer(read_tokenizer_files(source), config.vocab_size, writer); });
  if_present([&] { chat::write_gguf_templates(chat::TemplateSet::load(source), writer); });
}

}  // namespace

GgufFormat gguf_format_from_name(std::string_view name) {
  const auto* found = std::ranges::find(kFormats, name, &NamedFormat::name);
  if (found != kFormats.end()) return found->format;
  std::string list;
  for (const NamedFormat& entry : kFormats) list.append(" ").append(entry.name);
  fail(ErrorCode::kInvalidArgument, "gguf: expected one of", list, ", got ", name);
}

void export_gguf(const std::filesystem::path& source, const std::filesystem::path& target,
                 const ExportGgufOptions& options) {
  const auto config = MiniMaxM2Config::from_pretrained(source);
  const ModelWeights weights = load_weights(config, Checkpoint::open(source));
  GgufWriter writer;
  write_metadata(source, config, options.format, writer);
  Exporter exporter(config, weights, options, writer);
  exporter.add_all();
  writer.write(target);
}

}  // namespace m2
