#include "ops/embedding.h"

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const EmbeddingArgs& args) {
  check_weight(args.weight, "embedding");
  const auto num_tokens = static_cast<std::int64_t>(args.token_ids.size());
  check_tensor("embedding", "output", args.output, DType::kF32, 2);
  M2_CHECK((args.output.shape == Shape{num_tokens, args.weight.cols}), "embedding: output ",
           args.output.shape, " does not match ", num_tokens, " token_ids and weight [",
           args.weight.rows, ", ", args.weight.cols, "]");
  for (const auto token_id : args.token_ids) {
    M2_CHECK(token_id >= 0 && token_id < args.weight.rows, "embedding: token id ", token_id,
             " is outside the vocabulary of ", args.weight.rows);
  }
}

namespace reference {

void embedding(const EmbeddingArgs& args) {
  check(args);
  float* output = args.output.as<float>();
  for (const auto token_id : args.token_ids) {
    decode_row(args.weight, token_id, output);
    output += args.weight.cols;
  }
}

}  // namespace reference
}  // namespace m2
