#include "cuda/device_cases.h"

namespace m2 {
namespace {

class CudaBackendTest : public test::DeviceTest {};

TEST(CudaDevices, AreNamedAndHaveMemory) {
  for (const cuda::Device& device : cuda::list_devices()) {
    EXPECT_FALSE(device.name.empty());
    EXPECT_GT(device.free_bytes, 0);
    EXPECT_LE(device.free_bytes, device.total_bytes);
  }
}

TEST(CudaDevices, UnknownOnesAreRefused) {
  try {
    CudaBackend backend(1000);
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("cuda:1000"), std::string::npos) << error.what();
  }
}

TEST_F(CudaBackendTest, AllocatesZeros) {
  const Tensor device = backend_->allocate(DType::kF32, {1000});
  const Tensor got = to_host(device);
  for (const float value : test::floats(got)) ASSERT_EQ(value, 0.0F);
  EXPECT_NO_THROW(static_cast<void>(backend_->allocate(DType::kF32, {0, 5})));
}

TEST_F(CudaBackendTest, LackOfMemoryIsReportedAndForgotten) {
  try {
    static_cast<void>(backend_->allocate(DType::kF32, {std::int64_t{1} << 40U}));
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kResourceExhausted) << error.what();
  }
  EXPECT_NO_THROW(static_cast<void>(to_host(backend_->allocate(DType::kF32, {16}))));
}

TEST_F(CudaBackendTest, CopiesBothWaysAndWithin) {
  const Tensor host = test::Random(1).tensor({3, 1000});
  const Tensor device = to_device(host.view());
  const Tensor other = backend_->allocate(DType::kF32, {3, 1000});
  backend_->copy(device.view(), other.view());
  test::expect_same_bits(test::floats(to_host(other)), test::floats(host));
  test::expect_contract_error(
      [&] {
        backend_->upload(host.view(), {device.view().data, DType::kF32, {3000}});
      },
      {"copy: to must have 2 dimensions"});
}

// Weights larger than the staging buffers, and the scales behind them, arrive whole.
TEST_F(CudaBackendTest, PlacesWeightsAligned) {
  test::Random random(2);
  const test::StoredWeight small(DType::kF8E4M3, 130, 129, random);
  const test::StoredWeight large(DType::kF32, 3000, 3001, random);
  for (const WeightView& host : {small.view(), large.view()}) {
    const WeightView placed = backend_->place(host, MatrixUse::kProduct, owners_);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(placed.data) % 256, 0U);
    const std::int64_t num_bytes =
        host.rows * host.cols * static_cast<std::int64_t>(dtype_size(host.dtype));
    const Tensor back(DType::kU8, {num_bytes});
    backend_->download({const_cast<void*>(placed.data), DType::kU8, {num_bytes}}, back.view());
    EXPECT_EQ(std::memcmp(back.view().data, host.data, static_cast<std::size_t>(num_bytes)), 0);
    if (host.scale == nullptr) continue;
    const Tensor scales(DType::kF32, {2, 2});
    backend_->download({const_cast<float*>(placed.scale), DType::kF32, {2, 2}}, scales.view());
    EXPECT_EQ(std::memcmp(scales.view().data, host.scale, 4 * sizeof(float)), 0);
  }
  EXPECT_FALSE(owners_.empty());
}

// Weights of all sizes that follow each other on the device, from several slabs, among them some
// that are put into order there.
TEST_F(CudaBackendTest, PlacesManyWeights) {
  test::Random random(4);
  const test::StoredWeight units(BlockFormat::kInt8G32, 48, 256, random);
  std::vector<test::StoredWeight> stored;
  std::vector<WeightView> placed;
  for (int i = 0; i < 400; ++i) {
    const std::int64_t rows = i % 40 == 7 ? 900 : 1 + random.below(70);
    stored.emplace_back(DType::kF8E4M3, rows, 1 + random.below(i % 40 == 7 ? 8000 : 300), random);
    placed.push_back(backend_->place(stored.back().view(), MatrixUse::kProduct, owners_));
    if (i % 50 == 0) {
      EXPECT_EQ(backend_->place(units.view(), MatrixUse::kProduct, owners_).block_format,
                BlockFormat::kInt8G32);
    }
  }
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const WeightView& host = stored[i].view();
    const Tensor back(DType::kU8, {host.rows, host.cols});
    backend_->download({const_cast<void*>(placed[i].data), DType::kU8, {host.rows, host.cols}},
                       back.view());
    ASSERT_EQ(std::memcmp(back.view().data, host.data, back.view().num_bytes()), 0) << i;
    const Shape scales{(host.rows + 127) / 128, host.scale_cols()};
    const Tensor scale(DType::kF32, scales);
    backend_->download({const_cast<float*>(placed[i].scale), DType::kF32, scales}, scale.view());
    ASSERT_EQ(std::memcmp(scale.view().data, host.scale, scale.view().num_bytes()), 0) << i;
  }
}

// Of columns that cannot be cut into units, by pieces.
TEST_F(CudaBackendTest, WidensOddInt8) {
  test::Random random(3);
  for (const auto& [rows, cols] :
       {std::pair{16, 120}, {33, 100}, {1, 1}, {66000, 40}, {100000, 64}}) {
    const test::StoredWeight weight(BlockFormat::kInt8G32, rows, cols, random);
    const WeightView placed = backend_->place(weight.view(), MatrixUse::kProduct, owners_);
    ASSERT_EQ(placed.dtype, DType::kBF16);
    ASSERT_EQ(placed.block_format, BlockFormat::kNone);
    const Tensor got(DType::kBF16, {rows, cols});
    backend_->download({const_cast<void*>(placed.data), DType::kBF16, {rows, cols}}, got.view());
    const WeightView read = {
        .data = got.view().data, .dtype = DType::kBF16, .rows = rows, .cols = cols};
    std::vector<float> want(static_cast<std::size_t>(cols));
    std::vector<float> have(want.size());
    for (std::int64_t row = 0; row < rows; ++row) {
      decode_row(weight.view(), row, want.data());
      decode_row(read, row, have.data());
      for (std::size_t i = 0; i < want.size(); ++i) {
        ASSERT_NEAR(have[i], want[i], std::abs(want[i]) * 0x1p-8F) << row << ", " << i;
      }
    }
  }
}

}  // namespace
}  // namespace m2
