#include "loader/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

std::string file_of(const std::string& header, const std::string& values, char version = 1) {
  std::string file = "\x93NUMPY";
  file += {version, '\0'};
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return file + header + values;
}

template <class T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

NpyMatrix parse(const std::string& file) { return parse_npy(std::as_bytes(std::span(file)), "a.npy"); }

template <class E>
void refuse(const std::string& file, const std::string& part) {
  try {
    parse(file);
    FAIL() << "needed: " << part;
  } catch (const E& error) {
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Npy, ReadsWhatItWrites) {
  const std::vector<float> values = {1, -2.5f, 3e-30f, 4, 5, 6};
  for (const auto& [rows, columns] : {std::pair<std::int64_t, std::int64_t>{2, 3}, {6, 1}, {1, 6}}) {
    const std::string header = npy_header(rows, columns);
    EXPECT_EQ(header.size() % 64, 0u);
    EXPECT_EQ(header.back(), '\n');
    const NpyMatrix matrix = parse(header + bytes_of(values));
    EXPECT_EQ(matrix.rows, rows);
    EXPECT_EQ(matrix.columns, columns);
    EXPECT_EQ(matrix.values, values);
  }
  const NpyMatrix empty = parse(npy_header(7, 0));
  EXPECT_EQ(empty.rows, 7);
  EXPECT_TRUE(empty.values.empty());
}

// Headers as numpy.save and other writers have them.
TEST(Npy, ReadsEveryVersionAndBothTypes) {
  const std::string dict = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }   \n";
  const std::string values = bytes_of(std::vector<double>{0.1, -7});
  for (const char version : {1, 2, 3}) {
    const NpyMatrix matrix = parse(file_of(dict, values, version));
    EXPECT_EQ(matrix.values, (std::vector<float>{0.1f, -7}));
  }
  EXPECT_EQ(parse(file_of("{\"shape\":(2,1),\"descr\":\"<f4\",\"fortran_order\":False}", bytes_of<float>({1, 2}))).rows,
            2);
}

TEST(Npy, RefusesEverythingElse) {
  const auto with = [](const std::string& type, const std::string& order, const std::string& shape,
                       const std::string& values = "12345678") {
    return file_of(cat("{'descr': '", type, "', 'fortran_order': ", order, ", 'shape': ", shape, "}"), values);
  };
  refuse<FormatError>("", "does not begin");
  refuse<FormatError>("\x93NUMPY", "does not begin");
  refuse<FormatError>("PK\x03\x04 a zip file", "does not begin");
  refuse<ConfigError>(file_of("{}", "", 4), "version 4");
  refuse<FormatError>(file_of("{}", ""), "without descr");
  refuse<FormatError>(std::string("\x93NUMPY\x01\x00\xff\xff{", 11), "ends within its header");
  refuse<FormatError>(with("<f4", "False", "(2, 1)", "1234567"), "7 bytes of values for a shape of 2 x 1");
  refuse<FormatError>(with("<f4", "False", "(9223372036854775807, 9223372036854775807)"), "bytes of values");
  refuse<FormatError>(with("<f4", "False", "(0, 3)"), "8 bytes of values");
  refuse<FormatError>(with("<f4", "False", "(99999999999999999999, 1)"), "in the shape");
  refuse<FormatError>(with("<f4", "False", "(-1, 1)"), "in the shape");
  refuse<FormatError>(with("<f4", "Maybe", "(2, 1)"), "True or False");
  refuse<FormatError>(file_of("{'descr': '<f4", ""), "without end");
  refuse<FormatError>(file_of("{'colour': 'red'}", ""), "colour");
  refuse<ConfigError>(with("<i4", "False", "(2, 1)"), "'<i4'");
  refuse<ConfigError>(with(">f4", "False", "(2, 1)"), "'>f4'");
  refuse<ConfigError>(with("<f4", "True", "(2, 1)"), "Fortran");
  refuse<ConfigError>(with("<f4", "False", "(2,)"), "1 dimension");
}

}  // namespace
}  // namespace kvgauge
