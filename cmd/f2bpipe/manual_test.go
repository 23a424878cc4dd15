package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

var updateManual = flag.Bool("update-manual", false, "write the manual pages and completions of packaging anew")

// TestManual holds the manual pages and the shells' completions that are
// packaged to the grammar of the command line.
func TestManual(t *testing.T) {
	var cli commands
	parser, err := kong.New(&cli, kong.Name("f2bpipe"))
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(testenv.Root(t), "packaging")
	files := map[string]string{}
	list := visible(parser.Model.Node)
	files["man/f2bpipe.1"] = overviewPage(list)
	for _, c := range list {
		files["man/f2bpipe-"+c.Name+".1"] = commandPage(c)
	}
	files["completions/f2bpipe.bash"] = bashCompletion(list)
	files["completions/f2bpipe.zsh"] = zshCompletion(list)
	files["completions/f2bpipe.fish"] = fishCompletion(list)
	there, err := filepath.Glob(filepath.Join(root, "man", "f2bpipe*.1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range there {
		if name := "man/" + filepath.Base(path); files[name] == "" {
			if *updateManual {
				_ = os.Remove(path)
				continue
			}
			t.Errorf("packaging/%s is of a command that is no more", name)
		}
	}
	for name, want := range files {
		path := filepath.Join(root, name)
		if *updateManual {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("packaging/%s is not that of the command line (%v); write it anew: go test ./cmd/f2bpipe -run TestManual -update-manual", name, err)
		}
	}
}

// visible returns the commands of a grammar that its help shows.
func visible(n *kong.Node) (list []*kong.Node) {
	for _, c := range n.Children {
		if !c.Hidden && c.Type == kong.CommandNode {
			list = append(list, c)
		}
	}
	return list
}

// flagsOf returns a command's own flags.
func flagsOf(c *kong.Node) (list []*kong.Flag) {
	for _, f := range c.Flags {
		if !f.Hidden && f.Name != "help" {
			list = append(list, f)
		}
	}
	return list
}

// roff quotes text for a manual page.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...").Replace(text)
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// argument writes a positional argument as a usage line has it.
func argument(p *kong.Positional) string {
	name := `\fI` + roff(strings.ToUpper(p.Name)) + `\fR`
	if p.IsCumulative() {
		name += " ..."
	}
	if !p.Required {
		name = "[" + name + "]"
	}
	return name
}

// value is what a flag takes, or "".
func value(f *kong.Flag) string {
	switch {
	case f.IsBool() || f.IsCounter():
		return ""
	case f.PlaceHolder != "":
		return f.PlaceHolder
	}
	return strings.ToUpper(f.Name)
}

const pageHead = `.\" Written by: go test ./cmd/f2bpipe -run TestManual -update-manual
.TH %s 1 "" f2bpipe "User Commands"
.SH NAME
%s \- %s
`

func overviewPage(list []*kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, pageHead, "F2BPIPE", "f2bpipe", "fail2ban's configuration, filters and commands in a stream pipeline")
	b.WriteString(`.SH SYNOPSIS
.B f2bpipe
.I COMMAND
[\fIOPTION\fR ...] [\fIARGUMENT\fR ...]
.SH DESCRIPTION
f2bpipe reads log files, the journal or its standard input, finds the failures
that fail2ban's filters describe, counts them per address in a window and bans
in nftables.
It reads the configuration of /etc/f2bpipe if that holds a jail.* file, else of
/etc/fail2ban, over a configuration of its own that is built in.
.SH COMMANDS
`)
	for _, c := range list {
		fmt.Fprintf(&b, ".TP\n.BR f2bpipe\\-%s (1)\n%s\n", roff(c.Name), roff(c.Help))
	}
	b.WriteString(`.SH FILES
.TP
.I /etc/f2bpipe/jail.local, /etc/fail2ban/jail.local
The jails, as in
.BR jail.conf (5)
of fail2ban.
.TP
.I /var/lib/fail2ban/fail2ban.sqlite3
Bans, their history and the positions in the logs (option dbfile).
.TP
.I /run/fail2ban/fail2ban.sock
The control socket (option socket).
.TP
.I /usr/share/f2bpipe/stock
The built\-in configuration, to read.
.TP
.I /usr/share/f2bpipe/actions.conf
What the systemd unit can be permitted for actions by command.
.SH EXIT STATUS
0 done, 1 failed, 2 usage.
Under the names fail2ban\-client, fail2ban\-server and fail2ban\-regex it is theirs.
.SH SIGNALS
.TP
.B SIGTERM, SIGINT
End the service.
.TP
.B SIGHUP
Read the configuration again.
.TP
.B SIGUSR1
Open the log anew.
.SH SEE ALSO
.BR systemctl (1),
.BR nft (8)
`)
	return b.String()
}

func commandPage(c *kong.Node) string {
	var b strings.Builder
	name := "f2bpipe-" + c.Name
	help := strings.TrimSuffix(c.Help, ".")
	fmt.Fprintf(&b, pageHead, strings.ToUpper(roff(name)), roff(name), roff(lowerFirst(help)))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B f2bpipe %s\n[\\fIOPTION\\fR ...]", roff(c.Name))
	for _, p := range c.Positional {
		fmt.Fprintf(&b, " %s", argument(p))
	}
	fmt.Fprintf(&b, "\n.SH DESCRIPTION\n%s\n", roff(c.Help))
	for _, p := range c.Positional {
		fmt.Fprintf(&b, ".TP\n\\fI%s\\fR\n%s\n", roff(strings.ToUpper(p.Name)), roff(p.Help))
	}
	if flags := flagsOf(c); len(flags) > 0 {
		b.WriteString(".SH OPTIONS\n")
		for _, f := range flags {
			head := `\fB\-\-` + roff(f.Name) + `\fR`
			if f.Short != 0 {
				head = `\fB\-` + string(f.Short) + `\fR, ` + head
			}
			if v := value(f); v != "" {
				head += `=\fI` + roff(v) + `\fR`
			}
			fmt.Fprintf(&b, ".TP\n%s\n%s\n", head, roff(f.Help))
		}
	}
	if c.Detail != "" {
		fmt.Fprintf(&b, ".SH DETAILS\n.nf\n%s\n.fi\n", roff(c.Detail))
	}
	b.WriteString(".SH SEE ALSO\n.BR f2bpipe (1)\n")
	return b.String()
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}
