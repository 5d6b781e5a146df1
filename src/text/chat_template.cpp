#include "text/chat_template.h"

#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

namespace kvgauge {

struct ChatTemplate::Impl {
  std::string where;
  jinja::Limits limits;
  jinja::Block block;
};

ChatTemplate::ChatTemplate(std::string source, std::string_view where)
    : impl_(std::make_unique<Impl>(Impl{std::string(where), {}, jinja::parse_template(source, where, {})})) {}

ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;
ChatTemplate::~ChatTemplate() = default;

std::string ChatTemplate::render(const OrderedJson& variables) const {
  return jinja::render_template(impl_->block, variables, impl_->where, impl_->limits);
}

}  // namespace kvgauge
