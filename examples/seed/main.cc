// The example of the transformers page of MiniMax-M2, in C++.
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "m2/auto.h"
#include "m2/modeling.h"

int main(int argc, char** argv) try {
  const std::string name = argc > 1 ? argv[1] : "MiniMaxAI/MiniMax-M2";
  const std::string revision = argc > 1 ? "main" : "refs/pr/52";

  auto model =
      m2::AutoModelForCausalLM::from_pretrained(name, {.revision = revision, .device_map = "auto"});
  const auto tokenizer = m2::AutoTokenizer::from_pretrained(name, {.revision = revision});

  const std::vector<m2::ChatMessage> messages = {
      {"user", "What is your favourite condiment?"},
      {"assistant",
       "Well, I'm quite partial to a good squeeze of fresh lemon juice. It adds just the right "
       "amount of zesty flavour to whatever I'm cooking up in the kitchen!"},
      {"user", "Do you have mayonnaise recipes?"}};

  const auto model_inputs =
      tokenizer.apply_chat_template(messages, {.add_generation_prompt = true});

  const auto generated = model.generate(model_inputs, {.max_new_tokens = 100});

  const auto response = tokenizer.batch_decode(generated.sequences)[0];

  std::puts(response.c_str());
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
