#include "label_task.h"

#include "gold_answer.h"
#include "kvgauge/error.h"
#include "report/label_row.h"

namespace kvgauge::cli {
namespace {

constexpr std::int64_t kFast = 0, kSlow = 1, kFirstClosing = 2;
constexpr std::uint64_t kStreamsOfARow = std::uint64_t{1} << 24;

void append(std::vector<std::int32_t>& to, const std::vector<std::int32_t>& tokens) {
  to.insert(to.end(), tokens.begin(), tokens.end());
}

class LabelTask : public RowTask {
 public:
  LabelTask(const LabelPlan& plan, const InputRow& input) : plan_(plan), input_(input) {
    if (input.form == RowForm::kBatch)
      throw RequestError("a batch row brings settings of its own; messages or a question were needed");
    auto gold = gold_of(input.carried);
    if (!gold) throw RequestError("no right answer to grade by, one of gold, answer or solution was needed");
    gold_ = std::move(*gold);
  }

  std::vector<Request> begin() override {
    const ThinkTags& tags = plan_.prompts.tags();
    std::vector<std::int32_t> fast = plan_.prompts.fast(input_);
    append(fast, tags.fast_prefix);
    row_.prompt_ids = plan_.prompts.slow(input_);
    slow_prompt_ = row_.prompt_ids;
    append(slow_prompt_, tags.open);
    std::vector<Request> requests;
    requests.push_back(request(std::move(fast), plan_.fast_tokens, plan_.seeds, kFast));
    requests.push_back(request(slow_prompt_, plan_.slow_tokens, plan_.seeds, kSlow));
    return requests;
  }

  std::vector<Request> accept(std::int64_t number, Finished finished) override {
    usage_.prompt += finished.prompt_tokens;
    usage_.cached += finished.cached_tokens;
    for (const Answer& answer : finished.answers) usage_.completion += std::ssize(answer.tokens);
    if (number >= kFirstClosing) {
      LabelledGeneration& closing = row_.checkpoints[static_cast<std::size_t>(number - kFirstClosing)].closing;
      closing = graded(finished.answers.front());
      closing.output_ids.clear();
      return {};
    }
    auto& generations = number == kFast ? row_.fast : row_.slow;
    for (const Answer& answer : finished.answers) generations.push_back(graded(answer));
    const bool has_checkpoints =
        plan_.checkpoints && (plan_.checkpoint_questions == 0 || input_.index < plan_.checkpoint_questions);
    return number == kSlow && has_checkpoints ? closings() : std::vector<Request>{};
  }

  OrderedJson row() override {
    row_.id = input_.id;
    row_.index = input_.index;
    row_.label = label_of(row_, plan_.rule);
    row_.model = plan_.model;
    row_.template_set = plan_.prompts.id();
    if (input_.messages.is_null()) row_.question = input_.prompt;
    row_.open_ids = plan_.prompts.tags().open;
    OrderedJson json = label_row_json(row_, input_.carried);
    json["usage"] = {
        {"prompt_tokens", usage_.prompt}, {"cached_tokens", usage_.cached}, {"completion_tokens", usage_.completion}};
    json["error"] = nullptr;
    return json;
  }

 private:
  Request request(std::vector<std::int32_t> prompt, std::int64_t max_tokens, std::int64_t samples,
                  std::int64_t number) const {
    Request request;
    request.prompt = std::move(prompt);
    request.sampling = plan_.sampling;
    request.stop.max_tokens = max_tokens;
    request.samples = samples;
    request.stream = static_cast<std::uint64_t>(input_.index) * kStreamsOfARow + static_cast<std::uint64_t>(number);
    return request;
  }

  LabelledGeneration graded(const Answer& answer) const {
    LabelledGeneration generation;
    const bool finished = answer.finish_reason != FinishReason::kLength;
    Grade grade = kvgauge::grade(plan_.dataset, answer.text, gold_.text,
                                 {.finished = finished, .answer_type = gold_.answer_type});
    generation.text = answer.text;
    generation.output_ids = answer.tokens;
    generation.predicted = std::move(grade.predicted);
    generation.outcome = {.correct = grade.correct, .tokens = std::ssize(answer.tokens), .finished = finished};
    return generation;
  }

  std::vector<Request> closings() {
    const std::vector<std::int32_t>& slow = row_.slow.front().output_ids;
    const ThinkTags& tags = plan_.prompts.tags();
    std::vector<Request> requests;
    for (const std::int64_t at : checkpoint_places(slow, tags.end, *plan_.checkpoints, [this](std::int32_t token) {
           return plan_.tokenizer->token_bytes(token).find('\n') != std::string_view::npos;
         })) {
      std::vector<std::int32_t> prompt = slow_prompt_;
      prompt.insert(prompt.end(), slow.begin(), slow.begin() + at);
      append(prompt, tags.close);
      if (std::ssize(prompt) >= plan_.context) break;
      row_.checkpoints.push_back({.at = at, .closing = {}});
      requests.push_back(request(std::move(prompt), plan_.fast_tokens, 1, kFirstClosing + std::ssize(requests)));
    }
    return requests;
  }

  const LabelPlan& plan_;
  const InputRow& input_;
  GoldAnswer gold_;
  LabelRow row_;
  std::vector<std::int32_t> slow_prompt_;
  struct {
    std::int64_t prompt = 0, cached = 0, completion = 0;
  } usage_;
};

}  // namespace

std::unique_ptr<RowTask> make_label_task(const LabelPlan& plan, const InputRow& input) {
  return std::make_unique<LabelTask>(plan, input);
}

}  // namespace kvgauge::cli
