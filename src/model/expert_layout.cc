#include "model/expert_layout.h"

#include <algorithm>
#include <tuple>

#include "base/random_access_file.h"

namespace m2 {
namespace {

constexpr std::size_t kAlignment = RandomAccessFile::kAlignment;
// Reading a gap costs less than a second request.
constexpr std::uint64_t kLargestGap = std::uint64_t{64} << 10U;

// One array of a matrix in a file, and the place that wants to know where it lands in memory.
struct Piece {
  FileRange range;
  std::size_t bytes;
  std::size_t* in_memory;
};

std::uint64_t round_down(std::uint64_t value) { return value / kAlignment * kAlignment; }
std::uint64_t round_up(std::uint64_t value) { return round_down(value + kAlignment - 1); }

bool belongs_to(const ExpertRead& read, const Piece& piece) {
  const std::uint64_t end = read.offset + read.bytes;
  return read.file == piece.range.file && piece.range.offset <= end + kLargestGap;
}

// Pieces in the order of the files become reads; neighbours share one.
void add_reads(std::vector<Piece>& pieces, ExpertLayout& layout) {
  std::ranges::sort(pieces, {}, [](const Piece& piece) {
    return std::tuple(piece.range.file, piece.range.offset);
  });
  for (const Piece& piece : pieces) {
    if (layout.reads.empty() || !belongs_to(layout.reads.back(), piece)) {
      layout.reads.push_back({.file = piece.range.file,
                              .offset = round_down(piece.range.offset),
                              .in_memory = layout.bytes});
    }
    ExpertRead& read = layout.reads.back();
    const std::uint64_t end = piece.range.offset + piece.bytes;
    read.needed = std::max<std::size_t>(read.needed, end - read.offset);
    read.bytes = round_up(read.needed);
    layout.bytes = read.in_memory + read.bytes;
    *piece.in_memory = read.in_memory + (piece.range.offset - read.offset);
  }
}

}  // namespace

ExpertWeights ExpertLayout::views(const ExpertWeights& mapped, const std::byte* memory) const {
  ExpertWeights result = mapped;
  const std::array<WeightView*, 3> views = {&result.gate, &result.up, &result.down};
  for (std::size_t i = 0; i < views.size(); ++i) {
    views[i]->data = memory + data[i];
    if (views[i]->scale != nullptr) {
      views[i]->scale = reinterpret_cast<const float*>(memory + scale[i]);
    }
  }
  return result;
}

std::optional<ExpertLayout> expert_layout(const ExpertWeights& expert,
                                          const Checkpoint& checkpoint) {
  ExpertLayout layout;
  std::vector<Piece> pieces;
  const auto add = [&](const void* data, std::size_t bytes, std::size_t& in_memory) {
    const auto range = checkpoint.locate(data, bytes);
    if (range) pieces.push_back({*range, bytes, &in_memory});
    return range.has_value();
  };
  const std::array<const WeightView*, 3> views = {&expert.gate, &expert.up, &expert.down};
  for (std::size_t i = 0; i < views.size(); ++i) {
    const WeightView& view = *views[i];
    const auto total = static_cast<std::size_t>(view.num_bytes());
    const std::size_t scales = static_cast<std::size_t>(view.num_scale_bytes());
    if (!add(view.data, total - scales, layout.data[i])) return std::nullopt;
    if (scales > 0 && !add(view.scale, scales, layout.scale[i])) return std::nullopt;
  }
  add_reads(pieces, layout);
  return layout;
}

}  // namespace m2
