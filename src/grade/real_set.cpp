#include "grade/real_set.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "grade/compare_number.h"
#include "grade/rewrite.h"

namespace kvgauge::math {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
const End kLeast{-kInfinity, nullptr, false};
const End kMost{kInfinity, nullptr, false};

std::optional<End> end_at(const Expr& e, bool is_closed, Budget& budget) {
  const auto at = real_constant(e, {}, budget);
  if (!at) return std::nullopt;
  if (std::isinf(*at)) return End{*at, nullptr, false};
  return End{*at, &e, is_closed};
}

bool coincide(double a, double b) {
  if (std::isinf(a) || std::isinf(b)) return a == b;
  return std::abs(a - b) <= 1e-9 * std::max(std::abs(a), std::abs(b));
}

bool is_empty(const Interval& i) {
  if (std::isinf(i.low.at) && i.low.at == i.high.at) return true;
  if (coincide(i.low.at, i.high.at)) return !(i.low.is_closed && i.high.is_closed);
  return i.low.at > i.high.at;
}

RealSet merged(RealSet set) {
  set.erase(std::remove_if(set.begin(), set.end(), is_empty), set.end());
  std::sort(set.begin(), set.end(), [](const Interval& a, const Interval& b) {
    return a.low.at != b.low.at ? a.low.at < b.low.at : a.low.is_closed > b.low.is_closed;
  });
  RealSet out;
  for (const Interval& next : set) {
    if (!out.empty()) {
      End& high = out.back().high;
      const bool touches =
          coincide(high.at, next.low.at) ? high.is_closed || next.low.is_closed : next.low.at < high.at;
      if (touches) {
        if (coincide(next.high.at, high.at))
          high.is_closed = high.is_closed || next.high.is_closed;
        else if (next.high.at > high.at)
          high = next.high;
        continue;
      }
    }
    out.push_back(next);
  }
  return out;
}

End opposite(const End& end) { return {end.at, end.exact, end.exact != nullptr && !end.is_closed}; }

RealSet complement(const RealSet& set) {
  RealSet out;
  End low = kLeast;
  for (const Interval& i : set) {
    out.push_back({low, opposite(i.low)});
    low = opposite(i.high);
  }
  out.push_back({low, kMost});
  return merged(std::move(out));
}

RealSet intersection(const RealSet& a, const RealSet& b) {
  RealSet out;
  for (const Interval& i : a)
    for (const Interval& j : b) {
      Interval both = i;
      if (coincide(j.low.at, i.low.at))
        both.low.is_closed = i.low.is_closed && j.low.is_closed;
      else if (j.low.at > i.low.at)
        both.low = j.low;
      if (coincide(j.high.at, i.high.at))
        both.high.is_closed = i.high.is_closed && j.high.is_closed;
      else if (j.high.at < i.high.at)
        both.high = j.high;
      out.push_back(both);
    }
  return merged(std::move(out));
}

// x < c, c >= x, 2 <= x < 5, x != 3: a symbol between or beside constants
std::optional<RealSet> of_inequality(const Expr& e, Budget& budget) {
  RealSet set = {{kLeast, kMost}};
  const Expr* symbol = nullptr;
  for (std::size_t i = 0; i < e.text.size(); ++i) {
    const Expr &left = e.parts[i], &right = e.parts[i + 1];
    const bool symbol_is_left = left.kind == Kind::kSymbol;
    const Expr& variable = symbol_is_left ? left : right;
    if (variable.kind != Kind::kSymbol || (symbol && symbol->text != variable.text)) return std::nullopt;
    symbol = &variable;
    char sign = e.text[i];
    if (!symbol_is_left) sign = sign == '<' ? '>' : sign == '>' ? '<' : sign == 'l' ? 'g' : sign == 'g' ? 'l' : sign;
    const auto end = end_at(symbol_is_left ? right : left, sign == 'l' || sign == 'g', budget);
    if (!end) return std::nullopt;
    switch (sign) {
      case '<':
      case 'l': set = intersection(set, {{kLeast, *end}}); break;
      case '>':
      case 'g': set = intersection(set, {{*end, kMost}}); break;
      case 'n': set = intersection(set, {{kLeast, *end}, {*end, kMost}}); break;
      default: return std::nullopt;
    }
  }
  return set;
}

std::optional<RealSet> of_bracket(const Expr& e, Budget& budget) {
  if (e.parts.size() != 2) return std::nullopt;
  const auto low = end_at(e.parts[0], e.text[0] == '[', budget), high = end_at(e.parts[1], e.text[1] == ']', budget);
  if (!low || !high || low->at > high->at) return std::nullopt;
  return merged({{*low, *high}});
}

std::optional<RealSet> of_points(const Expr& e, Budget& budget) {
  RealSet set;
  for (const Expr& part : e.parts) {
    const auto end = end_at(part, true, budget);
    if (!end || !end->exact) return std::nullopt;
    set.push_back({*end, *end});
  }
  return merged(std::move(set));
}

// x > -1, x < 2 hold together; x < 2, x > 3 cannot, and mean one or the other.
std::optional<RealSet> of_conditions(const Expr& e, Budget& budget) {
  RealSet all = {{kLeast, kMost}}, any;
  for (const Expr& part : e.parts) {
    if (part.kind != Kind::kRelation) return std::nullopt;
    const auto next = of_inequality(part, budget);
    if (!next || !budget.spend(static_cast<std::int64_t>(any.size() + 1))) return std::nullopt;
    all = intersection(all, *next);
    any.insert(any.end(), next->begin(), next->end());
    any = merged(std::move(any));
  }
  return all.empty() ? any : all;
}

bool same_end(const End& a, const End& b, Budget& budget) {
  if (a.is_closed != b.is_closed || (a.exact == nullptr) != (b.exact == nullptr)) return false;
  return a.exact ? same_number(*a.exact, *b.exact, budget) : a.at == b.at;
}

}  // namespace

std::optional<RealSet> real_set(const Expr& e, Budget& budget) {
  switch (e.kind) {
    case Kind::kBracket: return of_bracket(e, budget);
    case Kind::kSet: return of_points(e, budget);
    case Kind::kNamedSet: return e.text == "R" ? std::optional<RealSet>({{kLeast, kMost}}) : std::nullopt;
    case Kind::kRelation:
      if (const Expr* const said = said_by(e); said && e.text == "e") return real_set(*said, budget);
      return of_inequality(e, budget);
    case Kind::kUnion:
    case Kind::kIntersection:
    case Kind::kDifference: break;
    case Kind::kList: return of_conditions(e, budget);
    default: return std::nullopt;
  }
  std::optional<RealSet> total;
  for (const Expr& part : e.parts) {
    const auto next = real_set(part, budget);
    if (!next || next->size() > 200) return std::nullopt;
    if (!total) {
      total = next;
    } else if (e.kind == Kind::kUnion) {
      total->insert(total->end(), next->begin(), next->end());
      total = merged(std::move(*total));
    } else {
      total = intersection(*total, e.kind == Kind::kIntersection ? *next : complement(*next));
    }
    if (!budget.spend(static_cast<std::int64_t>(total->size() + next->size()))) return std::nullopt;
  }
  return total;
}

bool same_set(const RealSet& a, const RealSet& b, Budget& budget) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](const Interval& i, const Interval& j) {
    return same_end(i.low, j.low, budget) && same_end(i.high, j.high, budget);
  });
}

}  // namespace kvgauge::math
