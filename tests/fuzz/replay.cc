// Runs a fuzz target without libFuzzer: every corpus file, then seeded mutations of them.
// The target fails by crashing or by an uncaught exception.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using Bytes = std::vector<uint8_t>;
using Random = std::mt19937_64;

std::vector<Bytes> load_corpus(const std::filesystem::path& directory) {
  std::vector<Bytes> corpus{Bytes{}};
  if (!std::filesystem::is_directory(directory)) return corpus;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    std::ifstream in(entry.path(), std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return corpus;
}

size_t below(Random& random, size_t limit) { return limit == 0 ? 0 : random() % limit; }

void mutate(Bytes& input, const Bytes& other, Random& random) {
  const size_t at = below(random, input.size() + 1);
  switch (random() % 6) {
    case 0:  // flip a bit
      if (at < input.size()) input[at] ^= static_cast<uint8_t>(1U << (random() % 8));
      break;
    case 1:  // set a byte
      if (at < input.size()) input[at] = static_cast<uint8_t>(random());
      break;
    case 2:  // insert a byte
      input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), static_cast<uint8_t>(random()));
      break;
    case 3: {  // erase a range
      const size_t length = below(random, input.size() - at + 1);
      const auto begin = input.begin() + static_cast<std::ptrdiff_t>(at);
      input.erase(begin, begin + static_cast<std::ptrdiff_t>(length));
      break;
    }
    case 4:  // cut
      input.resize(at);
      break;
    default: {  // splice in a part of another input
      const size_t from = below(random, other.size() + 1);
      const size_t length = below(random, other.size() - from + 1);
      const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
      input.insert(input.begin() + static_cast<std::ptrdiff_t>(at), begin,
                   begin + static_cast<std::ptrdiff_t>(length));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  constexpr int kMutations = 4000;
  constexpr size_t kMaxSize = 1U << 16U;
  constexpr auto kTimeLimit = std::chrono::seconds(15);  // sanitizer builds run fewer mutations
  const auto corpus = load_corpus(argc > 1 ? argv[1] : "");
  for (const auto& input : corpus) LLVMFuzzerTestOneInput(input.data(), input.size());
  Random random(20260101);
  const auto start = std::chrono::steady_clock::now();
  int done = 0;
  while (done < kMutations && std::chrono::steady_clock::now() - start < kTimeLimit) {
    Bytes input = corpus[below(random, corpus.size())];
    const int rounds = 1 + static_cast<int>(random() % 8);
    for (int i = 0; i < rounds; ++i) mutate(input, corpus[below(random, corpus.size())], random);
    if (input.size() > kMaxSize) input.resize(kMaxSize);
    LLVMFuzzerTestOneInput(input.data(), input.size());
    ++done;
  }
  std::printf("%zu corpus inputs, %d mutations\n", corpus.size(), done);
  return 0;
}
