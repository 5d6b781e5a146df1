// Tokenizer speed. usage: text_bench TOKENIZER_JSON TEXT_FILE...     prints one JSON line per file: MB/s, tokens, best
// of 5
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>

#include "core/mapped_file.h"
#include "kvgauge/error.h"
#include "text/tokenizer.h"

namespace {

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  using namespace kvgauge;
  if (argc < 3) {
    std::fprintf(stderr, "usage: text_bench TOKENIZER_JSON TEXT_FILE...\n");
    return 2;
  }
  try {
    std::optional<Tokenizer> tokenizer;
    const MappedFile json(argv[1]);
    const double load = seconds_of([&] { tokenizer.emplace(parse_tokenizer_json(json.text(), argv[1]), argv[1]); });
    std::printf("{\"bench\":\"text/load\",\"file\":\"%s\",\"mb\":%.1f,\"seconds\":%.3f}\n", argv[1],
                static_cast<double>(json.text().size()) / 1e6, load);
    for (int i = 2; i < argc; ++i) {
      const MappedFile text(argv[i]);
      std::vector<std::int32_t> ids;
      double encode = 1e9, decode = 1e9;
      for (int round = 0; round < 5; ++round) {
        encode = std::min(encode, seconds_of([&] { ids = tokenizer->encode(text.text()); }));
        decode = std::min(decode, seconds_of([&] { tokenizer->decode(ids); }));
      }
      const double megabytes = static_cast<double>(text.text().size()) / 1e6;
      std::printf(
          "{\"bench\":\"text/"
          "encode\",\"file\":\"%s\",\"mb\":%.1f,\"tokens\":%zu,\"encode_mb_s\":%.1f,\"decode_mb_s\":%.1f}\n",
          argv[i], megabytes, ids.size(), megabytes / encode, megabytes / decode);
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "text_bench: %s\n", error.what());
    return 3;
  }
  return 0;
}
