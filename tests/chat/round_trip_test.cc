// What the model writes in canonical form, parsed and sent back, renders as the same text.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "chat/json_literal.h"
#include "render_support.h"

namespace m2 {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kUser = R"({"role": "user", "content": "q"})";
constexpr const char* kTools = R"([{"name": "f", "parameters": {"properties": {
    "text": {"type": "string"}, "count": {"type": "integer"}, "ratio": {"type": "number"},
    "flag": {"type": "boolean"}, "object": {"type": "object"}, "list": {"type": "array"},
    "maybe": {"type": ["integer", "null"]}}}}, {"name": "g"}])";

class RandomTurn {
 public:
  explicit RandomTurn(unsigned seed) : random_(seed) {}

  std::string text() {
    std::string turn = visible_text() + "\n</think>\n\n";
    const bool calls = below(3) > 0;
    if (!calls || below(2) == 0) turn += visible_text();
    if (!calls) return turn;
    turn += "\n<minimax:tool_call>\n";
    for (size_t i = 0; i <= below(3); ++i) turn += call();
    return turn + "</minimax:tool_call>";
  }

 private:
  size_t below(size_t bound) { return random_() % bound; }

  template <typename... Choices>
  std::string one_of(Choices... choices) {
    const std::string all[] = {choices...};
    return all[below(sizeof...(choices))];
  }

  std::string any_text() {
    std::string text;
    for (size_t i = 0; i < 1 + below(5); ++i) {
      text += one_of("word", " ", "\n", "\n\n", "é漢😀", "<b>", "</", "a < b", "\"q\"", "\\n", "\t",
                     "{\"k\": 1}", "<parameter>", "&lt;", "'", "null");
    }
    return text;
  }

  // Neither empty nor with newlines at the ends.
  std::string visible_text() { return "x" + any_text() + "y"; }

  std::string call() {
    if (below(4) == 0) return "<invoke name=\"g\">\n</invoke>\n";
    std::string text = "<invoke name=\"f\">\n";
    for (const char* key : {"text", "count", "ratio", "flag", "object", "list", "maybe", "other"}) {
      if (below(3) == 0) {
        text += "<parameter name=\"" + std::string(key) + "\">" + value(key) + "</parameter>\n";
      }
    }
    return text + "</invoke>\n";
  }

  std::string value(const std::string& key) {
    if (key == "text" || key == "other") {
      return one_of(any_text(), any_text(), "", "\n", "</parameter> x", "</invoke>\nx",
                    "</minimax:tool_call>x", "\nx\n<parameter name=\"zzz\">1");
    }
    if (key == "count") return one_of("0", "-7", "123456789012345678901234567890");
    if (key == "ratio") return one_of("0.5", "-0.0", "1e+20", "1e-07", "3", "123456.789");
    if (key == "flag") return one_of("true", "false");
    if (key == "maybe") return one_of("null", "5");
    const std::string text = "\"" + escaped(any_text()) + "\"";
    if (key == "list") return one_of("[]", "[1, [2.5, null], " + text + "]");
    return one_of("{}", "{\"b\": " + text + ", \"a\": {\"é\": [true]}}");
  }

  static std::string escaped(const std::string& text) {
    std::string out;
    chat::append_json_escaped(out, text);
    return out;
  }

  std::mt19937 random_;
};

void check_round_trips(const ChatTemplate& chat_template, int count) {
  RandomTurn turns(17);
  const std::string prompt =
      chat_template.render({.messages_json = "[" + std::string(kUser) + "]", .tools_json = kTools})
          .text;
  for (int i = 0; i < count; ++i) {
    const std::string turn = turns.text();
    const std::string message = parse_chat_output(turn, {.tools_json = kTools});
    ChatRequest request{.messages_json = "[" + std::string(kUser) + "," + message + "]",
                        .tools_json = kTools};
    request.add_generation_prompt = false;
    ASSERT_EQ(chat_template.render(request).text, prompt + turn + "[e~[\n") << message;
  }
}

TEST(RoundTrip, ShippedTemplate) { check_round_trips(test::shipped_template(), 3000); }

TEST(RoundTrip, PublishedTemplate) {
  const auto published = test::published_template("chat_template.jinja");
  if (!published) GTEST_SKIP() << "the published chat template is absent";
  check_round_trips(*published, 300);
}

}  // namespace
}  // namespace m2
