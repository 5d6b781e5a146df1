#include "core/mapped_file.h"

#include <gtest/gtest.h>

#include "kvgauge/error.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

TEST(MappedFile, ReadsTheBytesAndSurvivesDroppingThem) {
  const testing::TempDir folder;
  const std::string content(100'000, 'q');
  testing::write_file(folder.path() / "f", content);
  MappedFile file(folder.path() / "f");
  EXPECT_EQ(file.text(), content);
  file.drop(file.bytes());
  EXPECT_EQ(file.text(), content);
  MappedFile moved = std::move(file);
  EXPECT_EQ(moved.text(), content);
}

TEST(MappedFile, NamesTheFileThatIsMissingOrNoFile) {
  const testing::TempDir folder;
  EXPECT_THROW(MappedFile(folder.path() / "absent"), InputError);
  EXPECT_THROW(MappedFile(folder.path()), InputError);
  testing::write_file(folder.path() / "empty", "");
  EXPECT_EQ(MappedFile(folder.path() / "empty").bytes().size(), 0u);
}

}  // namespace
}  // namespace kvgauge
