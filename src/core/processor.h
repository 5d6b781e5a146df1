#pragma once
#include <string>

namespace kvgauge {

/// Cores that this process may run on, at least 1.
int usable_cores();
/// The processor's name as the system gives it; "unknown" where it gives none.
std::string processor_name();

}  // namespace kvgauge
