#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "hub/answer_status.h"
#include "hub/api_answer.h"
#include "hub/http.h"
#include "m2/error.h"

namespace m2::hub {
namespace {

const std::string kSha(40, 'a');

TEST(ApiAnswer, ReadsCommitAndFiles) {
  const RepoInfo info = parse_repo_info(
      R"({"sha": ")" + kSha +
          R"(", "siblings": [{"rfilename": "a/b", "size": 5}, {"rfilename": "c"}], "x": [1]})",
      "test");
  EXPECT_EQ(info.commit, kSha);
  ASSERT_EQ(info.files.size(), 2U);
  EXPECT_EQ(info.files[0].name, "a/b");
  EXPECT_EQ(info.files[0].size, 5);
  EXPECT_EQ(info.files[1].size, std::nullopt);
}

TEST(ApiAnswer, RefusesWhatItCannotTrust) {
  const auto with_file = [](const std::string& file) {
    return R"({"sha": ")" + kSha + R"(", "siblings": [)" + file + "]}";
  };
  for (const std::string& text : {
           std::string(),
           std::string("[]"),
           std::string("{}"),
           std::string(R"({"sha": 5, "siblings": []})"),
           std::string(R"({"sha": "main", "siblings": []})"),
           std::string(R"({"sha": "../../../../../../../../../../../../..", "siblings": []})"),
           R"({"sha": ")" + kSha + R"("})",
           R"({"sha": ")" + kSha + R"(", "siblings": {}})",
           with_file("5"),
           with_file("{}"),
           with_file(R"({"rfilename": "../x"})"),
           with_file(R"({"rfilename": "/etc/passwd"})"),
           with_file(R"({"rfilename": "a\u0000b"})"),
           with_file(R"({"rfilename": "a", "size": -1})"),
           with_file(R"({"rfilename": "a", "size": 1e300})"),
           with_file(R"({"rfilename": "a", "size": 18446744073709551615})"),
           with_file(R"({"rfilename": "a", "size": "5"})"),
           std::string(100'000, '['),
       }) {
    EXPECT_THROW(static_cast<void>(parse_repo_info(text, "test")), Error) << text.substr(0, 200);
  }
}

TEST(Answer, Etags) {
  EXPECT_EQ(normalize_etag("\"abc\"", ""), "abc");
  EXPECT_EQ(normalize_etag("W/\"abc-1\"", ""), "abc-1");
  for (const std::string& etag :
       {std::string(), std::string("\"\""), std::string("\"..\""), std::string("a/b"),
        std::string("\"../x\""), std::string("a b"), std::string(129, 'a')}) {
    EXPECT_THROW(static_cast<void>(normalize_etag(etag, "")), Error) << etag;
  }
}

TEST(Answer, SizesAndRanges) {
  EXPECT_EQ(parse_size("0", ""), 0);
  EXPECT_EQ(parse_size("123456789012", ""), 123456789012);
  for (const char* size : {"", "-1", "1x", "1e3", "99999999999999999999"}) {
    EXPECT_THROW(static_cast<void>(parse_size(size, "")), Error) << size;
  }
  EXPECT_EQ(parse_content_range("bytes 5-9/10", "").begin, 5);
  EXPECT_EQ(parse_content_range("bytes 5-9/10", "").size, 10);
  EXPECT_EQ(parse_content_range("bytes 5-9/*", "").size, std::nullopt);
  for (const char* range : {"", "bytes", "bytes 5/10", "bytes -/", "lines 5-9/10", "bytes a-b/c",
                            "bytes 5-9", "/-bytes "}) {
    EXPECT_THROW(static_cast<void>(parse_content_range(range, "")), Error) << range;
  }
}

TEST(Answer, RetryAfter) {
  EXPECT_EQ(parse_retry_after("0"), Milliseconds(0));
  EXPECT_EQ(parse_retry_after("17"), Milliseconds(17'000));
  EXPECT_EQ(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT"), Milliseconds(0));
  EXPECT_GT(parse_retry_after("Sun, 06 Nov 2094 08:49:37 GMT"), Milliseconds(1'000'000));
  EXPECT_GT(parse_retry_after("99999999999999999999"), Milliseconds(1'000'000));
  EXPECT_EQ(parse_retry_after("-5"), Milliseconds(0));
  EXPECT_EQ(parse_retry_after("soon"), std::nullopt);
}

TEST(Answer, StatusesMeanCodes) {
  struct Case {
    int status;
    std::map<std::string, std::string> headers;
    ErrorCode code;
  };
  for (const Case& c : {
           Case{401, {}, ErrorCode::kNotFound},
           Case{401,
                {{"x-error-message", "Invalid credentials in Authorization header"}},
                ErrorCode::kInvalidArgument},
           Case{401, {{"x-error-code", "GatedRepo"}}, ErrorCode::kUnsupported},
           Case{403, {}, ErrorCode::kInvalidArgument},
           Case{403, {{"x-error-code", "GatedRepo"}}, ErrorCode::kUnsupported},
           Case{404, {}, ErrorCode::kNotFound},
           Case{404, {{"x-error-code", "RevisionNotFound"}}, ErrorCode::kNotFound},
           Case{400, {}, ErrorCode::kUnsupported},
           Case{0, {}, ErrorCode::kUnsupported},
       }) {
    try {
      check_status({c.status, c.headers}, "test");
      ADD_FAILURE() << c.status;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), c.code) << error.what();
    }
  }
  for (const int status : {408, 429, 500, 502, 503, 504}) {
    EXPECT_THROW(check_status({status, {}}, "test"), TransientError);
  }
  EXPECT_NO_THROW(check_status({206, {}}, "test"));
}

TEST(Answer, TheServersWordsAreMadeHarmless) {
  try {
    check_status({403, {{"x-error-message", "\x1B[31m" + std::string(1000, 'x')}}}, "test");
    FAIL();
  } catch (const Error& error) {
    const std::string text = error.what();
    EXPECT_EQ(text.find('\x1B'), std::string::npos);
    EXPECT_LT(text.size(), 400U);
  }
}

TEST(Url, Resolving) {
  EXPECT_EQ(resolve_url("http://a/b/c?d", "/e"), "http://a/e");
  EXPECT_EQ(resolve_url("http://a/b/c", "https://x/y"), "https://x/y");
  EXPECT_EQ(resolve_url("https://a:8/b", "//x:9/y"), "https://x:9/y");
  EXPECT_THROW(static_cast<void>(resolve_url("http://a", "http://[")), Error);
  EXPECT_EQ(url_origin("HTTPS://Hub.Example/a"), "https://hub.example:443");
  EXPECT_NE(url_origin("http://a:1/"), url_origin("http://a:2/"));
  EXPECT_EQ(url_origin("http://user@a/"), "http://a:80");
  EXPECT_EQ(percent_encode("refs/pr/1"), "refs%2Fpr%2F1");
  EXPECT_EQ(percent_encode("a b/\xC3\xA9%", "/"), "a%20b/%C3%A9%25");
}

}  // namespace
}  // namespace m2::hub
