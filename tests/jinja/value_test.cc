#include "jinja/value.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "m2/error.h"

namespace m2::jinja {
namespace {

TEST(Dict, AgreesWithAMapThroughRandomOperations) {
  std::mt19937 random(1);
  Dict dict;
  std::map<int, int> model;
  for (int step = 0; step < 20000; ++step) {
    const int key = static_cast<int>(random() % 200);
    const Value key_value =
        step % 2 == 0 ? Value::integer(key) : Value::floating(static_cast<double>(key));
    if (random() % 3 == 0) {
      EXPECT_EQ(dict.erase(key_value), model.erase(key) == 1);
    } else {
      dict.set(key_value, Value::integer(step));
      model[key] = step;
    }
    ASSERT_EQ(dict.size(), model.size());
    const int other = static_cast<int>(random() % 200);
    const Value* found = dict.find(Value::integer(other));
    ASSERT_EQ(found != nullptr, model.contains(other));
    if (found != nullptr) {
      EXPECT_TRUE(found->as_int() == model[other]);
    }
  }
}

TEST(Dict, KeepsTheOrderOfInsertion) {
  Dict dict;
  std::vector<std::string> keys;
  for (int i = 99; i >= 0; --i) keys.push_back("key" + std::to_string(i));
  for (const std::string& key : keys) dict.set(key, Value::none());
  dict.set("key50", Value::boolean(true));
  for (size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(dict.entries()[i].first.view(), keys[i]);
  EXPECT_TRUE(dict.find("key50")->as_bool());
  EXPECT_EQ(dict.find("key100"), nullptr);
}

TEST(Dict, NumbersAndTextAreDifferentKeys) {
  Dict dict;
  dict.set(Value::integer(1), Value::string("number"));
  dict.set("1", Value::string("text"));
  dict.set(Value::boolean(true), Value::string("truth"));
  EXPECT_EQ(dict.size(), 2u);
  EXPECT_EQ(dict.find(Value::floating(1.0))->view(), "truth");
  EXPECT_THROW((void)dict.find(Value::list({})), Error);
}

TEST(FromJson, KeepsTypesOrderAndTrust) {
  const Value value =
      from_json(nlohmann::ordered_json::parse(R"({"z": [1, 1.0, -5, true, null, "é"], "a": {}})"),
                Trust::kUntrusted);
  const auto& entries = value.as_dict().entries();
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].first.view(), "z");
  EXPECT_EQ(entries[0].first.as_str().untrusted().size(), 1u);
  const auto& items = entries[0].second.items();
  EXPECT_TRUE(items[0].is(Kind::kInt));
  EXPECT_TRUE(items[1].is(Kind::kFloat));
  EXPECT_TRUE(items[2].as_int() == -5);
  EXPECT_TRUE(items[3].is(Kind::kBool));
  EXPECT_TRUE(items[4].is_none());
  EXPECT_EQ(items[5].as_str().untrusted(), (std::vector<ByteRange>{{0, 2}}));
  EXPECT_EQ(items[5].as_str().length(), 1u);
}

TEST(FromJson, RefusesDeepNesting) {
  nlohmann::ordered_json json = 1;
  for (int i = 0; i < kMaxValueDepth + 1; ++i) json = nlohmann::ordered_json::array({json});
  EXPECT_THROW((void)from_json(json), Error);
}

}  // namespace
}  // namespace m2::jinja
