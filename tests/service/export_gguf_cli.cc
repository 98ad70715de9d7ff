// m2_export_gguf SOURCE TARGET FORMAT: for comparisons with llama.cpp (tools/compare_gguf.py).
#include <cstdio>

#include "m2/error.h"
#include "service/export_gguf.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  try {
    m2::export_gguf(argv[1], argv[2], {.format = m2::gguf_format_from_name(argv[3])});
    return 0;
  } catch (const m2::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
