#pragma once
#include "core/json.h"
#include "report/input_row.h"

namespace kvgauge {

/// The request of an OpenAI batch row. Parameters that would change the answer and that we do not have are refused by
/// name, unless they stand at the value that changes nothing. @throws RequestError
void read_batch_body(InputRow& row, const OrderedJson& fields, const OrderedJson& body);

/// chat_template_kwargs: {"enable_thinking": true|false}. @throws RequestError
void read_template_arguments(InputRow& row, const OrderedJson& fields);

}  // namespace kvgauge
