package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/sandbox"
	"github.com/f2bpipe/f2bpipe/internal/stock"
)

// The exit statuses.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// stdio is what a command reads and writes.
type stdio struct {
	in       *os.File
	out, err io.Writer
}

// commands is the grammar of the command line.
type commands struct {
	Run     runCmd     `cmd:"" help:"Run the service: all enabled jails, in the foreground."`
	Pipe    pipeCmd    `cmd:"" help:"Read a log on stdin (or files) to its end and ban by one filter or jail."`
	Status  statusCmd  `cmd:"" help:"Show the service's jails and their bans."`
	Ban     banCmd     `cmd:"" help:"Ban addresses, networks or IDs."`
	Unban   unbanCmd   `cmd:"" help:"End bans."`
	Banned  bannedCmd  `cmd:"" help:"List who is banned, or say in which jails an address is."`
	Log     logCmd     `cmd:"" help:"Show the last bans and unbans, or follow them."`
	Reload  reloadCmd  `cmd:"" help:"Read the configuration again and change what has changed."`
	Pause   pauseCmd   `cmd:"" help:"Take all bans out of the kernel for a while: for who is locked out."`
	Stop    stopCmd    `cmd:"" help:"Stop the service and take its bans out of the kernel."`
	Test    testCmd    `cmd:"" help:"Try a filter on a log: what it finds, and nothing else."`
	Check   checkCmd   `cmd:"" help:"Read and compile the configuration: what is wrong with it, and what each jail would do."`
	Dump    dumpCmd    `cmd:"" help:"Print the configuration as the commands that fail2ban-client -d prints."`
	Config  configCmd  `cmd:"" help:"Show the value of every option and the file and line it comes from."`
	Version versionCmd `cmd:"" help:"Show the version."`

	ActionRunner actionRunnerCmd `cmd:"" hidden:"" help:"Run the commands of actions for a service, which starts it."`
}

// configFlag is the flag of every command that reads the configuration.
type configFlag struct {
	Config string `help:"Configuration directory (default: /etc/f2bpipe if it holds a jail file, else /etc/fail2ban)." placeholder:"DIR" type:"existingdir"`
}

// options returns what to read: the directory over the embedded configuration.
func (c configFlag) options() config.Options {
	return config.Options{Dir: c.dir(), Stock: stock.FS(), Superseded: stock.Superseded}
}

// The directories that are looked for, ours first.
const ownDir, fail2banDir = "/etc/f2bpipe", "/etc/fail2ban"

// dir returns the directory that is read.
func (c configFlag) dir() string {
	dir, _ := chooseDir(c.Config, ownDir, fail2banDir)
	return dir
}

// other returns the directory that holds jails too and is not read, or "".
func (c configFlag) other() string {
	_, other := chooseDir(c.Config, ownDir, fail2banDir)
	return other
}

// chooseDir returns the directory that is read, which is the given one if any,
// and of ours and fail2ban's the one that is not although it holds jails.
func chooseDir(given, ours, theirs string) (dir, other string) {
	switch dir = given; {
	case dir != "":
	case holdsJails(ours):
		dir = ours
	default:
		dir = theirs
	}
	switch {
	case dir == ours && holdsJails(theirs):
		other = theirs
	case dir == theirs && holdsJails(ours):
		other = ours
	}
	return dir, other
}

// holdsJails says whether a folder holds a file of jails. One that holds other
// things only, or an empty jail.d (a package's), does not count.
func holdsJails(dir string) bool {
	for _, pattern := range []string{"jail.conf", "jail.local", "jail.d/*.conf", "jail.d/*.local"} {
		if found, _ := filepath.Glob(filepath.Join(dir, pattern)); len(found) > 0 {
			return true
		}
	}
	return false
}

// usageError is a mistake on the command line that the grammar does not catch.
type usageError struct{ error }

// run carries out a command line and returns the exit status.
func run(args []string, std stdio) int {
	switch filepath.Base(args[0]) {
	case "fail2ban-regex":
		return fail2banRegex(args, std)
	case "fail2ban-client", serverName:
		return fail2banProgram(args, std)
	}
	if len(args) == 3 && args[1] == openerName {
		return status(sandbox.ServeOpener(args[2]), std.err)
	}
	if len(args) == 2 && args[1] == "journal-reader" {
		return journalReader(std)
	}
	var cli commands
	exit := -1
	parser, err := kong.New(&cli, kong.Name("f2bpipe"), kong.Description("fail2ban's configuration, filters and commands in a stream pipeline that keeps up with any log."),
		kong.Writers(std.out, std.err), kong.Exit(func(status int) { exit = status }), kong.UsageOnError(), kong.WithHyphenPrefixedParameters(true),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic(err) // the grammar above is wrong
	}
	if len(args) < 2 {
		args = append(args, "--help")
	}
	command, err := parser.Parse(args[1:])
	switch {
	case exit >= 0: // --help
		return exit
	case err != nil:
		fmt.Fprintf(std.err, "f2bpipe: %v\ntry: f2bpipe --help\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := bufio.NewWriter(std.out)
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(&cli, &streams{stdio: std, buffered: out})
	if flushErr := out.Flush(); err == nil && flushErr != nil && !errors.Is(flushErr, syscall.EPIPE) {
		err = fmt.Errorf("write output: %w", flushErr)
	}
	return status(err, std.err)
}

// streams are a command's stdio, its output buffered until it returns.
type streams struct {
	stdio
	buffered *bufio.Writer
}

// silent is an exit status 1 without a message: the output has said it.
var errSilent = errors.New("failed")

// status prints an error and returns the exit status for it.
func status(err error, w io.Writer) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errSilent):
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(w, "f2bpipe: %v\n", err)
		return exitUsage
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(w, "f2bpipe: %s\n", strings.TrimRight(line, "\n"))
	}
	return exitFailed
}
