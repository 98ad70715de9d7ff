#include "ops/embedding.h"

#include <cstdint>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const EmbeddingArgs& args) {
  check_weight(args.weight, "embedding");
  check_tensor("embedding", "token_ids", args.token_ids, DType::kI32, 1);
  const std::int64_t num_tokens = args.token_ids.shape[0];
  check_tensor("embedding", "output", args.output, DType::kF32, 2);
  M2_CHECK((args.output.shape == Shape{num_tokens, args.weight.cols}), "embedding: output ",
           args.output.shape, " does not match ", num_tokens, " token_ids and weight [",
           args.weight.rows, ", ", args.weight.cols, "]");
}

namespace reference {

void embedding(const EmbeddingArgs& args) {
  check(args);
  const auto* token_ids = args.token_ids.as<std::int32_t>();
  float* output = args.output.as<float>();
  for (std::int64_t token = 0; token < args.token_ids.shape[0]; ++token) {
    M2_DCHECK(token_ids[token] >= 0 && token_ids[token] < args.weight.rows, "embedding: token id ",
              token_ids[token], " is outside the vocabulary of ", args.weight.rows);
    decode_row(args.weight, token_ids[token], output + token * args.weight.cols);
  }
}

}  // namespace reference
}  // namespace m2
