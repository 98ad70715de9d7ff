// A small byte-level tokenizer for tests that need no model.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/byte_alphabet.h"

namespace m2::test {

// The tokenizer.json of the 256 bytes (ids 0..255 in the order of the bytes), a token for each
// merge (from 256 on), NFC, the pattern of the model and a few added tokens from 300 on.
inline nlohmann::json small_tokenizer_json(
    const std::vector<std::pair<std::string, std::string>>& merges = {
        {"h", "e"}, {"l", "l"}, {"he", "ll"}, {"hell", "o"}, {"\u0120", "hello"}, {"a", "a"}}) {
  using nlohmann::json;
  json vocab = json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocab[spell_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  json list = json::array();
  for (const auto& [left, right] : merges) {
    vocab[left + right] = 256 + list.size();
    list.push_back(left + " " + right);
  }
  json added = json::array();
  const std::pair<const char*, bool> tokens[] = {
      {"]~b]", true}, {"[e~[", true}, {"<think>", false}, {"</think>", false}, {"[e~[!", true}};
  for (const auto& [content, special] : tokens) {
    added.push_back({{"id", 300 + added.size()},
                     {"content", content},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", special}});
  }
  const std::string regex =
      R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|)"
      R"('re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo})"
      R"(\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|)"
      R"(\s+(?!\S)|\s+)";
  const json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", true},
                           {"use_regex", false}};
  const json split = {{"type", "Split"},
                      {"pattern", {{"Regex", regex}}},
                      {"behavior", "Removed"},
                      {"invert", true}};
  return {{"version", "1.0"},
          {"added_tokens", added},
          {"normalizer", {{"type", "NFC"}}},
          {"pre_tokenizer",
           {{"type", "Sequence"}, {"pretokenizers", json::array({split, byte_level})}}},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"vocab", vocab},
            {"merges", list}}}};
}

}  // namespace m2::test
