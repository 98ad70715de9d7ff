// Loads a model directory and saves it again, for tools/compare_saved.py.
//
// Usage: m2_resave IN OUT [--max-shard-size SIZE] [--internal] [--dtype NAME] [--strict]
//                  [--dequantize] [--resize N] [--random SEED]
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>

#include "m2/error.h"
#include "m2/modeling.h"

namespace {

struct Arguments {
  std::string in;
  std::string out;
  m2::FromPretrainedOptions load;
  m2::SavePretrainedOptions save;
  std::int64_t resize = 0;
  std::optional<std::uint64_t> random;
};

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  arguments.in = argv[1];
  arguments.out = argv[2];
  for (int i = 3; i < argc; ++i) {
    const std::string flag = argv[i];
    const auto value = [&] { return std::string(i + 1 < argc ? argv[++i] : ""); };
    if (flag == "--max-shard-size") arguments.save.max_shard_size = value();
    if (flag == "--internal") arguments.save.save_original_format = false;
    if (flag == "--dtype") arguments.load.dtype = value();
    if (flag == "--strict") arguments.load.strict = true;
    if (flag == "--dequantize") arguments.load.dequantize = true;
    if (flag == "--resize") arguments.resize = std::stoll(value());
    if (flag == "--random") arguments.random = std::stoull(value());
  }
  return arguments;
}

m2::MiniMaxM2ForCausalLM open(const Arguments& arguments) {
  if (!arguments.random) {
    return m2::MiniMaxM2ForCausalLM::from_pretrained(arguments.in, arguments.load);
  }
  const auto config = m2::MiniMaxM2Config::from_pretrained(arguments.in);
  const std::string dtype = arguments.load.dtype == "auto" ? "float32" : arguments.load.dtype;
  return m2::MiniMaxM2ForCausalLM(config, {.dtype = dtype, .seed = *arguments.random});
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  try {
    const Arguments arguments = parse(argc, argv);
    m2::MiniMaxM2ForCausalLM model = open(arguments);
    if (arguments.resize > 0) model.resize_token_embeddings(arguments.resize);
    model.save_pretrained(arguments.out, arguments.save);
  } catch (const m2::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
