// Side of m2 in bench/peers/tokenizer_vs_hf.py: reads a JSON list of documents from the first line
// of standard input, then for each further line encodes them all and prints the seconds for the ids
// alone, the seconds with offsets and a checksum of the ids.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "m2/tokenizer.h"

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void run_round(const m2::Tokenizer& tokenizer, const std::vector<std::string>& documents) {
  constexpr uint64_t kModulus = uint64_t{1} << 61;
  std::vector<std::vector<m2::TokenId>> rows;
  Clock::time_point begin = Clock::now();
  for (const std::string& document : documents) rows.push_back(tokenizer.encode_ids(document));
  const double ids_s = seconds_since(begin);
  begin = Clock::now();
  for (const std::string& document : documents) static_cast<void>(tokenizer.encode(document));
  const double full_s = seconds_since(begin);
  uint64_t checksum = 0;
  for (const auto& row : rows) {
    for (const m2::TokenId id : row) {
      const auto product = static_cast<unsigned __int128>(checksum) * 1000003;
      checksum = static_cast<uint64_t>((product + static_cast<uint64_t>(id)) % kModulus);
    }
  }
  std::printf("%.9f %.9f %llu\n", ids_s, full_s, static_cast<unsigned long long>(checksum));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: m2_tokenizer_timer tokenizer.json\n");
    return 2;
  }
  const m2::Tokenizer tokenizer = m2::Tokenizer::from_file(argv[1]);
  std::string line;
  if (!std::getline(std::cin, line)) return 1;
  const auto documents = nlohmann::json::parse(line).get<std::vector<std::string>>();
  while (std::getline(std::cin, line)) run_round(tokenizer, documents);
  return 0;
}
