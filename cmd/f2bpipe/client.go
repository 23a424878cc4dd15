package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/internal/service"
)

// clientFlags are the flags of every command that talks to the service.
type clientFlags struct {
	configFlag
	Socket string `help:"Control socket (default: the configuration's)." placeholder:"PATH" type:"path"`
	JSON   bool   `name:"json" help:"Print JSON."`
}

// call asks the service.
func (c *clientFlags) call(ctx context.Context, verb string, args, result any) error {
	socket := c.Socket
	if socket == "" {
		socket = service.SocketOf(c.options())
	}
	client, err := control.Dial(ctx, socket)
	if err == nil {
		defer client.Close()
		err = client.CallJSON(ctx, verb, args, result)
	}
	var refused *control.Exception
	var broken *control.SocketError
	switch {
	case errors.As(err, &refused) && refused.Name == "UnknownJailException":
		return fmt.Errorf("no jail %s", strings.Join(refusedArgs(refused), " "))
	case errors.As(err, &broken): // also where it stopped before it had answered
		return fmt.Errorf("%w; is f2bpipe running? start it with: f2bpipe run", err)
	}
	return err
}

func refusedArgs(e *control.Exception) []string {
	out := make([]string, len(e.Args))
	for i, a := range e.Args {
		out[i] = fmt.Sprint(a)
	}
	return out
}

type bannedCmd struct {
	clientFlags
	IDs []string `arg:"" optional:"" name:"addr" help:"Say in which jails these are banned; exit status 1 where one is in none."`
}

// Run lists bans.
func (c *bannedCmd) Run(ctx context.Context, s *streams) error {
	var bans []service.BanInfo
	if err := c.call(ctx, service.VerbBanned, nil, &bans); err != nil {
		return err
	}
	missing := false
	if len(c.IDs) > 0 {
		bans, missing = filterBans(bans, c.IDs)
	}
	if c.JSON {
		if err := printJSON(s.buffered, bans); err != nil {
			return err
		}
	} else {
		banTable(s.buffered, bans)
	}
	if missing {
		return errSilent
	}
	return nil
}

// filterBans keeps the bans of the given IDs; missing says that one has none.
func filterBans(bans []service.BanInfo, ids []string) (kept []service.BanInfo, missing bool) {
	kept = []service.BanInfo{}
	for _, id := range ids {
		n := len(kept)
		for _, b := range bans {
			if service.Covers(b.IP, id) {
				kept = append(kept, b)
			}
		}
		missing = missing || len(kept) == n
	}
	return kept, missing
}

func banTable(w io.Writer, bans []service.BanInfo) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, b := range bans {
		until := "permanent"
		if b.Until != nil {
			until = "until " + time.Unix(int64(*b.Until), 0).Format(time.DateTime)
		}
		note := ""
		if !b.Enforced {
			note = "not enforced: " + b.Problem
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", printable([]byte(b.IP)), b.Jail, until, printable([]byte(note)))
	}
	_ = t.Flush()
}

type banCmd struct {
	clientFlags
	Jail  string   `help:"Jail to ban in." default:"manual"`
	Time  string   `help:"Length, such as 10m or 1d12h; -1 is permanent (default: the jail's bantime)." placeholder:"TIME"`
	Force bool     `help:"Ban even what is guarded."`
	IDs   []string `arg:"" name:"addr" help:"Addresses or networks."`
}

// Run bans.
func (c *banCmd) Run(ctx context.Context, s *streams) error {
	args := service.BanArgs{Jail: c.Jail, IDs: c.IDs, Force: c.Force}
	// sshd(8): the client's address, its port, ours.
	args.Peer, _, _ = strings.Cut(os.Getenv("SSH_CONNECTION"), " ")
	if c.Time != "" {
		seconds, err := service.Seconds(c.Time)
		if err != nil {
			return usageError{err}
		}
		args.Seconds = &seconds
	}
	var done service.Done
	if err := c.call(ctx, service.VerbBan, args, &done); err != nil {
		return err
	}
	return c.done(s, &done)
}

// done prints the number changed on stdout and who was refused on stderr.
func (c *clientFlags) done(s *streams, d *service.Done) error {
	if c.JSON {
		if err := printJSON(s.buffered, d); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(s.buffered, strconv.Itoa(d.Changed))
	}
	for _, r := range d.Refused {
		fmt.Fprintf(s.err, "f2bpipe: %s: %s\n", printable([]byte(r.ID)), printable([]byte(r.Problem)))
	}
	if len(d.Refused) > 0 {
		return errSilent
	}
	return nil
}

type unbanCmd struct {
	clientFlags
	Jail string   `help:"Jail to unban in (default: every jail)." placeholder:"JAIL"`
	All  bool     `help:"End all bans."`
	IDs  []string `arg:"" optional:"" name:"addr" help:"Addresses or networks."`
}

// Run ends bans.
func (c *unbanCmd) Run(ctx context.Context, s *streams) error {
	if c.All == (len(c.IDs) > 0) {
		return usageError{errors.New("expected addresses, or --all without any")}
	}
	var done service.Done
	if err := c.call(ctx, service.VerbUnban, service.UnbanArgs{Jail: c.Jail, All: c.All, IDs: c.IDs}, &done); err != nil {
		return err
	}
	return c.done(s, &done)
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
