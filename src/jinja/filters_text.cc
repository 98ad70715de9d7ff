// Filters on text.
#include <algorithm>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/filter_tools.h"
#include "jinja/format.h"
#include "jinja/operators.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

// The text of the input; pays for reading it.
Str subject(Runtime& runtime, const Value& input) {
  Str text = soft_str(runtime, input);
  runtime.charge_scan(text.size());
  return text;
}

template <std::string (*convert)(std::string_view)>
Value convert_case(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("case conversion", arguments, {}, 0);
  const Str text = subject(runtime, input);
  return runtime.text(text.derive(convert(text.view())));
}

bool separates_words(char32_t c) {
  return unicode::is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos;
}

// Unlike str.title this keeps apostrophes and digits inside words.
std::string title_words(std::string_view text) {
  std::string out;
  const std::u32string points = utf8::to_utf32(text);
  for (size_t begin = 0; begin < points.size();) {
    const bool separator = separates_words(points[begin]);
    size_t end = begin + 1;
    while (end < points.size() && separates_words(points[end]) == separator) ++end;
    const std::string word =
        utf8::from_utf32(std::u32string_view(points).substr(begin, end - begin));
    const auto first = static_cast<size_t>(utf8::decode(word, 0).length);
    out += unicode::upper(word.substr(0, first)) + unicode::lower(word.substr(first));
    begin = end;
  }
  return out;
}

Value filter_string(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("string", arguments, {}, 0);
  return Value::string(soft_str(runtime, input));
}

Value filter_trim(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("trim", arguments, {"chars"}, 0);
  const Str text = subject(runtime, input);
  const bool white_space = !bound.has(0) || bound[0].is_none();
  return runtime.text(strip(text, white_space ? nullptr : &bound.text(0), Side::kBoth));
}

Value filter_replace(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2);
  const Str text = subject(runtime, input).as_markup(false);
  const Int count = bound.has(2) && !bound[2].is_none() ? bound.integer(2) : -1;
  return runtime.text(replace(runtime, text, runtime.str(bound[0]), runtime.str(bound[1]),
                              count < 0 ? kUnlimited : clamp_count(count)));
}

// The input of filters that Python gives no conversion.
const Str& required_text(const Value& input, std::string_view filter) {
  if (input.is_undefined()) raise(input.undefined_message());
  if (!input.is_string()) raise(filter, " takes a string, not ", type_name(input));
  return input.as_str();
}

Value filter_indent(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("indent", arguments, {"width", "first", "blank"}, 0);
  const Str& text = required_text(input, "indent");
  runtime.charge_scan(text.size());
  const bool given = bound.has(0) && bound[0].is_string();
  const Str indention =
      given ? bound.text(0) : pad(runtime, Str(), bound.integer_or(0, 4), Str(" "), Side::kLeft);
  const bool blank = bound.flag(2);

  StrBuilder closed = runtime.builder();  // a final newline would be lost otherwise
  closed.append(text);
  closed.append('\n');
  StrBuilder out = runtime.builder();
  bool first = true;
  for (const Str& line : split_lines(closed.take(), /*keep_ends=*/false)) {
    if (!first) out.append('\n');
    if (first ? bound.flag(1) : (blank || !line.empty())) out.append(indention);
    first = false;
    out.append(line);
  }
  return runtime.text(out.take().as_markup(text.is_markup()));
}

Value filter_truncate(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("truncate", arguments, {"length", "killwords", "end", "leeway"}, 0);
  const Int length = bound.integer_or(0, 255);
  const Str end = bound.has(2) ? bound.text(2) : Str("...");
  const Int leeway = bound.has(3) && !bound[3].is_none() ? bound.integer(3) : 5;
  const Int end_length = static_cast<Int>(end.length());
  if (length < end_length) raise("truncate: the length is smaller than the end");
  if (leeway < 0) raise("truncate: the leeway is negative");
  const auto input_length = runtime.length(input);
  if (input_length && *input_length - leeway <= length) return input;  // of whatever type
  const Str& text = required_text(input, "truncate");
  Str kept = text.substr(0, text.byte_offset(static_cast<size_t>(length - end_length)));
  if (!bound.flag(1)) kept = rsplit(kept, " ", 1)[0];
  StrBuilder out = runtime.builder();
  out.append(kept);
  out.append(text.is_markup() ? escape_html(runtime, end) : end);
  return runtime.text(out.take().as_markup(text.is_markup()));
}

Value filter_center(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("center", arguments, {"width"}, 0);
  return runtime.text(
      pad(runtime, subject(runtime, input), bound.integer_or(0, 80), Str(" "), Side::kBoth));
}

Value filter_wordcount(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("wordcount", arguments, {}, 0);
  Int count = 0;
  bool in_word = false;
  for (const char32_t c : utf8::to_utf32(subject(runtime, input).view())) {
    const bool word = c == '_' || unicode::is_alnum(c);
    if (word && !in_word) ++count;
    in_word = word;
  }
  return Value::integer(count);
}

Value filter_format(Runtime& runtime, const Value& input, Arguments& arguments) {
  if (!arguments.positional.empty() && !arguments.keyword.empty()) {
    raise("format: positional and keyword arguments at the same time");
  }
  const Str text = soft_str(runtime, input);
  if (arguments.keyword.empty()) {
    return format_percent(runtime, text, Value::tuple(std::move(arguments.positional)));
  }
  Value values = Value::dict();
  for (auto& [name, value] : arguments.keyword) {
    values.as_dict().set(Value::string(name), std::move(value));
  }
  return format_percent(runtime, text, values);
}

Value filter_safe(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("safe", arguments, {}, 0);
  return Value::string(soft_str(runtime, input).as_markup());
}

Value filter_escape(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("escape", arguments, {}, 0);
  return runtime.text(escape_html(runtime, soft_str(runtime, input)));
}

Value filter_forceescape(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("forceescape", arguments, {}, 0);
  return runtime.text(escape_html(runtime, runtime.str(input)));
}

// Percent-encodes everything but letters, digits and a few marks.
void append_url_quoted(StrBuilder& out, const Str& text, bool for_query) {
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
  const std::string_view bytes = text.view();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const char c = bytes[i];
    if (kPlain.find(c) != std::string_view::npos || (c == '/' && !for_query)) {
      out.append(text, i, i + 1);
    } else if (c == ' ' && for_query) {
      out.append_instead(text, i, i + 1, "+");
    } else {
      const std::string code = unicode::hex(static_cast<uint8_t>(c), 2);
      out.append_instead(text, i, i + 1, "%" + unicode::upper(code));
    }
  }
}

Value filter_urlencode(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("urlencode", arguments, {}, 0);
  StrBuilder out = runtime.builder();
  if (input.is_string() || !Cursor::can_iterate(input)) {
    append_url_quoted(out, runtime.str(input), /*for_query=*/false);
    return runtime.text(out.take());
  }
  std::vector<std::pair<Value, Value>> pairs;
  if (input.is_dict()) {
    pairs = input.as_dict().entries();
  } else {
    for (const Value& pair : runtime.to_vector(input)) {
      const std::vector<Value> items = runtime.to_vector(pair);
      if (items.size() != 2) raise("urlencode takes pairs");
      pairs.emplace_back(items[0], items[1]);
    }
  }
  bool first = true;
  for (const auto& [key, value] : pairs) {
    if (!first) out.append('&');
    first = false;
    append_url_quoted(out, runtime.str(key), /*for_query=*/true);
    out.append('=');
    append_url_quoted(out, runtime.str(value), /*for_query=*/true);
  }
  return runtime.text(out.take());
}

Value filter_xmlattr(Runtime& runtime, const Value& input, Arguments& arguments) {
  const BoundArguments bound("xmlattr", arguments, {"autospace"}, 0);
  if (input.is_undefined()) raise(input.undefined_message());
  if (!input.is_dict()) raise("xmlattr takes a dict");
  StrBuilder out = runtime.builder();
  for (const auto& [key, value] : input.as_dict().entries()) {
    if (value.is_none() || value.is_undefined()) continue;
    if (!key.is_string()) raise("xmlattr: names must be strings");
    if (key.view().find_first_of(" \t\n\r\f\v/>=") != std::string_view::npos) {
      raise("invalid character in attribute name");
    }
    if (out.size() > 0 || bound.flag(0, true)) out.append(' ');
    out.append(escape_html(runtime, key.as_str()));
    out.append("=\"");
    out.append(escape_html(runtime, soft_str(runtime, value)));
    out.append('"');
  }
  return runtime.text(out.take());
}

Value filter_unsupported(Runtime&, const Value&, Arguments&) {
  raise_unsupported("the filters random, striptags, urlize and wordwrap are not supported");
}

constexpr NamedFunction<FilterFunction> kTextFilters[] = {
    {"capitalize", convert_case<unicode::capitalize>},
    {"center", filter_center},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"forceescape", filter_forceescape},
    {"format", filter_format},
    {"indent", filter_indent},
    {"lower", convert_case<unicode::lower>},
    {"random", filter_unsupported},
    {"replace", filter_replace},
    {"safe", filter_safe},
    {"string", filter_string},
    {"striptags", filter_unsupported},
    {"title", convert_case<title_words>},
    {"trim", filter_trim},
    {"truncate", filter_truncate},
    {"upper", convert_case<unicode::upper>},
    {"urlencode", filter_urlencode},
    {"urlize", filter_unsupported},
    {"wordcount", filter_wordcount},
    {"wordwrap", filter_unsupported},
    {"xmlattr", filter_xmlattr},
};

}  // namespace

FilterTable text_filters() { return kTextFilters; }

}  // namespace m2::jinja
