#include "api/token_rows.h"

#include <algorithm>
#include <limits>

#include "base/error.h"

namespace m2 {
namespace {

using Rows = std::vector<std::vector<TokenId>>;

// Longer rows than any model takes are a mistake, not a wish for memory.
constexpr std::int64_t kMaxRowTokens = 1 << 24;

void check_options(const TokenizerCallOptions& options) {
  const auto is_length = [](std::int64_t length) { return length >= 0 && length <= kMaxRowTokens; };
  M2_REQUIRE(ErrorCode::kInvalidArgument, is_length(options.max_length.value_or(0)),
             "tokenizer: max_length: expected 0 to ", kMaxRowTokens, ", got ",
             options.max_length.value_or(0));
  M2_REQUIRE(ErrorCode::kInvalidArgument, is_length(options.pad_to_multiple_of),
             "tokenizer: pad_to_multiple_of: expected 0 to ", kMaxRowTokens, ", got ",
             options.pad_to_multiple_of);
}

std::int64_t longest(const Rows& rows) {
  std::size_t length = 0;
  for (const auto& row : rows) length = std::max(length, row.size());
  return static_cast<std::int64_t>(length);
}

// Nothing when rows stay as long as they are.
std::optional<std::int64_t> truncation_length(const Tokenizer& tokenizer,
                                              const TokenizerCallOptions& options) {
  const bool pads = options.padding || options.pad_to_max_length;
  if (!options.truncation && (pads || !options.max_length)) return std::nullopt;
  return options.max_length ? options.max_length : tokenizer.model_max_length();
}

void truncate_rows(Rows& rows, std::int64_t length, Side side) {
  for (auto& row : rows) {
    const std::int64_t excess = static_cast<std::int64_t>(row.size()) - length;
    if (excess <= 0) continue;
    if (side == Side::kLeft) {
      row.erase(row.begin(), row.begin() + excess);
    } else {
      row.erase(row.end() - excess, row.end());
    }
  }
}

// The length that padding brings rows to; longer ones stay as they are.
std::int64_t padded_length(const Rows& rows, const Tokenizer& tokenizer,
                           const TokenizerCallOptions& options) {
  std::int64_t length = longest(rows);
  if (options.pad_to_max_length) {
    const auto wanted = options.max_length ? options.max_length : tokenizer.model_max_length();
    M2_REQUIRE(ErrorCode::kInvalidArgument, wanted.has_value() && *wanted <= kMaxRowTokens,
               "tokenizer: pad_to_max_length needs max_length, for the model has none");
    length = *wanted;
  }
  const std::int64_t multiple = std::max<std::int64_t>(options.pad_to_multiple_of, 1);
  return (length + multiple - 1) / multiple * multiple;
}

TokenId pad_token(const Tokenizer& tokenizer) {
  const auto id = tokenizer.pad_id() ? tokenizer.pad_id() : tokenizer.eos_id();
  M2_REQUIRE(ErrorCode::kInvalidArgument, id.has_value(),
             "tokenizer: padding needs a pad_token or eos_token in tokenizer_config.json");
  return *id;
}

template <typename T>
Rows copy_rows(const TensorView& ids, std::int64_t num_rows, std::int64_t num_columns) {
  const T* values = ids.as<T>();
  Rows rows(static_cast<std::size_t>(num_rows));
  for (auto& row : rows) {
    for (std::int64_t i = 0; i < num_columns; ++i) {
      const auto id = static_cast<std::int64_t>(*values++);
      M2_REQUIRE(
          ErrorCode::kInvalidArgument,
          id >= std::numeric_limits<TokenId>::min() && id <= std::numeric_limits<TokenId>::max(),
          "decode: ", id, " is no token id");
      row.push_back(static_cast<TokenId>(id));
    }
  }
  return rows;
}

}  // namespace

BatchEncoding make_batch(Rows rows, const Tokenizer& tokenizer,
                         const TokenizerCallOptions& options) {
  check_options(options);
  const bool pads = options.padding || options.pad_to_max_length;
  if (const auto length = truncation_length(tokenizer, options)) {
    M2_REQUIRE(
        ErrorCode::kInvalidArgument,
        !pads || options.pad_to_multiple_of == 0 || *length % options.pad_to_multiple_of == 0,
        "tokenizer: truncation to ", *length, " tokens, which is no multiple of ",
        options.pad_to_multiple_of);
    truncate_rows(rows, *length, tokenizer.truncation_side());
  }
  const std::int64_t padded = pads ? padded_length(rows, tokenizer, options) : 0;
  const std::int64_t length = std::max(longest(rows), padded);
  const auto is_short = [length](const auto& row) {
    return static_cast<std::int64_t>(row.size()) < length;
  };
  const bool ragged = std::ranges::any_of(rows, is_short);
  M2_REQUIRE(ErrorCode::kInvalidArgument, length == padded || !ragged,
             "tokenizer: rows of different lengths, up to ", length,
             ", make no tensor; ask for padding, or truncation");
  const TokenId filler = ragged ? pad_token(tokenizer) : TokenId{0};
  const Side side = options.padding_side.value_or(tokenizer.padding_side());

  const Shape shape{static_cast<std::int64_t>(rows.size()), length};
  BatchEncoding batch{Tensor(DType::kI64, shape), Tensor(DType::kI64, shape)};
  auto* ids = batch.input_ids.as<std::int64_t>();
  auto* mask = batch.attention_mask.as<std::int64_t>();
  std::fill_n(ids, shape.num_elements(), filler);
  for (const auto& row : rows) {
    const auto begin = side == Side::kLeft ? length - static_cast<std::int64_t>(row.size()) : 0;
    std::ranges::copy(row, ids + begin);
    std::fill_n(mask + begin, row.size(), 1);
    ids += length;
    mask += length;
  }
  return batch;
}

Rows read_rows(const TensorView& ids) {
  const int rank = ids.shape.rank();
  M2_REQUIRE(ErrorCode::kInvalidArgument, rank == 1 || rank == 2,
             "decode: expected ids [N] or [R, N], got ", ids.shape);
  const std::int64_t num_rows = rank == 2 ? ids.shape[0] : 1;
  const std::int64_t num_columns = ids.shape[rank - 1];
  if (ids.dtype == DType::kI64) return copy_rows<std::int64_t>(ids, num_rows, num_columns);
  M2_REQUIRE(ErrorCode::kInvalidArgument, ids.dtype == DType::kI32,
             "decode: expected i64 or i32 ids, got ", dtype_name(ids.dtype));
  return copy_rows<std::int32_t>(ids, num_rows, num_columns);
}

}  // namespace m2
