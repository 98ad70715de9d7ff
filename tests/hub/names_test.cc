#include "hub/names.h"

#include <gtest/gtest.h>

#include "m2/error.h"
#include "m2/hub.h"

namespace m2::hub {
namespace {

TEST(Names, IdsAsTheHubAllowsThem) {
  const std::string longest(96, 'a');
  for (const std::string& id :
       {std::string("foo"), std::string("foo/bar"), std::string("123"),
        std::string("Foo-BAR_foo.bar123"), std::string("_a/b_"), longest + "/" + longest}) {
    EXPECT_TRUE(is_hub_id(id)) << id;
    EXPECT_NO_THROW(check_repo_id(id));
  }
  for (const std::string& id :
       {std::string(), std::string("/"), std::string("a/"), std::string("/a"), std::string("a/b/c"),
        std::string(".a"), std::string("a."), std::string("-a"), std::string("a-/b"),
        std::string("a--b"), std::string("a..b"), std::string("../x"), std::string("a.git"),
        std::string("a b"), std::string("a\nb"), std::string("a\0b", 3), std::string("caf\xC3\xA9"),
        longest + "a"}) {
    EXPECT_FALSE(is_hub_id(id)) << id;
    EXPECT_THROW(check_repo_id(id), Error);
  }
}

TEST(Names, Revisions) {
  for (const char* revision : {"main", "v1.0", "refs/pr/1", "feature/x", "a@b", "abc123"}) {
    EXPECT_NO_THROW(check_revision(revision)) << revision;
  }
  for (const std::string& revision :
       {std::string(), std::string("../main"), std::string("/main"), std::string("a//b"),
        std::string("a/"), std::string("a/./b"), std::string("a b"), std::string("a\\b"),
        std::string("a\nb"), std::string("a?b"), std::string("HEAD~1"), std::string("\xFF"),
        std::string(201, 'a')}) {
    EXPECT_THROW(check_revision(revision), Error) << revision;
  }
}

TEST(Names, FileNames) {
  for (const char* name : {"a", "a/b.c", ".gitattributes", "a..b", "d/\xC3\xA9"}) {
    EXPECT_EQ(file_name_fault(name), nullptr) << name;
  }
  for (const std::string& name :
       {std::string(), std::string("/a"), std::string(".."), std::string("a/../b"),
        std::string("./a"), std::string("a//b"), std::string("a/"), std::string("a\tb"),
        std::string("a\\..\\b"), std::string("a\0b", 3), std::string("\xC3"), std::string(201, 'a'),
        std::string(2049, 'a')}) {
    EXPECT_NE(file_name_fault(name), nullptr) << name;
  }
}

TEST(Names, Patterns) {
  struct Case {
    const char* name;
    const char* pattern;
    bool matches;
  };
  for (const Case& c : {
           Case{"config.json", "*.json", true},
           Case{"sub/config.json", "*.json", true},
           Case{"config.json", "*.txt", false},
           Case{"config.json", "config.json", true},
           Case{"config.jsonl", "config.json", false},
           Case{"a/b/c", "a/", true},
           Case{"ab/c", "a/", false},
           Case{"model-1.bin", "model-?.bin", true},
           Case{"model-10.bin", "model-?.bin", false},
           Case{"model-1.bin", "model-[0-9].bin", true},
           Case{"model-x.bin", "model-[!0-9].bin", true},
           Case{"model-1.bin", "model-[!0-9].bin", false},
           Case{"a]b", "a[]]b", true},
           Case{"a[b", "a[b", true},
           Case{"a-b", "a[x-]b", true},
           Case{"", "*", true},
           Case{"", "?", false},
           Case{"abcabd", "*ab?", true},
           Case{"a", "**a**", true},
       }) {
    EXPECT_EQ(matches_pattern(c.name, c.pattern), c.matches) << c.name << " " << c.pattern;
  }
  const std::string stars = std::string(2000, '*') + "b";
  EXPECT_FALSE(matches_pattern(std::string(2000, 'a'), stars));
}

TEST(Names, IgnoredFilesWin) {
  EXPECT_TRUE(is_wanted("a.json", {}, {}));
  EXPECT_TRUE(is_wanted("a.json", {"*.txt", "*.json"}, {}));
  EXPECT_FALSE(is_wanted("a.json", {"*.txt"}, {}));
  EXPECT_FALSE(is_wanted("a.json", {"*.json"}, {"a.*"}));
}

}  // namespace
}  // namespace m2::hub
