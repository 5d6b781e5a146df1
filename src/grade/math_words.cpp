#include "grade/math_words.h"

#include <algorithm>
#include <iterator>

namespace kvgauge::math {
namespace {

struct Entry {
  std::string_view from;
  const char* to;
};

template <std::size_t n>
const char* find(const Entry (&entries)[n], std::string_view word) {
  const auto at = std::find_if(std::begin(entries), std::end(entries), [&](const Entry& e) { return e.from == word; });
  return at == std::end(entries) ? nullptr : at->to;
}

template <std::size_t n>
bool contains(const std::string_view (&words)[n], std::string_view word) {
  return std::find(std::begin(words), std::end(words), word) != std::end(words);
}

constexpr Entry kFunctions[] = {
    {"sin", "sin"},         {"cos", "cos"},         {"tan", "tan"},         {"cot", "cot"},
    {"sec", "sec"},         {"csc", "csc"},         {"arcsin", "arcsin"},   {"arccos", "arccos"},
    {"arctan", "arctan"},   {"arccot", "arccot"},   {"arcsec", "arcsec"},   {"arccsc", "arccsc"},
    {"asin", "arcsin"},     {"acos", "arccos"},     {"atan", "arctan"},     {"sinh", "sinh"},
    {"cosh", "cosh"},       {"tanh", "tanh"},       {"coth", "coth"},       {"sech", "sech"},
    {"csch", "csch"},       {"ln", "ln"},           {"log", "log"},         {"lg", "lg"},
    {"exp", "exp"},         {"abs", "abs"},         {"floor", "floor"},     {"ceil", "ceil"},
    {"cbrt", "cbrt"},       {"arsinh", "arcsinh"},  {"arcosh", "arccosh"},  {"artanh", "arctanh"},
    {"arcsinh", "arcsinh"}, {"arccosh", "arccosh"}, {"arctanh", "arctanh"}, {"gcd", "gcd"},
    {"lcm", "lcm"},         {"max", "max"},         {"min", "min"},         {"det", "det"},
    {"cis", "cis"},         {"Re", "re"},           {"Im", "im"},
};

constexpr Entry kCommandSigns[] = {
    {"frac", "frac"},
    {"dfrac", "frac"},
    {"tfrac", "frac"},
    {"cfrac", "frac"},
    {"nicefrac", "frac"},
    {"sfrac", "frac"},
    {"sqrt", "sqrt"},
    {"binom", "binom"},
    {"dbinom", "binom"},
    {"tbinom", "binom"},
    {"choose", "choose"},
    {"over", "over"},
    {"cdot", "*"},
    {"times", "*"},
    {"ast", "*"},
    {"bullet", "*"},
    {"div", "/"},
    {"pm", "pm"},
    {"mp", "mp"},
    {"le", "<="},
    {"leq", "<="},
    {"leqslant", "<="},
    {"leqq", "<="},
    {"ge", ">="},
    {"geq", ">="},
    {"geqslant", ">="},
    {"geqq", ">="},
    {"lt", "<"},
    {"gt", ">"},
    {"ne", "!="},
    {"neq", "!="},
    {"approx", "~"},
    {"simeq", "~"},
    {"sim", "~"},
    {"approxeq", "~"},
    {"equiv", "="},
    {"in", "in"},
    {"cup", "cup"},
    {"bigcup", "cup"},
    {"cap", "cap"},
    {"bigcap", "cap"},
    {"setminus", "minus"},
    {"smallsetminus", "minus"},
    {"backslash", "minus"},
    {"mid", "mid"},
    {"vert", "|"},
    {"lvert", "|"},
    {"rvert", "|"},
    {"Vert", "|"},
    {"lVert", "|"},
    {"rVert", "|"},
    {"langle", "("},
    {"rangle", ")"},
    {"lparen", "("},
    {"rparen", ")"},
    {"lbrack", "["},
    {"rbrack", "]"},
    {"lbrace", "\\{"},
    {"rbrace", "\\}"},
    {"lfloor", "floor("},
    {"rfloor", "floor)"},
    {"lceil", "ceil("},
    {"rceil", "ceil)"},
    {"circ", "deg"},
    {"degree", "deg"},
    {"land", "and"},
    {"wedge", "and"},
    {"lor", "or"},
    {"vee", "or"},
    {"pmod", "mod"},
    {"bmod", "mod"},
    {"mod", "mod"},
    {"colon", ":"},
    {"factorial", "!"},
    {"percent", "%"},
};

constexpr Entry kPlainCommands[] = {
    {"pi", "\\pi"},          {"Pi", "\\pi"},           {"PI", "\\pi"},          {"infinity", "\\infty"},
    {"Infinity", "\\infty"}, {"infty", "\\infty"},     {"inf", "\\infty"},      {"oo", "\\infty"},
    {"theta", "\\theta"},    {"alpha", "\\alpha"},     {"beta", "\\beta"},      {"gamma", "\\gamma"},
    {"delta", "\\delta"},    {"lambda", "\\lambda"},   {"omega", "\\omega"},    {"sigma", "\\sigma"},
    {"phi", "\\phi"},        {"sqrt", "\\sqrt"},       {"and", "\\land"},       {"or", "\\lor"},
    {"union", "\\cup"},      {"mod", "\\bmod"},        {"degrees", "\\degree"}, {"degree", "\\degree"},
    {"deg", "\\degree"},     {"percent", "\\percent"}, {"times", "\\times"},    {"emptyset", "\\emptyset"},
};

constexpr std::string_view kUnits[] = {
    "cup", "cups", "tsp",    "tbsp", "pts",   "kmh",   "cm",    "mm",  "km",    "dm",    "nm",    "ft",
    "in",  "inch", "inches", "feet", "foot",  "yd",    "yards", "mi",  "miles", "mile",  "kg",    "mg",
    "lb",  "lbs",  "oz",     "ml",   "mL",    "kL",    "cc",    "gal", "hr",    "hrs",   "min",   "mins",
    "sec", "secs", "ms",     "days", "day",   "mph",   "kph",   "kmh", "Hz",    "kHz",   "MHz",   "GHz",
    "kJ",  "MJ",   "eV",     "keV",  "MeV",   "GeV",   "kW",    "MW",  "kWh",   "kPa",   "Pa",    "MPa",
    "atm", "mol",  "kN",     "USD",  "cents", "units", "unit",  "sq",  "cu",    "rad",   "bits",  "bit",
    "rpm", "dB",   "mA",     "mV",   "kV",    "Wb",    "mT",    "ohm", "ohms",  "years", "hours", "hour",
};

constexpr std::string_view kShortWords[] = {
    "no",  "yes", "on",  "not", "odd", "red", "one", "two", "six", "ten", "day", "May", "Sun", "Mon", "Tue",
    "Wed", "Thu", "Fri", "Sat", "Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    "Bob", "Sam", "Tom", "Tim", "Jim", "Joe", "Ann", "Amy", "Dan", "Ben", "Ted", "Kim", "Roy", "Ron", "Eve",
    "Leo", "Max", "Meg", "Pat", "Pam", "Sue", "the", "of",  "is",  "are", "it",  "he",  "she", "all", "any",
    "non", "up",  "out", "to",  "at",  "by",  "as",  "if",  "DNE", "dne", "AM",  "PM",  "am",  "a.m", "No",
    "Yes", "Odd", "Red", "NO",  "YES", "big", "low", "can", "man", "boy", "car", "bus", "cat", "dog", "top",
    "tie", "win", "end", "Lee", "Mia", "USD", "EUR", "Zoe", "Ian", "Jon", "Kay", "Liz", "Ray", "Rob",
};

constexpr std::string_view kDecorations[] = {
    "left",       "right",    "middle",       "big",       "Big",     "bigg",     "Bigg",
    "bigl",       "bigr",     "Bigl",         "Bigr",      "biggl",   "biggr",    "Biggl",
    "Biggr",      "quad",     "qquad",        "rm",        "bf",      "it",       "displaystyle",
    "textstyle",  "limits",   "nolimits",     "thinspace", "boxed",   "fbox",     "mathbf",
    "boldsymbol", "bm",       "mathit",       "mathcal",   "mathscr", "vec",      "overrightarrow",
    "hat",        "widehat",  "scriptstyle",  "enspace",   "space",   "nobreak",  "Large",
    "large",      "medspace", "negthinspace", "hline",     "angle",   "triangle", "ensuremath",
};

constexpr std::string_view kTextCommands[] = {
    "text", "textbf", "textit", "textrm", "textsf",       "texttt", "textnormal", "textup", "mbox",
    "hbox", "mathrm", "mathsf", "mathtt", "operatorname", "emph",   "underline",  "textsc", "tt",
};

constexpr Entry kNumberWords[] = {
    {"zero", "0"},     {"one", "1"},      {"two", "2"},        {"three", "3"},     {"four", "4"},
    {"five", "5"},     {"six", "6"},      {"seven", "7"},      {"eight", "8"},     {"nine", "9"},
    {"ten", "10"},     {"eleven", "11"},  {"twelve", "12"},    {"thirteen", "13"}, {"fourteen", "14"},
    {"fifteen", "15"}, {"sixteen", "16"}, {"seventeen", "17"}, {"eighteen", "18"}, {"nineteen", "19"},
    {"twenty", "20"},  {"thirty", "30"},  {"forty", "40"},     {"fifty", "50"},    {"sixty", "60"},
    {"seventy", "70"}, {"eighty", "80"},  {"ninety", "90"},    {"hundred", "100"}, {"thousand", "1000"},
};

}  // namespace

const char* function_name(std::string_view word) { return find(kFunctions, word); }
const char* command_sign(std::string_view command) { return find(kCommandSigns, command); }
const char* plain_command(std::string_view word) { return find(kPlainCommands, word); }
bool is_unit(std::string_view word) { return contains(kUnits, word); }
bool is_short_word(std::string_view word) { return contains(kShortWords, word); }
bool is_decoration(std::string_view command) { return contains(kDecorations, command); }
bool is_text_command(std::string_view command) { return contains(kTextCommands, command); }
const char* digits_of_word(std::string_view word) { return find(kNumberWords, word); }

}  // namespace kvgauge::math
