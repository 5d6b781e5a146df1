// `chat` with piped lines: answers on stdout, all else on stderr, and what Ctrl-C does.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <regex>
#include <thread>
#include <utility>

#include "e2e/heads.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

using Words = std::vector<std::string>;

const std::string kQuestion = "Eva starts a game with 8 points. She scores 6 points. What is the score in the end?\n";
const std::string kOther = "Tom has 3 pens. He buys 4. How many has he?\n";

Words chat(const Words& more = {}) {
  Words words = {"chat", "--dtype", "f32", "--threads", "2", "--batch-invariant"};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

std::int64_t count(const std::string& text, const std::string& word) {
  std::int64_t found = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++found;
  return found;
}

// "N of M prompt tokens from the cache", of each answer.
std::vector<std::pair<int, int>> cached(const std::string& text) {
  std::vector<std::pair<int, int>> found;
  const std::regex pattern("(\\d+) of (\\d+) prompt tokens");
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), end; it != end; ++it)
    found.emplace_back(std::stoi((*it)[1]), std::stoi((*it)[2]));
  return found;
}

TEST(Chat, ThreeTurnsKeepTheirCache) {
  const Outcome outcome = kvgauge(chat({"--think", "off"}), kQuestion + "\n" + kOther + kQuestion);
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(count(outcome.out, "####"), 3) << outcome.out;
  EXPECT_EQ(outcome.out.find('\033'), std::string::npos) << "no escape codes where no terminal is";
  EXPECT_EQ(outcome.err.find('\033'), std::string::npos);
  const auto turns = cached(outcome.err);
  ASSERT_EQ(turns.size(), 3u) << outcome.err;
  EXPECT_EQ(turns[0].first, 0);
  for (std::size_t i = 1; i < 3; ++i) {
    EXPECT_GT(turns[i].second, turns[i - 1].second) << "the conversation grows";
    EXPECT_GE(turns[i].first, turns[i - 1].second / 32 * 32) << "full pages up to the last question are there";
  }
  EXPECT_EQ(count(outcome.err, "kv_coe.normalized.c "), 3);
  EXPECT_EQ(count(outcome.err, "perplexity "), 3);
  const Outcome quiet = kvgauge(chat({"--think", "off", "--quiet"}), kQuestion + kOther + kQuestion);
  EXPECT_EQ(quiet.err, "");
  EXPECT_EQ(quiet.out, outcome.out);
}

TEST(Chat, AnswersAsRunDoes) {
  const OrderedJson row = {{"prompt", kOther.substr(0, kOther.size() - 1)}};
  for (const char* const mode : {"on", "off", "template"}) {
    const Outcome run = kvgauge(
        {"run", "--input", "-", "--think", mode, "--dtype", "f32", "--batch-invariant", "--quiet"}, row.dump() + "\n");
    const Outcome talk = kvgauge(chat({"--think", mode, "--quiet"}), kOther);
    EXPECT_EQ(talk.out, rows_of(run.out).at(0)["text"].get<std::string>() + "\n") << talk.err;
  }
}

TEST(Chat, ResetAndSystemAndThinkChangeWhatIsAsked) {
  const Outcome once = kvgauge(chat({"--think", "off", "--quiet"}), kQuestion);
  const Outcome reset = kvgauge(chat({"--think", "off"}), kQuestion + "/reset\n" + kQuestion);
  EXPECT_EQ(reset.out, once.out + once.out);
  const auto turns = cached(reset.err);
  ASSERT_EQ(turns.size(), 2u);
  EXPECT_EQ(turns[0].second, turns[1].second) << "nothing of the first turn is in the second prompt";
  const Outcome slow = kvgauge(chat({"--think", "off"}), "/think on\n" + kQuestion);
  EXPECT_NE(slow.out.find("</think>"), std::string::npos) << slow.out;
  EXPECT_NE(slow.err.find("slow > answer at "), std::string::npos) << slow.err;
  const Outcome system = kvgauge(chat({"--think", "off"}), kQuestion + "/reset\n/system Be short.\n" + kQuestion);
  const auto with = cached(system.err);
  ASSERT_EQ(with.size(), 2u);
  EXPECT_GT(with[1].second, with[0].second);
  const Outcome flag = kvgauge(chat({"--think", "off", "--system", "Be short."}), kQuestion);
  EXPECT_EQ(cached(flag.err).at(0).second, with[1].second);
}

TEST(Chat, ThoughtsStayOutOfLaterPrompts) {
  const Outcome slow = kvgauge(chat({"--think", "on"}), kQuestion + kQuestion);
  const auto turns = cached(slow.err);
  ASSERT_EQ(turns.size(), 2u) << slow.err;
  std::string answer = slow.out.substr(slow.out.find("</think>") + 8);
  answer = answer.substr(answer.find_first_not_of('\n'));
  answer = answer.substr(0, answer.find("\nLet me"));  // with which the second answer begins
  const OrderedJson question = {{"role", "user"}, {"content", kQuestion.substr(0, kQuestion.size() - 1)}};
  OrderedJson row = OrderedJson::object();
  row["messages"] = {question, {{"role", "assistant"}, {"content", answer}}, question};
  const Outcome run = kvgauge({"run", "--input", "-", "--max-tokens", "1", "--quiet"}, row.dump() + "\n");
  EXPECT_EQ(rows_of(run.out).at(0)["usage"]["prompt_tokens"], turns[1].second) << slow.out;
}

TEST(Chat, AutomaticThinkingShowsWhatItDoes) {
  TempDir dir;
  const std::string head = write_head(dir.path() / "head", 80);
  const Outcome outcome = kvgauge(
      chat({"--think", "auto", "--difficulty", head, "--tau-fast", "10", "--max-switches", "0"}), kQuestion + kOther);
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_EQ(count(outcome.err, "d 80.0 | slow > answer at "), 2) << outcome.err;
  const Outcome off = kvgauge(chat({"--think", "off", "--difficulty", head}), kQuestion);
  EXPECT_NE(off.err.find("d 80.0 | fast | "), std::string::npos) << off.err;
}

TEST(Chat, CommandsThatCannotBeEndNothing) {
  const Outcome outcome =
      kvgauge(chat({"--think", "off"}), "/think auto\n/think loud\n/rset\n//\n" + kQuestion + "/quit\n" + kOther);
  EXPECT_EQ(outcome.exit, 1) << "lines failed";
  EXPECT_NE(outcome.err.find("--difficulty"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("loud"), std::string::npos);
  EXPECT_NE(outcome.err.find("did you mean /reset?"), std::string::npos);
  EXPECT_EQ(cached(outcome.err).size(), 2u) << "'//' is a turn, nothing behind /quit is";
  const Outcome bytes = kvgauge(chat({"--think", "off"}), "\xff\n" + kQuestion);
  EXPECT_EQ(bytes.exit, 1);
  EXPECT_NE(bytes.err.find("UTF-8"), std::string::npos);
  EXPECT_EQ(count(bytes.out, "####"), 1);
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "apple ";
  const Outcome longer = kvgauge(chat({"--think", "off"}), kQuestion + words + "\n" + kQuestion);
  EXPECT_EQ(longer.exit, 1);
  EXPECT_NE(longer.err.find("/reset"), std::string::npos) << longer.err;
  EXPECT_EQ(count(longer.out, "####"), 2) << "the conversation goes on without it";
}

TEST(Chat, WhatCannotBeIsRefused) {
  const auto refused = [](const Words& words, int exit, const std::string& said) {
    const Outcome outcome = kvgauge(chat(words), kQuestion);
    EXPECT_EQ(outcome.exit, exit);
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.err.find(said), std::string::npos) << outcome.err;
  };
  refused({"--think", "auto"}, 2, "--difficulty");
  refused({"--tau", "40"}, 2, "--tau");
  refused({"--max-batch", "4"}, 2, "--max-batch");
  refused({"--difficulty", "nowhere"}, 3, "nowhere");
}

// The program under test with lines that come over a pipe, which stays open.
class Talk {
 public:
  explicit Talk(const Words& more) {
    const std::string pipe = (dir_.path() / "in").string();
    ::mkfifo(pipe.c_str(), 0600);
    Words words = chat(more);
    out_ = (dir_.path() / "out").string();
    err_ = (dir_.path() / "err").string();
    pid_ = ::fork();
    if (pid_ == 0) {
      const int files[] = {::open(pipe.c_str(), O_RDONLY), ::open(out_.c_str(), O_WRONLY | O_CREAT, 0600),
                           ::open(err_.c_str(), O_WRONLY | O_CREAT, 0600)};
      for (int i = 0; i < 3; ++i) ::dup2(files[i], i);
      std::vector<char*> argv;
      std::string binary = KVGAUGE_BINARY;
      argv.push_back(binary.data());
      for (std::string& word : words) argv.push_back(word.data());
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    in_ = ::open(pipe.c_str(), O_WRONLY);
  }
  ~Talk() {
    if (in_ >= 0) ::close(in_);
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Talk(const Talk&) = delete;
  Talk& operator=(const Talk&) = delete;

  void say(const std::string& text) const {
    ASSERT_EQ(::write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void interrupt(int number = SIGINT) const { ::kill(pid_, number); }
  std::string out() const { return std::filesystem::exists(out_) ? read_file(out_) : ""; }
  std::string err() const { return std::filesystem::exists(err_) ? read_file(err_) : ""; }
  // False if it takes longer than a minute.
  template <class Condition>
  bool wait_until(Condition condition) const {
    for (int i = 0; i < 6000; ++i, std::this_thread::sleep_for(std::chrono::milliseconds(10)))
      if (condition()) return true;
    return false;
  }
  int end() {
    ::close(std::exchange(in_, -1));
    return status();
  }
  int status() {
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
  }

 private:
  TempDir dir_;
  std::string out_, err_;
  pid_t pid_ = -1;
  int in_ = -1;
};

// Of unlikely tokens: with this seed the first answer goes on for hundreds of them.
const Words kBabble = {"--temperature", "50", "--think", "off"};

TEST(Chat, CtrlCEndsTheAnswerAndNotTheConversation) {
  Talk talk(kBabble);
  talk.say(kQuestion);
  ASSERT_TRUE(talk.wait_until([&] { return talk.out().size() > 8; })) << "streams: " << talk.err();
  talk.interrupt();
  ASSERT_TRUE(talk.wait_until([&] { return !cached(talk.err()).empty(); })) << talk.err();
  EXPECT_NE(talk.err().find("[ended by Ctrl-C"), std::string::npos) << talk.err();
  talk.say("/reset\n" + kQuestion);
  ASSERT_TRUE(talk.wait_until([&] { return cached(talk.err()).size() == 2; })) << "it answers again: " << talk.err();
  EXPECT_EQ(talk.end(), 0) << talk.err();
}

TEST(Chat, CtrlCBetweenAnswersLeaves) {
  Talk talk({"--think", "off"});
  talk.say(kQuestion);
  ASSERT_TRUE(talk.wait_until([&] { return !cached(talk.err()).empty(); })) << talk.err();
  talk.interrupt();
  EXPECT_EQ(talk.status(), 130);
}

TEST(Chat, SigtermLeavesInTheMiddleOfAnAnswer) {
  Talk talk(kBabble);
  talk.say(kQuestion + kQuestion);
  ASSERT_TRUE(talk.wait_until([&] { return talk.out().size() > 8; }));
  talk.interrupt(SIGTERM);
  EXPECT_EQ(talk.status(), 130);
}

}  // namespace
}  // namespace kvgauge::testing
