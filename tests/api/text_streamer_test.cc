// TextStreamer against the pieces that transformers gives out.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "m2/generation.h"
#include "support/paths.h"

namespace m2 {
namespace {

using nlohmann::json;

TEST(TextStreamer, GivesThePiecesOfTheReference) {
  const auto tokenizer = Tokenizer::from_pretrained(test::shipped_model());
  const json cases = json::parse(test::read_file(test::golden_path("generate/streams.json")));
  for (const json& test_case : cases) {
    SCOPED_TRACE(test_case.dump());
    std::vector<std::string> pieces;
    int ends = 0;
    const json& options = test_case["options"];
    TextStreamer streamer(tokenizer,
                          [&](std::string_view text, bool stream_end) {
                            pieces.emplace_back(text);
                            ends += stream_end ? 1 : 0;
                          },
                          {.skip_prompt = options.value("skip_prompt", false),
                           .skip_special_tokens = options.value("skip_special_tokens", false)});
    for (int round = 0; round < 2; ++round) {
      pieces.clear();
      streamer.put(test_case["prompt"].get<std::vector<std::int64_t>>());
      for (const std::int64_t id : test_case["ids"].get<std::vector<std::int64_t>>()) {
        streamer.put(std::vector{id});
      }
      streamer.end();
      EXPECT_EQ(json(pieces), test_case["pieces"]) << "round " << round;
    }
    EXPECT_EQ(ends, 2);
  }
}

}  // namespace
}  // namespace m2
