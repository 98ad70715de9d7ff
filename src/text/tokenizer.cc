#include "m2/tokenizer.h"

#include <algorithm>

#include "base/error.h"
#include "base/mapped_file.h"
#include "gguf/gguf.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_impl.h"

namespace m2 {
namespace {

std::string_view view_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void check_size(const std::filesystem::path& path, const MappedFile& file) {
  M2_REQUIRE(ErrorCode::kCorruptFile, !file.bytes().empty(), path.string(), ": the file is empty");
}

}  // namespace

TokenizerFiles read_tokenizer_files(const std::filesystem::path& path) {
  const auto own = path / "tokenizer.json";
  if (!std::filesystem::exists(own)) {
    if (const auto gguf = find_gguf(path)) return read_gguf_tokenizer(GgufModel(*gguf).metadata());
  }
  const MappedFile file(own);
  check_size(own, file);
  TokenizerConfig config;
  if (const auto settings = path / "tokenizer_config.json"; std::filesystem::exists(settings)) {
    const MappedFile config_file(settings);
    config = parse_tokenizer_config(view_of(config_file));
  }
  TokenizerSpec spec = parse_tokenizer_json(view_of(file));
  return {std::move(spec), std::move(config)};
}

Tokenizer::Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Tokenizer Tokenizer::from_json(std::string_view json) {
  return Tokenizer(std::make_shared<const Impl>(parse_tokenizer_json(json), TokenizerConfig{}));
}

Tokenizer Tokenizer::from_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  check_size(path, file);
  return from_json(view_of(file));
}

Tokenizer Tokenizer::from_pretrained(const std::filesystem::path& path) {
  TokenizerFiles files = read_tokenizer_files(path);
  return Tokenizer(std::make_shared<const Impl>(std::move(files.spec), files.config));
}

std::vector<TokenId> Tokenizer::encode_ids(const TextInput& input,
                                           bool encode_special_tokens) const {
  return impl_->encode_ids(input, encode_special_tokens);
}

Encoding Tokenizer::encode(const TextInput& input, const EncodeOptions& options) const {
  Encoding encoding = impl_->finish(impl_->encode(input, options, 0), nullptr, options);
  if (options.padding) pad({&encoding, 1}, *options.padding);
  return encoding;
}

Encoding Tokenizer::encode_pair(const TextInput& first, const TextInput& second,
                                const EncodeOptions& options) const {
  Encoding other = impl_->encode(second, options, 1);
  Encoding encoding = impl_->finish(impl_->encode(first, options, 0), &other, options);
  if (options.padding) pad({&encoding, 1}, *options.padding);
  return encoding;
}

Encoding Tokenizer::encode_words(std::span<const std::string_view> words,
                                 const EncodeOptions& options) const {
  Encoding encoding = impl_->finish(impl_->encode_words(words, options), nullptr, options);
  if (options.padding) pad({&encoding, 1}, *options.padding);
  return encoding;
}

std::vector<Encoding> Tokenizer::encode_batch(std::span<const TextInput> inputs,
                                              const EncodeOptions& options) const {
  EncodeOptions unpadded = options;
  unpadded.padding.reset();
  std::vector<Encoding> batch;
  batch.reserve(inputs.size());
  for (const TextInput& input : inputs) batch.push_back(encode(input, unpadded));
  if (options.padding) pad(batch, *options.padding);
  return batch;
}

std::vector<Encoding> Tokenizer::encode_batch(
    std::span<const std::pair<TextInput, TextInput>> inputs, const EncodeOptions& options) const {
  EncodeOptions unpadded = options;
  unpadded.padding.reset();
  std::vector<Encoding> batch;
  batch.reserve(inputs.size());
  for (const auto& [first, second] : inputs) batch.push_back(encode_pair(first, second, unpadded));
  if (options.padding) pad(batch, *options.padding);
  return batch;
}

std::string Tokenizer::decode(std::span<const TokenId> ids, const DecodeOptions& options) const {
  return impl_->decode(ids, options);
}

std::vector<std::string> Tokenizer::batch_decode(std::span<const std::vector<TokenId>> batch,
                                                 const DecodeOptions& options) const {
  std::vector<std::string> texts;
  texts.reserve(batch.size());
  for (const std::vector<TokenId>& ids : batch) texts.push_back(decode(ids, options));
  return texts;
}

std::string_view Tokenizer::token_bytes(TokenId id) const { return impl_->vocabulary().bytes(id); }

std::optional<std::string> Tokenizer::id_to_token(TokenId id) const {
  if (!impl_->vocabulary().contains(id)) return std::nullopt;
  return impl_->vocabulary().spelling(id);
}

std::optional<TokenId> Tokenizer::token_to_id(std::string_view token) const {
  const TokenId id = impl_->find(token);
  return id == kNoToken ? std::nullopt : std::optional(id);
}

bool Tokenizer::is_special(TokenId id) const { return impl_->is_special(id); }

size_t Tokenizer::vocab_size(bool with_added) const {
  const Vocabulary& vocabulary = impl_->vocabulary();
  return with_added ? vocabulary.size() + vocabulary.num_hidden() : vocabulary.size();
}

size_t Tokenizer::id_limit() const { return impl_->vocabulary().id_limit(); }

std::span<const AddedToken> Tokenizer::added_tokens() const { return impl_->spec().added_tokens; }

std::optional<TokenId> Tokenizer::bos_id() const { return impl_->bos_id; }
std::optional<TokenId> Tokenizer::eos_id() const { return impl_->eos_id; }
std::optional<TokenId> Tokenizer::unk_id() const { return impl_->unk_id; }
std::optional<TokenId> Tokenizer::pad_id() const { return impl_->pad_id; }

std::optional<int64_t> Tokenizer::model_max_length() const { return impl_->model_max_length; }

bool Tokenizer::clean_up_tokenization_spaces() const { return impl_->clean_up_tokenization_spaces; }
Side Tokenizer::padding_side() const { return impl_->padding_side; }
Side Tokenizer::truncation_side() const { return impl_->truncation_side; }

}  // namespace m2
