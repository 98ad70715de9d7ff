// tojson and pprint.
#include <algorithm>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/filter_tools.h"
#include "jinja/repr.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

Value filter_tojson(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("tojson", arguments,
                             {"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  style.ensure_ascii = bound.flag(0);
  style.sort_keys = bound.flag(3);
  if (bound.has(1) && !bound[1].is_none()) {
    if (bound[1].is_string()) {
      style.indent = bound.text(1);
    } else {
      const Int width = bound.integer(1);
      if (width > (1 << 20)) raise_exhausted("too big an indent");
      style.indent = Str(std::string(clamp_count(width), ' '));
    }
    style.item_separator = Str(",");
  }
  if (bound.has(2) && !bound[2].is_none()) {
    const std::vector<Value> separators = runtime.to_vector(bound[2]);
    if (separators.size() != 2 || !separators[0].is_string() || !separators[1].is_string()) {
      raise("separators must be two strings");
    }
    style.item_separator = separators[0].as_str();
    style.key_separator = separators[1].as_str();
  }
  StrBuilder out = runtime.builder();
  append_json(out, input, style, runtime);
  return runtime.text(std::move(out));
}

// Python's pprint.pformat with its default settings.
class PrettyPrinter {
 public:
  explicit PrettyPrinter(Runtime& runtime) : runtime_(runtime), out_(runtime.builder()) {}

  Value run(const Value& value) {
    write(value, 0, 0, 1);
    return runtime_.text(std::move(out_));
  }

 private:
  static constexpr Int kWidth = 80;

  void write(const Value& value, Int indent, Int allowance, int level) {
    runtime_.check_stack();
    const Str flat = runtime_.repr(sorted(value));
    if (static_cast<Int>(flat.length()) <= kWidth - indent - allowance) return out_.append(flat);
    if (value.is_dict()) return write_dict(value.as_dict(), indent, allowance, level);
    if (value.is(Kind::kList))
      return write_items(value.items(), "[", "]", indent, allowance, level);
    if (value.is(Kind::kTuple)) {
      const bool single = value.items().size() == 1;
      return write_items(value.items(), "(", single ? ",)" : ")", indent, allowance, level);
    }
    const bool plain_text = value.is_string() && !value.as_str().is_markup();
    if (plain_text) return write_string(value.as_str(), indent, allowance, level);
    out_.append(flat);
  }

  // Dicts inside are shown sorted as well.
  Value sorted(const Value& value) {
    runtime_.charge();
    runtime_.check_stack();
    if (value.is_dict()) {
      Value result = Value::dict();
      for (const auto& [key, item] : sorted_entries(value.as_dict())) {
        result.as_dict().set(key, sorted(item));
      }
      return result;
    }
    if (!value.is(Kind::kList) && !value.is(Kind::kTuple)) return value;
    std::vector<Value> items;
    for (const Value& item : value.items()) items.push_back(sorted(item));
    return value.is(Kind::kList) ? Value::list(std::move(items)) : Value::tuple(std::move(items));
  }

  // Keys that have no order among each other are ordered by their types.
  std::vector<Dict::Entry> sorted_entries(const Dict& dict) {
    std::vector<Dict::Entry> entries = dict.entries();
    std::stable_sort(entries.begin(), entries.end(), [this](const auto& a, const auto& b) {
      const bool numbers = a.first.is_number() && b.first.is_number();
      if (!numbers && a.first.kind() != b.first.kind()) {
        return type_name(a.first) < type_name(b.first);
      }
      return !a.first.is_none() && runtime_.less(a.first, b.first);
    });
    return entries;
  }

  void break_line(Int indent) {
    out_.append(",\n");
    for (Int i = 0; i < indent; ++i) out_.append(' ');
  }

  void write_items(const std::vector<Value>& items, std::string_view open, std::string_view close,
                   Int indent, Int allowance, int level) {
    out_.append(open);
    const Int end_allowance = allowance + static_cast<Int>(close.size());
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) break_line(indent + 1);
      const bool last = i + 1 == items.size();
      write(items[i], indent + 1, last ? end_allowance : 1, level + 1);
    }
    out_.append(close);
  }

  void write_dict(const Dict& dict, Int indent, Int allowance, int level) {
    out_.append('{');
    const auto entries = sorted_entries(dict);
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) break_line(indent + 1);
      const Str key = runtime_.repr(sorted(entries[i].first));
      out_.append(key);
      out_.append(": ");
      const bool last = i + 1 == entries.size();
      write(entries[i].second, indent + static_cast<Int>(key.length()) + 3,
            last ? allowance + 1 : 1, level + 1);
    }
    out_.append('}');
  }

  Str text_repr(const Str& text) {
    StrBuilder out = runtime_.builder();
    append_string_repr(out, text);
    return out.take();
  }

  // Long strings become several literals, broken behind white space.
  void write_string(const Str& text, Int indent, Int allowance, int level) {
    std::vector<Str> chunks;
    if (level == 1) {
      ++indent;
      ++allowance;
    }
    const std::vector<Str> lines = split_lines(text, /*keep_ends=*/true);
    Int width = kWidth - indent;
    for (size_t i = 0; i < lines.size(); ++i) {
      const Str whole = text_repr(lines[i]);
      const Int room = i + 1 == lines.size() ? width - allowance : width;
      if (static_cast<Int>(whole.length()) <= room) {
        chunks.push_back(whole);
      } else {
        append_word_chunks(chunks, lines[i], width, i + 1 == lines.size() ? allowance : 0);
      }
    }
    if (chunks.size() == 1) return out_.append(chunks[0]);
    if (level == 1) out_.append('(');
    for (size_t i = 0; i < chunks.size(); ++i) {
      if (i > 0) {
        out_.append('\n');
        for (Int j = 0; j < indent; ++j) out_.append(' ');
      }
      out_.append(chunks[i]);
    }
    if (level == 1) out_.append(')');
  }

  // Runs of text with the white space behind them.
  static std::vector<Str> words_of(const Str& text) {
    const std::string_view bytes = text.view();
    std::vector<Str> words;
    size_t begin = 0;
    bool in_space = false;
    for (size_t pos = 0; pos < bytes.size();) {
      const utf8::Decoded unit = utf8::decode(bytes, pos);
      const bool space = unicode::is_space(unit.code_point);
      if (in_space && !space) {
        words.push_back(text.substr(begin, pos));
        begin = pos;
      }
      in_space = space;
      pos += static_cast<size_t>(unit.length);
    }
    words.push_back(text.substr(begin));
    return words;
  }

  void append_word_chunks(std::vector<Str>& chunks, const Str& line, Int width, Int allowance) {
    const std::vector<Str> words = words_of(line);
    Str current;
    for (size_t i = 0; i < words.size(); ++i) {
      StrBuilder joined = runtime_.builder();
      joined.append(current);
      joined.append(words[i]);
      Str candidate = joined.take();
      const Int room = i + 1 == words.size() ? width - allowance : width;
      if (static_cast<Int>(text_repr(candidate).length()) > room) {
        if (!current.empty()) chunks.push_back(text_repr(current));
        current = words[i];
      } else {
        current = std::move(candidate);
      }
    }
    if (!current.empty()) chunks.push_back(text_repr(current));
  }

  Runtime& runtime_;
  StrBuilder out_;
};

Value filter_pprint(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("pprint", arguments, {}, 0);
  return PrettyPrinter(runtime).run(input);
}

constexpr NamedFunction<FilterFunction> kOutputFilters[] = {
    {"pprint", filter_pprint},
    {"tojson", filter_tojson},
};

}  // namespace

FilterTable output_filters() { return kOutputFilters; }

}  // namespace m2::jinja
