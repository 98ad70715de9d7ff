// What chat and generate have in common: a session on a loaded model.
#pragma once

#include <memory>
#include <string>

#include "generation_options.h"
#include "model_options.h"
#include "reply_printer.h"
#include "service/chat_session.h"

namespace CLI {
class App;
}

namespace m2::app {

struct SessionOptions {
  ModelOptions model;
  GenerationOptions generation;
  std::string tools_file;
  std::string system;
  std::string thinking = "auto";
  std::int64_t context = 0;
  std::string kv_cache_dtype = "auto";
  bool stats = false;
};

void add_session_options(CLI::App& command, SessionOptions& options);

/// A loaded model with a session on it.
struct Session {
  std::unique_ptr<LoadedModel> loaded;
  std::unique_ptr<TextGenerator> generator;
  std::unique_ptr<ChatSession> chat;
};
Session open_session(const SessionOptions& options);

TextGeneratorOptions generator_options(const SessionOptions& options);

ThinkingDisplay thinking_display(const SessionOptions& options);

/// "123 tokens in 0.5 s (246.0/s) after a prompt of 45 in 0.1 s (450.0/s)".
std::string describe(const GenerationTimings& timings);

}  // namespace m2::app
