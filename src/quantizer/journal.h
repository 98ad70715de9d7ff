// What an unfinished conversion has done, in the file "m2-quantize.json" of its destination.
//
// A shard counts as done when the journal names it and the file has the size and the checksum that
// the journal says. The journal belongs to one plan: the program's version, the recipe, the size of
// shards, and name, size and time of change of every source file. It is written after each shard
// (which is complete by then), as a whole, under a temporary name first; so an end at any moment
// leaves the journal of before or after. It goes away when the conversion is complete.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "quantizer/tensor_result.h"

namespace m2 {

class QuantizeJournal {
 public:
  /// Takes up the journal in `directory`, or begins one where the directory is empty or absent.
  /// Throws kInvalidArgument for a directory with other files or with the journal of another plan.
  QuantizeJournal(const std::filesystem::path& directory, nlohmann::ordered_json plan);

  /// The results of a shard that is done; the file is read to check it. Nothing otherwise.
  [[nodiscard]] std::optional<std::vector<TensorResult>> finished(const std::string& shard) const;
  void add(const std::string& shard, const std::vector<TensorResult>& results);
  void remove() const;

 private:
  [[nodiscard]] std::string where() const { return path_.string(); }
  void write() const;

  std::filesystem::path directory_;
  std::filesystem::path path_;
  nlohmann::ordered_json content_;  // {"plan": .., "shards": {name: {bytes, checksum, tensors}}}
};

}  // namespace m2
