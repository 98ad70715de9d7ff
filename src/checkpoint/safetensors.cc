#include "checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/error.h"
#include "checkpoint/checkpoint.h"

namespace m2 {
namespace {

// Of the data, where kernels read blocks.
constexpr std::size_t kBlockAlignment = 64;

// The format's order of dtypes; the writer sorts by it, falling.
int dtype_rank(DType dtype) {
  switch (dtype) {
    case DType::kBool:
      return 0;
    case DType::kU8:
      return 1;
    case DType::kI8:
      return 2;
    case DType::kF8E4M3:
      return 3;
    case DType::kI16:
      return 4;
    case DType::kF16:
      return 5;
    case DType::kBF16:
      return 6;
    case DType::kI32:
      return 7;
    case DType::kF32:
      return 8;
    case DType::kF64:
      return 9;
    case DType::kI64:
      return 10;
  }
  fail(ErrorCode::kInternal, "safetensors: no rank for dtype ", static_cast<int>(dtype));
}

std::size_t item_bytes(DType dtype, const Shape& shape) {
  return static_cast<std::size_t>(shape.num_elements()) * dtype_size(dtype);
}

nlohmann::json shape_json(const Shape& shape) {
  auto dims = nlohmann::json::array();
  for (int axis = 0; axis < shape.rank(); ++axis) dims.push_back(shape[axis]);
  return dims;
}

}  // namespace

void SafetensorsWriter::add(std::string name, const TensorView& tensor) {
  const std::span<const std::byte> bytes(static_cast<const std::byte*>(tensor.data),
                                         tensor.num_bytes());
  add(std::move(name), tensor.dtype, tensor.shape, [bytes](const Sink& sink) { sink(bytes); });
}

void SafetensorsWriter::add(std::string name, DType dtype, const Shape& shape, Producer producer) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, names_.insert(name).second, "safetensors: tensor ", name,
             " was added twice");
  items_.push_back({std::move(name), dtype, shape, std::move(producer)});
}

void SafetensorsWriter::add_blocks(std::string name, BlockFormat format, const Shape& shape,
                                   Producer producer) {
  set_metadata(name, block_format_metadata(format, shape));
  add(std::move(name), DType::kU8, {block_stack_bytes(format, shape)}, std::move(producer));
  items_.back().blocks = true;
}

void SafetensorsWriter::set_metadata(std::string key, std::string value) {
  metadata_[std::move(key)] = std::move(value);
}

std::string SafetensorsWriter::header(const std::vector<const Item*>& order) const {
  nlohmann::ordered_json json;
  if (!metadata_.empty()) json["__metadata__"] = metadata_;
  std::string text = json.is_null() ? "{" : json.dump();
  if (!json.is_null()) text.pop_back();  // the tensors follow inside the same object
  std::size_t offset = 0;
  for (const Item* item : order) {
    const std::size_t end = offset + item_bytes(item->dtype, item->shape);
    nlohmann::ordered_json entry;
    entry["dtype"] = dtype_name(item->dtype);
    entry["shape"] = shape_json(item->shape);
    entry["data_offsets"] = {offset, end};
    if (text.size() > 1) text += ',';
    text += nlohmann::json(item->name).dump() + ':' + entry.dump();
    offset = end;
  }
  text += '}';
  const bool blocks = !order.empty() && order.front()->blocks;
  const std::size_t alignment = blocks ? kBlockAlignment : sizeof(std::uint64_t);
  const std::size_t length = sizeof(std::uint64_t) + text.size();  // the data follows
  text.append((length + alignment - 1) / alignment * alignment - length, ' ');
  return text;
}

std::vector<const SafetensorsWriter::Item*> SafetensorsWriter::file_order() const {
  std::vector<const Item*> order;
  for (const auto& item : items_) order.push_back(&item);
  std::sort(order.begin(), order.end(), [](const Item* a, const Item* b) {
    if (a->blocks != b->blocks) return a->blocks;
    if (a->blocks) return natural_less(a->name, b->name);
    const int rank_a = dtype_rank(a->dtype);
    const int rank_b = dtype_rank(b->dtype);
    return rank_a != rank_b ? rank_a > rank_b : a->name < b->name;
  });
  return order;
}

void SafetensorsWriter::write(AtomicFile& out) const {
  const std::vector<const Item*> order = file_order();
  const std::string text = header(order);
  const std::uint64_t length = text.size();
  out.write(std::as_bytes(std::span(&length, 1)));
  out.write(std::as_bytes(std::span(text)));
  for (const Item* item : order) {
    std::size_t written = 0;
    item->producer([&](std::span<const std::byte> bytes) {
      written += bytes.size();
      out.write(bytes);
    });
    M2_CHECK(written == item_bytes(item->dtype, item->shape), "tensor ", item->name,
             ": the producer gave ", written, " bytes for ", item->shape);
  }
  out.finish();
}

void SafetensorsWriter::write(const std::filesystem::path& path) const {
  AtomicFile file(path);
  write(file);
  file.commit();
}

}  // namespace m2
