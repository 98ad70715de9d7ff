#include "ops/embedding.h"

#include "base/error.h"
#include "cpu/context.h"

namespace m2::cpu {

void embedding(const EmbeddingArgs& args, Context& context) {
  check(args);
  const auto* token_ids = args.token_ids.as<std::int32_t>();
  float* output = args.output.as<float>();
  context.lanes.run(args.token_ids.shape[0], [&](std::int64_t token, Buffer&) {
    M2_DCHECK(token_ids[token] >= 0 && token_ids[token] < args.weight.rows, "embedding: token id ",
              token_ids[token], " is outside the vocabulary of ", args.weight.rows);
    decode_row(args.weight, token_ids[token], output + token * args.weight.cols);
  });
}

}  // namespace m2::cpu
