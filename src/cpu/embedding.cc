#include "ops/embedding.h"

#include "cpu/context.h"

namespace m2::cpu {

void embedding(const EmbeddingArgs& args, Context& context) {
  check(args);
  float* output = args.output.as<float>();
  const auto num_tokens = static_cast<std::int64_t>(args.token_ids.size());
  context.lanes.run(num_tokens, [&](std::int64_t token, Buffer&) {
    decode_row(args.weight, args.token_ids[static_cast<std::size_t>(token)],
               output + token * args.weight.cols);
  });
}

}  // namespace m2::cpu
