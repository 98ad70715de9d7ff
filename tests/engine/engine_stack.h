// An engine over a tiny model, its requests and what comes of them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine.h"
#include "model/causal_lm.h"
#include "model/place_weights.h"
#include "ops/reference_backend.h"
#include "support/tiny_model.h"

namespace m2::test {

/// A tiny model on one backend.
struct EngineStack {
  explicit EngineStack(
      const std::shared_ptr<Backend>& backend = std::make_shared<ReferenceBackend>(),
      const MiniMaxM2Config& chosen = tiny_config())
      : config(chosen),
        placement(Placement::on(backend, config.num_hidden_layers)),
        causal_lm(config,
                  std::make_shared<const ModelWeights>(
                      place_weights(*TinyWeights(config, 3).share(), placement)),
                  placement) {}

  MiniMaxM2Config config;
  Placement placement;
  CausalLm causal_lm;
  MiniMaxM2& model = causal_lm.decoder();
};

inline std::vector<std::int32_t> prompt_of(std::size_t length, std::int32_t salt) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < length; ++i) {
    ids.push_back(3 +
                  static_cast<std::int32_t>((i * 7 + static_cast<std::size_t>(salt) * 13) % 60));
  }
  return ids;
}

inline EngineRequest request_of(std::vector<std::int32_t> prompt, std::int64_t new_tokens) {
  EngineRequest request = {.prompt_ids = std::move(prompt)};
  request.config.max_length = static_cast<std::int64_t>(request.prompt_ids.size()) + new_tokens;
  return request;
}

struct Outcome {
  std::vector<std::int32_t> tokens;
  std::optional<FinishReason> finish_reason;
  std::string error;
  std::int64_t num_prefix_tokens = 0;
};

/// Steps until the engine is idle.
inline std::map<RequestId, Outcome> run(Engine& engine) {
  std::map<RequestId, Outcome> outcomes;
  for (int step = 0; !engine.idle(); ++step) {
    EXPECT_LT(step, 10000);
    for (const TokenEvent& event : engine.step()) {
      Outcome& outcome = outcomes[event.request];
      EXPECT_FALSE(outcome.finish_reason.has_value()) << "event after the end";
      if (event.token) outcome.tokens.push_back(*event.token);
      if (event.token) outcome.num_prefix_tokens = event.num_prefix_tokens;
      outcome.finish_reason = event.finish_reason;
      outcome.error = event.error;
    }
  }
  return outcomes;
}

}  // namespace m2::test
