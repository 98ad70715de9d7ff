// Where the bytes of an expert lie in the files of a checkpoint, and where in a piece of memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "ops/moe_experts.h"

namespace m2 {

/// A piece of a file, aligned as RandomAccessFile wants it.
struct ExpertRead {
  std::size_t file = 0;       // of the checkpoint
  std::uint64_t offset = 0;   // in the file
  std::size_t bytes = 0;      // to read
  std::size_t needed = 0;     // of them; the rest may lie behind the end of the file
  std::size_t in_memory = 0;  // offset in the expert's memory
};

/// An expert as a few reads; one where its matrices are neighbours in the file.
struct ExpertLayout {
  std::vector<ExpertRead> reads;
  std::size_t bytes = 0;                  // of memory
  std::array<std::size_t, 3> data = {};   // gate, up, down: offsets in memory
  std::array<std::size_t, 3> scale = {};  // where the matrix has scales

  /// The expert's views, in memory that was filled by the reads.
  [[nodiscard]] ExpertWeights views(const ExpertWeights& mapped, const std::byte* memory) const;
};

/// Nothing where a matrix lies in no file of the checkpoint, as converted weights do.
std::optional<ExpertLayout> expert_layout(const ExpertWeights& expert,
                                          const Checkpoint& checkpoint);

}  // namespace m2
