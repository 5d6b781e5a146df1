// Any bytes as tokenizer.json: they load or throw one of our errors; what loads encodes and decodes a short text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "kvgauge/error.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kvgauge;
  try {
    const Tokenizer tokenizer(parse_tokenizer_json({reinterpret_cast<const char*>(data), size}, "fuzz"), "fuzz");
    const auto ids =
        tokenizer.encode("ab  the\n<s> 12 e\u0301\u180e\u4e2d", {.parse_added = true, .add_special = true});
    for (const std::int32_t id : ids)
      if (id < 0 || id >= tokenizer.size()) std::abort();
    StreamDecoder stream(tokenizer, false);
    std::string text;
    for (const std::int32_t id : ids) text += stream.push(id);
    if (text + stream.finish() != tokenizer.decode(ids)) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
