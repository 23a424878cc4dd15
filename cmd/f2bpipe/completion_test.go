package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

const completionHead = "# Written by: go test ./cmd/f2bpipe -run TestManual -update-manual\n"

// takesJail says whether an argument or a flag is a jail's name, which the
// service knows.
func takesJail(name string) bool { return name == "jail" }

// jailNames prints the names of the running jails, for a shell.
const jailNames = `f2bpipe status --json 2>/dev/null | sed 's/"sources":.*//' | grep -o '{"name":"[^"]*' | cut -d'"' -f4`

// positionalJail says whether a command's first argument is a jail.
func positionalJail(c *kong.Node) bool {
	return len(c.Positional) > 0 && takesJail(c.Positional[0].Name)
}

func bashCompletion(list []*kong.Node) string {
	var b strings.Builder
	b.WriteString(completionHead)
	b.WriteString(`_f2bpipe() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} flags jails
	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
`)
	names := make([]string, len(list))
	for i, c := range list {
		names[i] = c.Name
	}
	fmt.Fprintf(&b, "\t\tCOMPREPLY=($(compgen -W '--help %s' -- \"$current\"))\n\t\treturn\n\tfi\n\tcase $command in\n", strings.Join(names, " "))
	for _, c := range list {
		words := []string{"--help"}
		for _, f := range flagsOf(c) {
			words = append(words, "--"+f.Name)
		}
		jails := ""
		if positionalJail(c) {
			jails = " jails=1"
		}
		fmt.Fprintf(&b, "\t%s) flags='%s'%s ;;\n", c.Name, strings.Join(words, " "), jails)
	}
	fmt.Fprintf(&b, `	*) return ;;
	esac
	if [ "$previous" = --jail ] || { [ -n "$jails" ] && [[ $current != -* ]]; }; then
		COMPREPLY=($(compgen -W "$(%s)" -- "$current"))
	elif [[ $current == -* ]]; then
		COMPREPLY=($(compgen -W "$flags" -- "$current"))
	fi
}
complete -o default -F _f2bpipe f2bpipe
`, jailNames)
	return b.String()
}

// single quotes text for bash, zsh and fish: in single quotes, none within.
func single(text string) string {
	return "'" + strings.NewReplacer("'", "", `\`, "").Replace(text) + "'"
}

func zshCompletion(list []*kong.Node) string {
	var b strings.Builder
	b.WriteString("#compdef f2bpipe\n" + completionHead)
	b.WriteString("_f2bpipe_jails() { compadd -- ${(f)\"$(" + jailNames + ")\"} }\n_f2bpipe() {\n\tlocal -a commands\n\tcommands=(\n")
	plain := strings.NewReplacer(":", " ", "[", "(", "]", ")")
	for _, c := range list {
		fmt.Fprintf(&b, "\t\t%s\n", single(c.Name+":"+plain.Replace(strings.TrimSuffix(c.Help, "."))))
	}
	b.WriteString("\t)\n\tif (( CURRENT == 2 )); then\n\t\t_describe command commands\n\t\treturn\n\tfi\n\tlocal command=$words[2]\n\tshift words\n\t(( CURRENT-- ))\n\tcase $command in\n")
	for _, c := range list {
		fmt.Fprintf(&b, "\t%s)\n\t\t_arguments", c.Name)
		for _, f := range flagsOf(c) {
			spec := "--" + f.Name
			if value(f) != "" {
				spec += "="
			}
			spec += "[" + plain.Replace(strings.TrimSuffix(f.Help, ".")) + "]"
			switch {
			case takesJail(f.Name):
				spec += ":jail:_f2bpipe_jails"
			case f.Tag.Type == "path" || strings.Contains(f.PlaceHolder, "FILE") || strings.Contains(f.PlaceHolder, "DIR"):
				spec += ":file:_files"
			case value(f) != "":
				spec += ":" + strings.ToLower(plain.Replace(value(f))) + ":"
			}
			fmt.Fprintf(&b, " \\\n\t\t\t%s", single(spec))
		}
		rest := "_files"
		if positionalJail(c) {
			rest = "_f2bpipe_jails"
		}
		if len(c.Positional) > 0 {
			fmt.Fprintf(&b, " \\\n\t\t\t'*:%s:%s'", c.Positional[0].Name, rest)
		}
		b.WriteString("\n\t\t;;\n")
	}
	b.WriteString("\tesac\n}\n_f2bpipe \"$@\"\n")
	return b.String()
}

func fishCompletion(list []*kong.Node) string {
	var b strings.Builder
	b.WriteString(completionHead)
	for _, c := range list {
		fmt.Fprintf(&b, "complete -c f2bpipe -n __fish_use_subcommand -f -a %s -d %s\n", c.Name, single(strings.TrimSuffix(c.Help, ".")))
	}
	for _, c := range list {
		on := "complete -c f2bpipe -n '__fish_seen_subcommand_from " + c.Name + "'"
		if positionalJail(c) {
			fmt.Fprintf(&b, "%s -f -a \"(%s)\"\n", on, strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", `\$`).Replace(jailNames))
		}
		for _, f := range flagsOf(c) {
			fmt.Fprintf(&b, "%s -l %s", on, f.Name)
			if f.Short != 0 {
				fmt.Fprintf(&b, " -s %c", f.Short)
			}
			if value(f) != "" {
				b.WriteString(" -r")
			}
			fmt.Fprintf(&b, " -d %s\n", single(strings.TrimSuffix(f.Help, ".")))
		}
	}
	return b.String()
}

// TestBashCompletion asks bash itself what it would complete.
func TestBashCompletion(t *testing.T) {
	script := filepath.Join(testenv.Root(t), "packaging", "completions", "f2bpipe.bash")
	complete := func(want string, words ...string) {
		t.Helper()
		program := fmt.Sprintf("source %s; COMP_WORDS=(%s); COMP_CWORD=%d; _f2bpipe; echo ${COMPREPLY[@]}", script, strings.Join(words, " "), len(words)-1)
		out, err := exec.Command("bash", "-c", program).CombinedOutput()
		if err != nil {
			t.Fatalf("bash: %v: %s", err, out)
		}
		if got := strings.Fields(string(out)); !slices.Contains(got, want) {
			t.Errorf("%q completes to %q, want %s among it", words, got, want)
		}
	}
	complete("status", "f2bpipe", "sta")
	complete("--force", "f2bpipe", "ban", "--f")
	complete("--dry-run", "f2bpipe", "run", "--d")
}
