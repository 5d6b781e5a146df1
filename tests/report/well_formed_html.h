#pragma once
#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/cat.h"

namespace kvgauge::testing {

/// Checks that a document is a tree: tags open and close in order, attributes are quoted, text has no bare markup
/// character, ids occur once. Of the document type, comments and scripts it knows nothing: they are faults here.
class WellFormed {
 public:
  explicit WellFormed(std::string_view html) : text_(html) {
    static constexpr std::string_view kType = "<!DOCTYPE html>\n";
    if (!text_.starts_with(kType)) fail("no document type");
    at_ = kType.size();
    while (at_ < text_.size() && fault_.empty()) text_[at_] == '<' ? tag() : character();
    if (fault_.empty() && !open_.empty()) fail("not closed: " + open_.back());
  }
  const std::string& fault() const { return fault_; }
  const std::multiset<std::string>& tags() const { return tags_; }

 private:
  void fail(const std::string& what) {
    if (fault_.empty()) fault_ = cat(what, " at byte ", at_, ": ", text_.substr(at_, 80));
  }

  void character() {
    const char c = text_[at_];
    const bool in_style = !open_.empty() && open_.back() == "style";
    if (c == '&') {
      bool known = false;
      for (const char* const entity : {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"})
        known = known || text_.substr(at_).starts_with(entity);
      if (!known) fail("a bare &");
    }
    if (c == '>' && !in_style) fail("a bare >");
    if (static_cast<unsigned char>(c) < 32 && c != '\n') fail("a control character");
    ++at_;
  }

  void tag() {
    ++at_;
    const bool closing = at_ < text_.size() && text_[at_] == '/';
    if (closing) ++at_;
    std::string name;
    while (at_ < text_.size() && std::isalnum(static_cast<unsigned char>(text_[at_]))) name += text_[at_++];
    if (name.empty()) return fail("a tag without a name");
    const bool ended = attributes();
    if (closing) {
      if (open_.empty() || open_.back() != name) return fail("closes what is not open: " + name);
      open_.pop_back();
      return;
    }
    tags_.insert(name);
    static const std::set<std::string> kVoid = {"meta"};
    if (!ended && !kVoid.contains(name)) open_.push_back(name);
  }

  // Up to the tag's end; true for "/>".
  bool attributes() {
    std::set<std::string> names;
    while (at_ < text_.size() && text_[at_] != '>') {
      if (text_[at_] == '/') {
        ++at_;
        if (at_ >= text_.size() || text_[at_] != '>') fail("a stray /");
        ++at_;
        return true;
      }
      if (text_[at_] == ' ') {
        ++at_;
        continue;
      }
      std::string name;
      while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '-'))
        name += text_[at_++];
      if (name.empty() || text_.substr(at_, 2) != "=\"") {
        fail("an attribute that is not name=\"value\"");
        return false;
      }
      at_ += 2;
      const std::size_t end = text_.find('"', at_);
      if (end == std::string_view::npos) {
        fail("a value without end");
        return false;
      }
      const std::string value(text_.substr(at_, end - at_));
      at_ = end + 1;
      if (!names.insert(name).second) fail("an attribute twice: " + name);
      if (name == "id" && !ids_.insert(value).second) fail("an id twice: " + value);
      if (value.find('<') != std::string::npos) fail("markup in an attribute");
      if (name.starts_with("on") || name == "src" || name == "href") fail("an attribute that acts: " + name);
    }
    ++at_;
    return false;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string fault_;
  std::vector<std::string> open_;
  std::set<std::string> ids_;
  std::multiset<std::string> tags_;
};

}  // namespace kvgauge::testing
