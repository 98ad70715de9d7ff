#include "jinja/symbols.h"

#include "jinja/fault.h"

namespace m2::jinja {

uint32_t FunctionScope::slot(int level, const std::string& name) {
  const auto [entry, inserted] = slots.try_emplace({level, name}, info->num_slots);
  if (inserted) ++info->num_slots;
  return entry->second;
}

uint32_t Symbols::define(const std::string& name, Load load) {
  const uint32_t slot = function_->slot(level_, name);
  refs_[name] = slot;
  loads_[slot] = std::move(load);
  return slot;
}

void Symbols::store(const std::string& name) {
  stores_.insert(name);
  if (refs_.contains(name)) return;
  const auto outer = parent_ == nullptr ? std::nullopt : parent_->find(name);
  if (outer) {
    define(name, {FrameLoad::Action::kAlias, {}, *outer});
  } else {
    define(name, {FrameLoad::Action::kUndefined, {}});
  }
}

void Symbols::load(const std::string& name) {
  if (!find(name)) define(name, {FrameLoad::Action::kResolve, name});
}

uint32_t Symbols::declare_parameter(const std::string& name) {
  stores_.insert(name);
  return define(name, {FrameLoad::Action::kParameter, {}});
}

void Symbols::update_from_branches(const std::vector<Symbols>& branches) {
  std::set<std::string> stored;
  for (const Symbols& branch : branches)
    stored.insert(branch.stores_.begin(), branch.stores_.end());
  for (const std::string& name : stores_) stored.erase(name);

  for (const Symbols& branch : branches) {
    for (const auto& [name, slot] : branch.refs_) refs_[name] = slot;
    for (const auto& [slot, load] : branch.loads_) loads_[slot] = load;
    stores_.insert(branch.stores_.begin(), branch.stores_.end());
  }
  for (const std::string& name : stored) {
    const uint32_t slot = find(name)->slot;
    const auto outer = parent_ == nullptr ? std::nullopt : parent_->find(name);
    loads_[slot] = outer ? Load{FrameLoad::Action::kAlias, {}, *outer}
                         : Load{FrameLoad::Action::kResolve, name};
  }
}

std::optional<Reference> Symbols::find(const std::string& name) const {
  for (const Symbols* symbols = this; symbols != nullptr; symbols = symbols->parent_) {
    const auto ref = symbols->refs_.find(name);
    if (ref != symbols->refs_.end()) return Reference{symbols->function_, ref->second};
  }
  return std::nullopt;
}

std::map<std::string, Reference> Symbols::all_stores() const {
  std::map<std::string, Reference> result;
  for (const Symbols* symbols = this; symbols != nullptr; symbols = symbols->parent_) {
    for (const std::string& name : symbols->stores_) result.try_emplace(name, *find(name));
  }
  return result;
}

FrameInfo Symbols::frame_info() const {
  FrameInfo frame;
  for (const auto& [slot, load] : loads_) {
    const SlotRef source =
        load.action == FrameLoad::Action::kAlias ? slot_ref(function_, load.source) : SlotRef{};
    frame.loads.push_back({load.action, slot, source, load.name});
  }
  return frame;
}

SlotRef slot_ref(const FunctionScope* user, const Reference& reference) {
  SlotRef result{0, reference.slot};
  for (; user != reference.function; user = user->parent) {
    M2_CHECK(user != nullptr, "variable of a function that does not enclose its use");
    ++result.hops;
  }
  return result;
}

}  // namespace m2::jinja
