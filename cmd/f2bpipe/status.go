package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/f2bpipe/f2bpipe/internal/service"
)

type statusCmd struct {
	clientFlags
	Jail string `arg:"" optional:"" help:"Show this jail alone, with everybody that it bans."`
}

// Run shows the state of the service.
func (c *statusCmd) Run(ctx context.Context, s *streams) error {
	var st service.Status
	if err := c.call(ctx, service.VerbStatus, service.StatusArgs{Jail: c.Jail}, &st); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.buffered, &st)
	}
	if st.Enforced {
		fmt.Fprintf(s.buffered, "f2bpipe %s, bans are enforced\n", st.Version)
	} else {
		fmt.Fprintf(s.buffered, "f2bpipe %s, bans are NOT ENFORCED: %s\n", st.Version, printable([]byte(st.Reason)))
	}
	kernelLines(s.buffered, &st.Kernel)
	fmt.Fprintf(s.buffered, "configuration: %s\n", readDirs(st.Config.Dir, st.Config.Other))
	jailTable(s.buffered, st.Jails)
	blindList(s.buffered, st.Jails)
	if c.Jail != "" {
		if f := st.Jails[0].Filter; f != "" {
			fmt.Fprintf(s.buffered, "filter: %s\n", f)
		}
		fmt.Fprintf(s.buffered, "refused: %d packets, %d bytes\n", st.Jails[0].Refused.Packets, st.Jails[0].Refused.Bytes)
		fmt.Fprintf(s.buffered, "banned: %s\n", printable([]byte(strings.Join(st.Jails[0].Banned.List, " "))))
		return nil
	}
	sourceTable(s.buffered, st.Sources)
	return nil
}

func jailTable(w io.Writer, jails []service.JailStatus) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "JAIL\tFAILING\tFAILED\tBANNED\tBANS\tENFORCED\tLEAKS\t")
	for _, j := range jails {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", j.Name, j.Failed.Current, j.Failed.Total, j.Banned.Current, j.Banned.Total, j.Enforced, j.Leaks)
	}
	_ = t.Flush() // an error of the buffered writer stays and is told at the end
}

func sourceTable(w io.Writer, sources []service.SourceStatus) {
	if len(sources) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "SOURCE\tLINES\tCUT\tINVALID\tBEHIND\t")
	for _, in := range sources {
		behind := "0"
		if in.LagBytes > 0 {
			behind = fmt.Sprintf("%d B, %.1f s", in.LagBytes, in.LagSeconds)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%s\t\n", printable([]byte(in.Name)), in.Lines, in.Cut, in.Invalid, behind)
	}
	_ = t.Flush()
}
