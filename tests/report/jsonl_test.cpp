#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <vector>

#include "core/output_file.h"
#include "kvgauge/error.h"
#include "report/jsonl_reader.h"
#include "report/jsonl_writer.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::read_file;
using testing::TempDir;
using testing::write_file;

std::vector<JsonlLine> lines_of(const std::string& bytes) {
  const TempDir dir;
  const std::string path = (dir.path() / "in.jsonl").string();
  write_file(path, bytes);
  JsonlReader reader(path);
  std::vector<JsonlLine> lines;
  while (auto line = reader.next()) lines.push_back(*line);
  EXPECT_TRUE(reader.ended());
  EXPECT_TRUE(reader.is_regular());
  return lines;
}

TEST(JsonlReader, CountsBlankLinesInTheNumberButNotInTheIndex) {
  const auto lines = lines_of("\xEF\xBB\xBF{\"a\":1}\r\n\n  \t\n{\"b\":2}\nlast");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].text, "{\"a\":1}");
  EXPECT_EQ(lines[0].number, 1);
  EXPECT_EQ(lines[1].text, "{\"b\":2}");
  EXPECT_EQ(lines[1].number, 4);
  EXPECT_EQ(lines[1].index, 1);
  EXPECT_EQ(lines[2].text, "last");
  EXPECT_EQ(lines[2].number, 5);
}

TEST(JsonlReader, NothingInNothingOut) {
  EXPECT_TRUE(lines_of("").empty());
  EXPECT_TRUE(lines_of("\n\n\r\n").empty());
}

TEST(JsonlReader, LinesLongerThanTheReadBufferArriveWhole) {
  const std::string one(200'000, 'x'), two(70'000, 'y');
  const auto lines = lines_of(one + "\n" + two);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].text, one);
  EXPECT_EQ(lines[1].text, two);
}

TEST(JsonlReader, AnEndlessLineIsCutAndTheNextOneIsRead) {
  const auto lines = lines_of(std::string(JsonlReader::kLongestLine + 100'000, 'x') + "\n{}\n");
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_TRUE(lines[0].too_long);
  EXPECT_LT(lines[0].text.size(), 1000u);
  EXPECT_FALSE(lines[1].too_long);
  EXPECT_EQ(lines[1].text, "{}");
}

TEST(JsonlReader, WithoutWaitingTakesOnlyWhatHasArrived) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  JsonlReader reader("/proc/self/fd/" + std::to_string(ends[0]));
  EXPECT_FALSE(reader.is_regular());
  EXPECT_FALSE(reader.next(false));
  EXPECT_FALSE(reader.ended());
  ASSERT_EQ(::write(ends[1], "{}\n{\"h", 6), 6);
  EXPECT_EQ(reader.next(false)->text, "{}");
  EXPECT_FALSE(reader.next(false)) << "half a line is no line";
  ASSERT_EQ(::write(ends[1], "\":1}", 4), 4);
  ::close(ends[1]);
  EXPECT_EQ(reader.next()->text, "{\"h\":1}");
  EXPECT_FALSE(reader.next());
  EXPECT_TRUE(reader.ended());
  ::close(ends[0]);
}

TEST(JsonlReader, RefusesWhatCannotBeRead) {
  const TempDir dir;
  EXPECT_THROW(JsonlReader((dir.path() / "absent").string()), InputError);
  EXPECT_THROW(JsonlReader(dir.path().string()), InputError);
}

TEST(JsonlWriter, WritesWholeLines) {
  const TempDir dir;
  const std::string path = (dir.path() / "out.jsonl").string();
  {
    JsonlWriter writer(::open(path.c_str(), O_RDWR | O_CREAT, 0666), path, true);
    writer.write("{\"a\":1}");
    writer.write("{}");
    EXPECT_EQ(writer.size(), 11);
  }
  EXPECT_EQ(read_file(path), "{\"a\":1}\n{}\n");
}

TEST(JsonlWriter, AFullDeviceIsAnOutputError) {
  JsonlWriter writer(::open("/dev/full", O_WRONLY), "/dev/full", false);
  EXPECT_THROW(writer.write("{}"), OutputError);
}

TEST(WriteFileAtomically, ReplacesAndLeavesNoTemporary) {
  const TempDir dir;
  const std::string path = (dir.path() / "m.json").string();
  write_file_atomically(path, "one");
  write_file_atomically(path, "two");
  EXPECT_EQ(read_file(path), "two");
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  EXPECT_THROW(write_file_atomically((dir.path() / "no" / "m.json").string(), "x"), OutputError);
}

}  // namespace
}  // namespace kvgauge
