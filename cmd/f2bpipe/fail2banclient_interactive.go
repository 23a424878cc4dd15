package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// prompt stands before every command that is asked for.
const prompt = "fail2ban> "

// converse asks for commands until exit, quit or the end of stdin.
func (t *theirs) converse(ctx context.Context, out *bufio.Writer) bool {
	if len(t.args) > 0 && !t.command(ctx, out, t.args) {
		return false
	}
	fmt.Fprintf(t.out, "Fail2Ban v%s, answered by f2bpipe %s. help shows the commands, exit ends.\n\n", theirVersion, version)
	lines := bufio.NewScanner(t.in)
	for {
		fmt.Fprint(t.out, prompt)
		_ = out.Flush() // an error shows at the end
		if !lines.Scan() || ctx.Err() != nil {
			fmt.Fprintln(t.out)
			return false
		}
		words, err := shellWords(lines.Text())
		switch {
		case err != nil:
			t.fail("%v", err)
		case len(words) == 0:
		case len(words) == 1 && (words[0] == "exit" || words[0] == "quit"):
			return true
		default:
			t.command(ctx, out, words)
		}
	}
}

// pythonError is an error in the words of Python's shlex.
type pythonError string

// Error implements error.
func (e pythonError) Error() string { return string(e) }

// shellWords splits a line as a shell would: quotes and backslashes are taken
// off, and nothing is expanded.
func shellWords(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quote == 0 && (c == ' ' || c == '\t'):
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'':
			if i++; i == len(line) {
				return nil, pythonError("No escaped character")
			}
			if quote == '"' && line[i] != '"' && line[i] != '\\' {
				word.WriteByte('\\')
			}
			word.WriteByte(line[i])
			inWord = true
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, pythonError("No closing quotation")
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
