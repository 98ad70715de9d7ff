// AutoTokenizer: the tokenizer's files by directory or hub id.
#include "m2/auto.h"

#include <utility>

#include "api/pretrained_tokenizer.h"
#include "base/error.h"
#include "hub/model_directory.h"

namespace m2 {
namespace {

HubOptions hub_options(const AutoTokenizerOptions& options) {
  HubOptions result{.revision = options.revision,
                    .cache_dir = options.cache_dir,
                    .token = options.token,
                    .local_files_only = options.local_files_only,
                    .force_download = options.force_download};
  const std::string folder = options.subfolder.empty() ? "" : options.subfolder + "/";
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "chat_template.jinja",
                           "additional_chat_templates/*.jinja"}) {
    result.allow_patterns.push_back(folder + name);
  }
  return result;
}

// A model without a template can still tokenize.
std::optional<ChatTemplate> load_template(const std::filesystem::path& path) {
  try {
    return ChatTemplate::from_directory(path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound) throw;
    return std::nullopt;
  }
}

}  // namespace

PreTrainedTokenizer AutoTokenizer::from_pretrained(const std::string& name,
                                                   const AutoTokenizerOptions& options) {
  const auto path = hub::model_directory(name, hub_options(options), options.subfolder);
  return PreTrainedTokenizer(std::make_shared<const PreTrainedTokenizer::Impl>(
      name, Tokenizer::from_pretrained(path), load_template(path)));
}

}  // namespace m2
