// Tokenizer, Encoding and Detokenizer.
#include "bindings.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include "m2/tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace m2::python {
namespace {

using Spans = std::vector<std::pair<std::size_t, std::size_t>>;

std::vector<TextRange> ranges(const Spans& spans) {
  std::vector<TextRange> result;
  for (const auto& [begin, end] : spans) result.push_back({begin, end});
  return result;
}

EncodeOptions encode_options(bool split_special_tokens, const std::optional<Truncation>& truncation,
                             const std::optional<Padding>& padding) {
  EncodeOptions options;
  options.encode_special_tokens = split_special_tokens;
  options.truncation = truncation;
  options.padding = padding;
  return options;
}

std::vector<Encoding> encode_texts(const Tokenizer& tokenizer,
                                   const std::vector<std::string>& texts,
                                   const EncodeOptions& options) {
  const std::vector<TextInput> inputs(texts.begin(), texts.end());
  return tokenizer.encode_batch(std::span<const TextInput>(inputs), options);
}

std::vector<Encoding> encode_pairs(const Tokenizer& tokenizer,
                                   const std::vector<std::string>& texts,
                                   const std::vector<std::string>& seconds,
                                   const EncodeOptions& options) {
  if (texts.size() != seconds.size()) throw nb::value_error("text_pair: as many texts as in text");
  std::vector<std::pair<TextInput, TextInput>> inputs;
  for (std::size_t i = 0; i < texts.size(); ++i) inputs.emplace_back(texts[i], seconds[i]);
  return tokenizer.encode_batch(std::span<const std::pair<TextInput, TextInput>>(inputs), options);
}

std::vector<Encoding> encode_word_lists(const Tokenizer& tokenizer,
                                        const std::vector<std::vector<std::string>>& rows,
                                        EncodeOptions options) {
  const std::optional<Padding> padding = std::exchange(options.padding, std::nullopt);
  std::vector<Encoding> batch;
  for (const std::vector<std::string>& row : rows) {
    const std::vector<std::string_view> words(row.begin(), row.end());
    batch.push_back(tokenizer.encode_words(words, options));
  }
  if (padding) pad(batch, *padding);
  return batch;
}

void bind_options(nb::module_& module) {
  nb::enum_<Side>(module, "Side").value("right", Side::kRight).value("left", Side::kLeft);
  nb::enum_<TruncationStrategy>(module, "TruncationStrategy")
      .value("longest_first", TruncationStrategy::kLongestFirst)
      .value("only_first", TruncationStrategy::kOnlyFirst)
      .value("only_second", TruncationStrategy::kOnlySecond);
  nb::class_<Truncation>(module, "Truncation")
      .def(
          "__init__",
          [](Truncation* self, std::size_t max_length, std::size_t stride,
             TruncationStrategy strategy, Side side) {
            new (self) Truncation{max_length, stride, strategy, side};
          },
          nb::arg("max_length"), nb::arg("stride"), nb::arg("strategy"), nb::arg("side"));
  nb::class_<Padding>(module, "Padding")
      .def(
          "__init__",
          [](Padding* self, std::optional<std::size_t> length, std::size_t multiple_of, Side side,
             TokenId id, const std::string& token) {
            new (self) Padding{length, multiple_of, side, id, 0, token};
          },
          nb::arg("length").none(), nb::arg("multiple_of"), nb::arg("side"), nb::arg("id"),
          nb::arg("token"));
}

void bind_encoding(nb::module_& module) {
  nb::class_<Encoding>(module, "Encoding", "The tokens of one text; lists of one length N.")
      .def_ro("ids", &Encoding::ids)
      .def_ro("tokens", &Encoding::tokens)
      .def_ro("type_ids", &Encoding::type_ids)
      .def_ro("word_ids", &Encoding::word_ids)
      .def_ro("sequence_ids", &Encoding::sequence_ids)
      .def_ro("special_tokens_mask", &Encoding::special_tokens_mask)
      .def_ro("attention_mask", &Encoding::attention_mask)
      .def_ro("overflowing", &Encoding::overflowing)
      .def_prop_ro("offsets",
                   [](const Encoding& encoding) {
                     Spans spans;
                     for (const TextRange& range : encoding.offsets) {
                       spans.emplace_back(range.begin, range.end);
                     }
                     return spans;
                   })
      .def("__len__", &Encoding::size);
}

void bind_detokenizer(nb::module_& module) {
  nb::class_<Detokenizer>(module, "Detokenizer", "Turns a stream of token ids into text.")
      .def(nb::init<Tokenizer, bool>(), nb::arg("tokenizer"),
           nb::arg("skip_special_tokens") = false)
      .def("push", &Detokenizer::push, nb::arg("id"), "The text that is certain now.")
      .def("flush", &Detokenizer::flush, "What is held back comes out.");
}

void bind_encode(nb::class_<Tokenizer>& tokenizer) {
  const auto release = nb::call_guard<nb::gil_scoped_release>();
  tokenizer
      .def(
          "encode_batch",
          [](const Tokenizer& self, const std::vector<std::string>& texts,
             const std::optional<std::vector<std::string>>& seconds, bool split_special_tokens,
             const std::optional<Truncation>& truncation, const std::optional<Padding>& padding) {
            const auto options = encode_options(split_special_tokens, truncation, padding);
            return seconds ? encode_pairs(self, texts, *seconds, options)
                           : encode_texts(self, texts, options);
          },
          nb::arg("texts"), nb::arg("seconds").none(), nb::arg("split_special_tokens"),
          nb::arg("truncation").none(), nb::arg("padding").none(), release)
      .def(
          "encode_words_batch",
          [](const Tokenizer& self, const std::vector<std::vector<std::string>>& rows,
             bool split_special_tokens, const std::optional<Truncation>& truncation,
             const std::optional<Padding>& padding) {
            return encode_word_lists(self, rows,
                                     encode_options(split_special_tokens, truncation, padding));
          },
          nb::arg("rows"), nb::arg("split_special_tokens"), nb::arg("truncation").none(),
          nb::arg("padding").none(), release)
      .def(
          "encode_prompt",
          [](const Tokenizer& self, const std::string& text, const Spans& untrusted,
             const std::optional<Truncation>& truncation) {
            const std::vector<TextRange> spans = ranges(untrusted);
            EncodeOptions options = encode_options(false, truncation, {});
            options.offset_unit = OffsetUnit::kBytes;
            return self.encode(TextInput(text, spans), options);
          },
          nb::arg("text"), nb::arg("untrusted"), nb::arg("truncation").none(),
          "Encodes a text in whose spans added tokens are not recognised; offsets are in bytes.",
          release);
}

void bind_decode(nb::class_<Tokenizer>& tokenizer) {
  tokenizer
      .def(
          "decode",
          [](const Tokenizer& self, const std::vector<TokenId>& ids, bool skip_special_tokens,
             std::optional<bool> clean_up) {
            return self.decode(ids, {skip_special_tokens, clean_up});
          },
          nb::arg("ids"), nb::arg("skip_special_tokens"),
          nb::arg("clean_up_tokenization_spaces").none(), nb::call_guard<nb::gil_scoped_release>())
      .def(
          "token_bytes",
          [](const Tokenizer& self, TokenId id) {
            const std::string_view bytes = self.token_bytes(id);
            return nb::bytes(bytes.data(), bytes.size());
          },
          nb::arg("id"), "The exact bytes that a token adds to decoded text.")
      .def("id_to_token", &Tokenizer::id_to_token, nb::arg("id"))
      .def("token_to_id", &Tokenizer::token_to_id, nb::arg("token"))
      .def("is_special", &Tokenizer::is_special, nb::arg("id"));
}

}  // namespace

void bind_tokenizer(nb::module_& module) {
  bind_options(module);
  bind_encoding(module);
  nb::class_<AddedToken>(module, "AddedToken", "A token that is matched before anything else.")
      .def_ro("id", &AddedToken::id)
      .def_ro("content", &AddedToken::content)
      .def_ro("special", &AddedToken::special)
      .def_ro("normalized", &AddedToken::normalized)
      .def_ro("single_word", &AddedToken::single_word)
      .def_ro("lstrip", &AddedToken::lstrip)
      .def_ro("rstrip", &AddedToken::rstrip)
      .def("__str__", [](const AddedToken& token) { return token.content; });

  nb::class_<Tokenizer> tokenizer(module, "Tokenizer");
  tokenizer
      .def_static(
          "from_pretrained",
          [](const std::string& directory) { return Tokenizer::from_pretrained(directory); },
          nb::arg("directory"), nb::call_guard<nb::gil_scoped_release>())
      .def("vocab_size", &Tokenizer::vocab_size, nb::arg("with_added") = true)
      .def("id_limit", &Tokenizer::id_limit)
      .def("added_tokens",
           [](const Tokenizer& self) {
             const auto tokens = self.added_tokens();
             return std::vector<AddedToken>(tokens.begin(), tokens.end());
           })
      .def("bos_id", &Tokenizer::bos_id)
      .def("eos_id", &Tokenizer::eos_id)
      .def("unk_id", &Tokenizer::unk_id)
      .def("pad_id", &Tokenizer::pad_id)
      .def("model_max_length", &Tokenizer::model_max_length)
      .def("clean_up_tokenization_spaces", &Tokenizer::clean_up_tokenization_spaces);
  bind_encode(tokenizer);
  bind_decode(tokenizer);
  bind_detokenizer(module);
}

}  // namespace m2::python
