// Package formula evaluates the arithmetic expressions of fail2ban's
// configuration, bantime.formula and bantime.factor, as Python would: integers
// of any size and floats, + - * / // % ** << >> & | ^ ~, comparisons (chained),
// and, or, not, "x if c else y", parentheses, the functions abs, bool, float,
// int, max, min, pow, round and those of math, and the names that the caller
// gives it (ban.Time, ban.Count, banFactor).
//
// It is no interpreter: there are no statements, texts, lists, attributes or
// calls but those. Work and memory are bounded: an expression has at most
// [MaxSource] bytes and an integer at most [MaxBits] bits, so that 9**9**9 is
// an error and not a hung server.
package formula
