// Symbol tables of the scope analysis.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/ast.h"

namespace m2::jinja {

/// A function while its slots are handed out. Frames of one level share the slots of their names,
/// as they share the local variables of the code that Jinja2 makes.
struct FunctionScope {
  FunctionScope* parent;
  FunctionInfo* info;
  std::map<std::pair<int, std::string>, uint32_t> slots;  // by level and name

  [[nodiscard]] uint32_t slot(int level, const std::string& name);
};

/// Where a name lives.
struct Reference {
  const FunctionScope* function;
  uint32_t slot;
};

/// The names of one frame: what it reads, what it sets, and where each comes from on entry.
class Symbols {
 public:
  Symbols(FunctionScope* function, const Symbols* parent)
      : function_(function), parent_(parent), level_(parent == nullptr ? 0 : parent->level_ + 1) {}

  void store(const std::string& name);
  void load(const std::string& name);
  uint32_t declare_parameter(const std::string& name);
  /// Takes over what the branches of an if know; what only some set keeps its outer value.
  void update_from_branches(const std::vector<Symbols>& branches);

  [[nodiscard]] std::optional<Reference> find(const std::string& name) const;
  /// Names set here or in a frame around, and where they live.
  [[nodiscard]] std::map<std::string, Reference> all_stores() const;
  [[nodiscard]] FrameInfo frame_info() const;
  [[nodiscard]] FunctionScope* function() const { return function_; }

 private:
  struct Load {
    FrameLoad::Action action;
    std::string name;              // kResolve
    Reference source{nullptr, 0};  // kAlias
  };
  uint32_t define(const std::string& name, Load load);

  FunctionScope* function_;
  const Symbols* parent_;
  int level_;
  std::map<std::string, uint32_t> refs_;  // slots of names defined here
  std::map<uint32_t, Load> loads_;        // by slot
  std::set<std::string> stores_;
};

/// The place of `reference` as code inside `user` reaches it.
[[nodiscard]] SlotRef slot_ref(const FunctionScope* user, const Reference& reference);

}  // namespace m2::jinja
