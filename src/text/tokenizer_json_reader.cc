#include "text/tokenizer_json_reader.h"

#include <utility>

#include "base/error.h"

namespace m2 {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxJsonBytes = size_t{1} << 30;

// Receives the events of nlohmann's parser. A document tree of all of a tokenizer.json would take
// several times the memory and time of reading it, for the sake of two flat lists.
class RawTokenizerHandler {
 public:
  RawTokenizer take() && { return std::move(raw_); }

  bool null() { return value(json(nullptr)); }
  bool boolean(bool v) { return value(json(v)); }
  bool number_integer(json::number_integer_t v) {
    return in_vocab() ? token_id(v) : value(json(v));
  }
  bool number_unsigned(json::number_unsigned_t v) {
    // Out-of-range ids become -1, which the vocabulary refuses.
    if (in_vocab()) return token_id(v <= INT64_MAX ? static_cast<int64_t>(v) : -1);
    return value(json(v));
  }
  bool number_float(json::number_float_t v, const std::string& /*digits*/) {
    return value(json(v));
  }
  bool string(std::string& v) {
    if (list_ == List::kMerges) return merge_string(v);
    return value(json(std::move(v)));
  }
  bool binary(json::binary_t& /*v*/) { return false; }

  bool start_object(size_t /*size*/) {
    if (at_list("vocab")) {
      raw_.has_vocab = true;
      list_ = List::kVocab;
      list_depth_ = 1;
      return true;
    }
    return open(json::object());
  }
  bool start_array(size_t /*size*/) {
    if (at_list("merges")) {
      raw_.has_merges = true;
      list_ = List::kMerges;
      list_depth_ = 1;
      return true;
    }
    if (list_ == List::kMerges && list_depth_ == 1) {
      ++list_depth_;
      parts_.clear();
      return true;
    }
    return open(json::array());
  }
  bool key(std::string& name) {
    key_ = std::move(name);
    return true;
  }
  bool end_object() { return list_ != List::kNone ? close_list() : close(); }
  bool end_array() {
    if (list_ == List::kMerges && list_depth_ == 2) return merge_pair();
    return list_ != List::kNone ? close_list() : close();
  }

  bool parse_error(size_t position, const std::string& /*last_token*/,
                   const json::exception& error) {
    fail(ErrorCode::kCorruptFile, "tokenizer.json: no valid JSON at byte ", position, ": ",
         error.what());
  }

 private:
  enum class List { kNone, kVocab, kMerges };

  [[nodiscard]] bool in_vocab() const { return list_ == List::kVocab; }

  // Whether the value that begins now is model.<name>.
  [[nodiscard]] bool at_list(std::string_view name) const {
    return list_ == List::kNone && open_.size() == 2 && is_model_ && key_ == name;
  }

  bool token_id(int64_t id) {
    raw_.vocab.push_back({store(key_), id});
    return true;
  }

  RawTokenizer::Text store(std::string_view text) {
    const auto begin = static_cast<uint32_t>(raw_.blob.size());
    raw_.blob.append(text);
    return {begin, static_cast<uint32_t>(text.size())};
  }

  bool merge_string(const std::string& text) {
    if (list_depth_ == 2) {
      parts_.push_back(store(text));
      return true;
    }
    const size_t space = text.find(' ');
    const bool two_parts = space != std::string::npos && text.find(' ', space + 1) == text.npos;
    M2_REQUIRE(ErrorCode::kCorruptFile, two_parts, "tokenizer.json: model.merges[",
               raw_.merges.size(), "]: expected \"left right\", got \"", text, "\"");
    const std::string_view view = text;
    raw_.merges.push_back({store(view.substr(0, space)), store(view.substr(space + 1))});
    return true;
  }

  bool merge_pair() {
    --list_depth_;
    M2_REQUIRE(ErrorCode::kCorruptFile, parts_.size() == 2, "tokenizer.json: model.merges[",
               raw_.merges.size(), "]: expected 2 strings, got ", parts_.size());
    raw_.merges.push_back({parts_[0], parts_[1]});
    return true;
  }

  bool close_list() {
    list_ = List::kNone;
    return true;
  }

  // Puts a value into the innermost open container; returns where it went.
  json* place(json v) {
    M2_REQUIRE(ErrorCode::kCorruptFile, list_ == List::kNone, "tokenizer.json: model.",
               list_ == List::kVocab ? "vocab" : "merges", " holds a ", v.type_name());
    if (open_.empty()) {
      raw_.rest = std::move(v);
      return &raw_.rest;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    return &(parent[key_] = std::move(v));
  }

  bool value(json v) {
    place(std::move(v));
    return true;
  }

  bool open(json container) {
    M2_REQUIRE(ErrorCode::kCorruptFile, open_.size() < kMaxDepth,
               "tokenizer.json: nested deeper than ", kMaxDepth);
    if (open_.size() == 1) is_model_ = container.is_object() && key_ == "model";
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  RawTokenizer raw_;
  std::vector<json*> open_;  // the containers that the parser is in, outermost first
  std::string key_;
  bool is_model_ = false;  // open_[1] is the model
  List list_ = List::kNone;
  int list_depth_ = 0;
  std::vector<RawTokenizer::Text> parts_;  // of a merge in array form
};

}  // namespace

RawTokenizer read_raw_tokenizer(std::string_view text) {
  M2_REQUIRE(ErrorCode::kCorruptFile, text.size() <= kMaxJsonBytes, "tokenizer.json: ", text.size(),
             " bytes, more than ", kMaxJsonBytes);
  RawTokenizerHandler handler;
  const bool done = json::sax_parse(text.begin(), text.end(), &handler);
  M2_REQUIRE(ErrorCode::kCorruptFile, done, "tokenizer.json: parsing stopped");
  return std::move(handler).take();
}

}  // namespace m2
