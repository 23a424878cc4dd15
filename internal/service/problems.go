package service

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/matchers"
)

// checkReading finds what is wrong with how a jail reads its lines: its date
// patterns, time zone and encoding.
func checkReading(c *config.Jail, m matchers.JailFilter) config.Problems {
	err := matchers.Check(m)
	if err == nil {
		return nil
	}
	var out config.Problems
	try := func(option string, v config.Value, part matchers.JailFilter) {
		if err := matchers.Check(part); err != nil {
			out = append(out, wrongOption(c, option, v, err))
		}
	}
	for _, v := range c.Datepattern {
		try("datepattern", v, matchers.JailFilter{Dates: []string{v.Text}})
	}
	try("logtimezone", c.Logtimezone, matchers.JailFilter{TimeZone: c.Logtimezone.Text})
	try("logencoding", c.Logencoding, matchers.JailFilter{Encoding: c.Logencoding.Text})
	if len(out) == 0 { // none alone, but all together
		out = append(out, wrongOption(c, "", config.Value{}, err))
	}
	return out
}

// wrongOption says that an option of the jail cannot be used.
func wrongOption(c *config.Jail, option string, v config.Value, err error) config.Problem {
	return config.Problem{Severity: config.Error, File: v.File, Line: v.Line, Jail: c.Name, Option: option, Text: v.Text, Message: err.Error()}
}

// compileAll compiles every enabled jail of a tree that has no error, on all
// cores, and returns them in order; with everything that is wrong with any
// enabled one, be it disabled by an earlier error already.
func compileAll(tree *config.Config) ([]*jail, config.Problems) {
	jails := make([]*jail, len(tree.Jails))
	found := make([]config.Problems, len(tree.Jails))
	var next atomic.Int64
	var k compiler
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for i := int(next.Add(1) - 1); i < len(jails); i = int(next.Add(1) - 1) {
				c := &tree.Jails[i]
				if !c.Enabled {
					continue
				}
				j, err := k.jail(c)
				found[i] = problemsOf(c, err)
				if err == nil && c.Err() == nil {
					jails[i] = j
				}
			}
		})
	}
	workers.Wait()
	jails = slices.DeleteFunc(jails, func(j *jail) bool { return j == nil })
	alone := oneExpiry(&tree.Main, jails)
	jails = slices.DeleteFunc(jails, func(j *jail) bool { return len(alone.Jail(j.config.Name)) > 0 })
	return jails, append(slices.Concat(found...), alone...)
}

// problemsOf tells the errors that compile joined apart, each with the place
// of the text that is wrong. What the jail's own problems say is left out.
func problemsOf(c *config.Jail, err error) config.Problems {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out config.Problems
		for _, e := range joined.Unwrap() {
			out = append(out, problemsOf(c, e)...)
		}
		return out
	}
	var p config.Problem
	var re *matchers.RegexError
	switch {
	case errors.As(err, &re):
		values := map[string][]config.Value{"prefregex": {c.Prefregex}, "failregex": c.Failregex, "ignoreregex": c.Ignoreregex}[re.Option]
		p = wrongOption(c, re.Option, values[re.Index], re.Err)
	case !errors.As(err, &p):
		p = wrongOption(c, "", config.Value{}, err)
	}
	if slices.ContainsFunc(c.Problems.Errors(), func(q config.Problem) bool {
		return q.Option == p.Option && q.File == p.File && q.Line == p.Line
	}) {
		return nil
	}
	return config.Problems{p}
}
