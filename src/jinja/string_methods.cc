// Methods of strings.
#include <algorithm>
#include <span>

#include "base/utf8.h"
#include "jinja/fault.h"
#include "jinja/format.h"
#include "jinja/methods.h"
#include "jinja/operators.h"
#include "jinja/runtime.h"
#include "jinja/text.h"
#include "jinja/unicode.h"

namespace m2::jinja {
namespace {

using Keywords = BoundArguments::Keywords;

const Str& subject(Runtime& runtime, const Value& self) {
  runtime.charge_scan(self.as_str().size());
  return self.as_str();
}

Value list_of(Runtime& runtime, const std::vector<Str>& parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (const Str& part : parts) items.push_back(runtime.text(part));
  return runtime.list(std::move(items));
}

// Markup escapes the plain text that comes to it.
Str matching(Runtime& runtime, const Str& self, const Str& argument) {
  return self.is_markup() ? escape_html(runtime, argument) : argument;
}

size_t max_count(const BoundArguments& bound, size_t i) {
  const Int count = bound.integer_or(i, -1);
  return count < 0 ? kUnlimited : clamp_count(count);
}

template <std::string (*convert)(std::string_view)>
Value convert_case(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("case conversion", arguments, {}, 0);
  const Str& text = subject(runtime, self);
  return runtime.text(text.derive(convert(text.view())));
}

template <Side side>
Value strip_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("strip", arguments, {"chars"}, 0, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const bool white_space = !bound.has(0) || bound[0].is_none();
  const Str chars = white_space ? Str() : matching(runtime, text, bound.text(0));
  return runtime.text(strip(text, white_space ? nullptr : &chars, side));
}

template <bool from_right>
Value split_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("split", arguments, {"sep", "maxsplit"}, 0);
  const Str& text = subject(runtime, self);
  const size_t splits = max_count(bound, 1);
  if (!bound.has(0) || bound[0].is_none()) {
    return list_of(runtime,
                   from_right ? rsplit_white_space(text, splits) : split_white_space(text, splits));
  }
  const std::string_view separator = bound.text(0).view();
  return list_of(runtime,
                 from_right ? rsplit(text, separator, splits) : split(text, separator, splits));
}

Value splitlines(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("splitlines", arguments, {"keepends"}, 0);
  return list_of(runtime, split_lines(subject(runtime, self), bound.flag(0)));
}

Value join(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("join", arguments, {"iterable"}, 1, Keywords::kForbidden);
  const Str& separator = self.as_str();
  StrBuilder out = runtime.builder();
  bool first = true;
  for (const Value& item : runtime.to_vector(bound[0])) {
    if (!item.is_string())
      raise("sequence item: expected str instance, ", type_name(item), " found");
    if (!first) out.append(separator);
    first = false;
    out.append(matching(runtime, separator, item.as_str()));
  }
  return runtime.text(out.take().as_markup(separator.is_markup()));
}

Value replace_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("replace", arguments, {"old", "new", "count"}, 2,
                             Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  return runtime.text(replace(runtime, text, matching(runtime, text, bound.text(0)),
                              matching(runtime, text, bound.text(1)), max_count(bound, 2)));
}

// The part of a string that start and end arguments choose, in bytes.
struct Window {
  bool valid;  // a start behind the end matches nothing, not even an empty text
  size_t begin, end;
};

Window window(const Str& text, const BoundArguments& bound, size_t first_argument) {
  const Int length = static_cast<Int>(text.length());
  const auto place = [&](size_t i, Int fallback) {
    if (!bound.has(i) || bound[i].is_none()) return fallback;
    const Int index = bound.integer(i);
    return index < 0 ? std::max<Int>(index + length, 0) : index;
  };
  const Int start = place(first_argument, 0);
  const Int end = std::min(place(first_argument + 1, length), length);
  if (start > end) return {false, 0, 0};
  return {true, text.byte_offset(static_cast<size_t>(start)),
          text.byte_offset(static_cast<size_t>(end))};
}

enum class Missing { kMinusOne, kError };

template <bool from_right, Missing missing>
Value find_method_of_string(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("find", arguments, {"sub", "start", "end"}, 1, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const Window part = window(text, bound, 1);
  const std::string_view needle = bound.text(0).view();
  if (part.valid) {
    const std::string_view bytes = text.view().substr(part.begin, part.end - part.begin);
    const size_t at = from_right ? rfind_text(bytes, needle) : find_text(bytes, needle, 0);
    if (at != std::string_view::npos) {
      return Value::integer(static_cast<Int>(utf8::count(text.view().substr(0, part.begin + at))));
    }
  }
  if (missing == Missing::kError) raise("substring not found");
  return Value::integer(-1);
}

Value count_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("count", arguments, {"sub", "start", "end"}, 1, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const Window part = window(text, bound, 1);
  const std::string_view needle = bound.text(0).view();
  if (!part.valid) return Value::integer(0);
  const std::string_view bytes = text.view().substr(part.begin, part.end - part.begin);
  if (needle.empty()) return Value::integer(static_cast<Int>(utf8::count(bytes)) + 1);
  Int count = 0;
  for (size_t at = find_text(bytes, needle, 0); at != std::string_view::npos;
       at = find_text(bytes, needle, at + needle.size())) {
    ++count;
  }
  return Value::integer(count);
}

template <bool at_end>
Value affix_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound(at_end ? "endswith" : "startswith", arguments,
                             {"affix", "start", "end"}, 1, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const Window part = window(text, bound, 1);
  const std::string_view bytes =
      part.valid ? text.view().substr(part.begin, part.end - part.begin) : std::string_view();
  const auto matches = [&](const Value& affix) {
    if (!affix.is_string()) raise("startswith or endswith takes a string or a tuple of strings");
    return part.valid && (at_end ? bytes.ends_with(affix.view()) : bytes.starts_with(affix.view()));
  };
  if (!bound[0].is(Kind::kTuple)) {
    if (bound[0].is_undefined()) raise(bound[0].undefined_message());
    return Value::boolean(matches(bound[0]));
  }
  const auto& affixes = bound[0].items();
  return Value::boolean(std::any_of(affixes.begin(), affixes.end(), matches));
}

template <bool from_right>
Value partition(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("partition", arguments, {"sep"}, 1, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const Str& separator = bound.text(0);
  if (separator.empty()) raise("empty separator");
  const size_t at = from_right ? rfind_text(text.view(), separator.view())
                               : find_text(text.view(), separator.view(), 0);
  const Value empty = Value::string(Str().as_markup(text.is_markup()));
  if (at == std::string_view::npos) {
    return from_right ? Value::tuple({empty, empty, self}) : Value::tuple({self, empty, empty});
  }
  return Value::tuple({runtime.text(text.substr(0, at)),
                       runtime.text(text.substr(at, at + separator.size())),
                       runtime.text(text.substr(at + separator.size()))});
}

template <bool at_end>
Value remove_affix(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound(at_end ? "removesuffix" : "removeprefix", arguments, {"affix"}, 1,
                             Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const Str affix = matching(runtime, text, bound.text(0));
  if (at_end) {
    return text.view().ends_with(affix.view())
               ? runtime.text(text.substr(0, text.size() - affix.size()))
               : self;
  }
  return text.view().starts_with(affix.view()) ? runtime.text(text.substr(affix.size())) : self;
}

template <Side text_side>
Value pad_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("pad", arguments, {"width", "fillchar"}, 1, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const Str fill = bound.has(1) ? matching(runtime, text, bound.text(1)) : Str(" ");
  return runtime.text(pad(runtime, text, bound.integer(0), fill, text_side));
}

Value zfill(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("zfill", arguments, {"width"}, 1, Keywords::kForbidden);
  const Str& text = subject(runtime, self);
  const bool sign = text.view().starts_with('-') || text.view().starts_with('+');
  const size_t sign_size = sign ? 1 : 0;
  const Str digits =
      pad(runtime, text.substr(sign_size),
          std::max<Int>(bound.integer(0), 1) - static_cast<Int>(sign_size), Str("0"), Side::kRight);
  StrBuilder out = runtime.builder();
  out.append(text, 0, sign_size);
  out.append(digits);
  return runtime.text(out.take().as_markup(text.is_markup()));
}

Value expandtabs(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("expandtabs", arguments, {"tabsize"}, 0);
  const Str& text = subject(runtime, self);
  const Int tab_size = bound.integer_or(0, 8);
  StrBuilder out = runtime.builder();
  Int column = 0;
  const std::string_view bytes = text.view();
  for (size_t pos = 0; pos < bytes.size();) {
    const size_t end = pos + static_cast<size_t>(utf8::decode(bytes, pos).length);
    if (bytes[pos] == '\t') {
      const Int spaces = tab_size > 0 ? tab_size - column % tab_size : 0;
      for (Int i = 0; i < spaces; ++i) out.append_instead(text, pos, end, " ");
      column += spaces;
    } else {
      out.append(text, pos, end);
      column = bytes[pos] == '\n' || bytes[pos] == '\r' ? 0 : column + 1;
    }
    pos = end;
  }
  return runtime.text(out.take().as_markup(text.is_markup()));
}

template <bool (*predicate)(char32_t), bool when_empty>
Value all_characters(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("character test", arguments, {}, 0);
  const std::u32string points = utf8::to_utf32(subject(runtime, self).view());
  return Value::boolean((when_empty || !points.empty()) &&
                        std::all_of(points.begin(), points.end(), predicate));
}

bool is_ascii(char32_t c) { return c < 0x80; }

template <bool (*wanted)(char32_t), bool (*other)(char32_t)>
Value has_case(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("case test", arguments, {}, 0);
  bool found = false;
  for (const char32_t c : utf8::to_utf32(subject(runtime, self).view())) {
    if (other(c) || unicode::is_title(c)) return Value::boolean(false);
    found = found || wanted(c);
  }
  return Value::boolean(found);
}

Value istitle(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("istitle", arguments, {}, 0);
  bool found = false;
  bool in_word = false;
  for (const char32_t c : utf8::to_utf32(subject(runtime, self).view())) {
    const bool capital = unicode::is_upper(c) || unicode::is_title(c);
    const bool small = unicode::is_lower(c);
    if ((capital && in_word) || (small && !in_word)) return Value::boolean(false);
    in_word = capital || small;
    found = found || in_word;
  }
  return Value::boolean(found);
}

Value isidentifier(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("isidentifier", arguments, {}, 0);
  const std::u32string points = utf8::to_utf32(subject(runtime, self).view());
  bool valid = !points.empty();
  for (size_t i = 0; i < points.size(); ++i) {
    const char32_t c = points[i];
    valid =
        valid && (c == '_' || unicode::is_identifier_start(c) || (i > 0 && unicode::is_decimal(c)));
  }
  return Value::boolean(valid);
}

Value format_method(Runtime& runtime, const Value& self, Arguments& arguments) {
  return format_braces(runtime, subject(runtime, self), arguments);
}

Value format_map(Runtime& runtime, const Value& self, Arguments& arguments) {
  const BoundArguments bound("format_map", arguments, {"mapping"}, 1, Keywords::kForbidden);
  if (!bound[0].is_dict()) raise("format_map() takes a mapping");
  Arguments entries;
  for (const auto& [key, value] : bound[0].as_dict().entries()) {
    if (key.is_string()) entries.keyword.emplace_back(key.as_str(), value);
  }
  return format_braces(runtime, subject(runtime, self), entries);
}

constexpr NamedFunction<MethodFunction> kStringMethods[] = {
    {"split", split_method<false>},
    {"strip", strip_method<Side::kBoth>},
    {"lstrip", strip_method<Side::kLeft>},
    {"rstrip", strip_method<Side::kRight>},
    {"startswith", affix_method<false>},
    {"endswith", affix_method<true>},
    {"replace", replace_method},
    {"join", join},
    {"lower", convert_case<unicode::lower>},
    {"upper", convert_case<unicode::upper>},
    {"title", convert_case<unicode::title>},
    {"capitalize", convert_case<unicode::capitalize>},
    {"casefold", convert_case<unicode::casefold>},
    {"swapcase", convert_case<unicode::swapcase>},
    {"rsplit", split_method<true>},
    {"splitlines", splitlines},
    {"find", find_method_of_string<false, Missing::kMinusOne>},
    {"rfind", find_method_of_string<true, Missing::kMinusOne>},
    {"index", find_method_of_string<false, Missing::kError>},
    {"rindex", find_method_of_string<true, Missing::kError>},
    {"count", count_method},
    {"partition", partition<false>},
    {"rpartition", partition<true>},
    {"removeprefix", remove_affix<false>},
    {"removesuffix", remove_affix<true>},
    {"center", pad_method<Side::kBoth>},
    {"ljust", pad_method<Side::kLeft>},
    {"rjust", pad_method<Side::kRight>},
    {"zfill", zfill},
    {"expandtabs", expandtabs},
    {"format", format_method},
    {"format_map", format_map},
    {"isalnum", all_characters<unicode::is_alnum, false>},
    {"isalpha", all_characters<unicode::is_alpha, false>},
    {"isascii", all_characters<is_ascii, true>},
    {"isdecimal", all_characters<unicode::is_decimal, false>},
    {"isdigit", all_characters<unicode::is_digit, false>},
    {"isnumeric", all_characters<unicode::is_numeric, false>},
    {"isprintable", all_characters<unicode::is_printable, true>},
    {"isspace", all_characters<unicode::is_space, false>},
    {"islower", has_case<unicode::is_lower, unicode::is_upper>},
    {"isupper", has_case<unicode::is_upper, unicode::is_lower>},
    {"istitle", istitle},
    {"isidentifier", isidentifier},
};

}  // namespace

MethodTable string_methods() { return kStringMethods; }

}  // namespace m2::jinja
