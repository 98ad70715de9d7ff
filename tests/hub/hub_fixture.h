// A repository on the test server and an empty cache for each test.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "hub/download.h"
#include "hub/hub_server.h"
#include "m2/error.h"
#include "m2/hub.h"
#include "support/paths.h"

namespace m2::test {

inline constexpr const char* kRepo = "test/model";
inline const std::string kCommit(40, 'a');
inline const std::string kOldCommit(40, 'b');
inline constexpr const char* kConfig = R"({"model_type": "minimax_m2"})";
inline constexpr const char* kWeights = "model-00001-of-00001.safetensors";

/// Bytes that differ from place to place.
inline std::string make_weights(std::size_t size) {
  std::string text(size, '\0');
  unsigned state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 1664525U + 1013904223U) >> 24U);
  return text;
}

class HubTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_ENDPOINT", "HF_TOKEN",
                             "HF_TOKEN_PATH", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE",
                             "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_SYMLINKS"}) {
      ::unsetenv(name);
    }
    ::setenv("no_proxy", "127.0.0.1,localhost", 1);
    server_ = std::make_unique<HubServer>();
    server_->add_repo(kRepo, {{"refs",
                               {{"main", kCommit},
                                {"v1", kOldCommit},
                                {"refs/pr/1", kOldCommit},
                                {"feature/x", kOldCommit}}}});
    server_->add_file(kRepo, kCommit, "config.json", kConfig);
    server_->add_file(kRepo, kCommit, "empty.txt", "");
    server_->add_file(kRepo, kCommit, "sub/dir/file name %2e.txt", "nested");
    server_->add_file(kRepo, kCommit, kWeights, weights());
    server_->add_file(kRepo, kOldCommit, "config.json", "old");
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    ::setenv("HF_HOME", home_.path().c_str(), 1);
    server_->set_faults(Json::array());
    static_cast<void>(server_->take_requests());
  }

  static const std::string& weights() {
    static const std::string bytes = make_weights(300'000);
    return bytes;
  }

  static HubOptions options() {
    HubOptions result;
    result.endpoint = server_->endpoint();
    return result;
  }
  static HubOptions at(const std::string& revision) {
    HubOptions result = options();
    result.revision = revision;
    return result;
  }

  /// Small enough for tests that wait for every one of them.
  static hub::TransferLimits limits() {
    hub::TransferLimits result;
    result.stall_timeout = hub::Milliseconds(400);
    result.first_backoff = hub::Milliseconds(1);
    result.max_backoff = hub::Milliseconds(2);
    result.max_retry_after = hub::Milliseconds(1000);
    result.max_attempts = 3;
    result.progress_bytes = 1000;
    return result;
  }

  static std::filesystem::path snapshot(const HubOptions& wanted = options()) {
    return hub::snapshot_download(kRepo, wanted, limits());
  }
  static std::filesystem::path file(const std::string& name, const HubOptions& wanted = options()) {
    return hub::hub_download(kRepo, name, wanted, limits());
  }

  [[nodiscard]] std::filesystem::path cache() const {
    return home_.path() / "hub" / "models--test--model";
  }

  static HubServer& server() { return *server_; }

 private:
  TemporaryDirectory home_;
  static inline std::unique_ptr<HubServer> server_;
};

/// The code of the error that `call` throws; fails the test when it throws none.
template <typename Call>
ErrorCode error_code(const Call& call, std::string* message = nullptr) {
  try {
    call();
  } catch (const Error& error) {
    if (message != nullptr) *message = error.what();
    return error.code();
  }
  ADD_FAILURE() << "expected an error";
  return ErrorCode::kInternal;
}

}  // namespace m2::test
