#pragma once
#include <memory>
#include <string>
#include <vector>

#include "text/jinja_value.h"

namespace kvgauge::jinja {

struct Filter;
struct Test;

enum class ExprKind {
  kConstant,
  kName,
  kAttribute,
  kItem,
  kSlice,
  kCall,
  kFilter,
  kTest,
  kNot,
  kNegate,
  kPlus,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kConcat,
  kCompare,
  kAnd,
  kOr,
  kConditional,
  kList,
  kTuple,
  kDict
};
enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

/// Operands by kind: attribute [object], item [object, key], slice [object, begin, end, step] (absent ones null),
/// call and filter and test [callee or subject (null in a filter block), arguments...] of which the last
/// names.size() are keyword arguments, conditional [then, condition, otherwise or null], dict [key, value, ...].
struct Expr {
  ExprKind kind;
  Position position;
  int depth = 1;     ///< height of the tree, bounded by kMaxSyntaxDepth
  std::string text;  ///< name, attribute or string literal
  Value constant;
  bool is_negated = false;  ///< `is not`
  std::vector<std::unique_ptr<Expr>> operands;
  std::vector<std::string> names;
  std::vector<Comparison> comparisons;
  const Filter* filter = nullptr;
  const Test* test = nullptr;
};
using ExprPtr = std::unique_ptr<Expr>;

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

enum class StmtKind {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kWith,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kScope,
  kBreak,
  kContinue
};

struct Branch {
  ExprPtr condition;
  Block body;
};

struct Stmt {
  StmtKind kind;
  Position position;
  std::string text;              ///< kText: the data; kMacro: its name
  ExprPtr target;                ///< kFor, kSet, kSetBlock
  ExprPtr value;                 ///< output, iterable, assigned value, call, or the chain of filters
  ExprPtr condition;             ///< the `if` of a for
  std::vector<Branch> branches;  ///< kIf: if and every elif
  Block body;
  Block otherwise;                      ///< else of an if or of a for
  std::vector<std::string> parameters;  ///< kMacro, kCallBlock; kWith: the names
  std::vector<ExprPtr> defaults;        ///< of the last parameters; kWith: the values
};

}  // namespace kvgauge::jinja
