package service

import (
	"github.com/f2bpipe/f2bpipe/internal/control"
	"github.com/f2bpipe/f2bpipe/pipeline"
)

// StatusArgs ask for one jail, or for all where Jail is empty.
type StatusArgs struct {
	Jail string `json:"jail,omitempty"`
}

// Status is the state of the service, as `f2bpipe status --json` prints it in
// one line. Keys are only ever added, and those that are there keep their
// meaning. Times are epoch seconds with a fraction; a list is [], never null;
// numbers count since the service was started, where they do not say otherwise.
// Text that stood in a log (an ip that is an ID, a line, a problem) is as
// whoever attacks wrote it: escape it before a terminal shows it.
type Status struct {
	Version  string         `json:"version"`
	Enforced bool           `json:"enforced"`
	Reason   string         `json:"reason"` // why bans are not enforced
	Jails    []JailStatus   `json:"jails"`
	Sources  []SourceStatus `json:"sources"`
	Counter  CounterStatus  `json:"counter"`
	Leaks    []LeakStatus   `json:"leaks"` // those banned who failed last
	Config   ConfigStatus   `json:"config"`
	Kernel   KernelStatus   `json:"kernel"`
	Store    StoreStatus    `json:"store"`
	Degraded []string       `json:"degraded"` // what does not work while the service goes on; empty: everything does
	Since    float64        `json:"since"`    // when it was started
	Totals   Totals         `json:"totals"`
	Rates    RateStatus     `json:"rates"`
	Recent   []RecentBan    `json:"recent"` // the last bans, the newest first
	Log      LogStatus      `json:"log"`
	Networks NetworkStatus  `json:"networks"`
	Runner   RunnerStatus   `json:"runner"`
}

// ConfigStatus is what the service was configured by, when it was read.
type ConfigStatus struct {
	Dir   string    `json:"dir"`
	Other *OtherDir `json:"other"` // null: no other directory holds jails
}

// JailStatus is the state of a jail.
type JailStatus struct {
	Name   string `json:"name"`
	Filter string `json:"filter"` // the file that was taken, empty where the jail has none; "stock:…" is built in
	Failed struct {
		Current int `json:"current"`
		Total   int `json:"total"`
	} `json:"failed"`
	Banned struct {
		Current int      `json:"current"`
		Total   int      `json:"total"`
		List    []string `json:"list"`
	} `json:"banned"`
	Enforced int      `json:"enforced"` // of the current bans
	Refused  Refused  `json:"refused"`  // what the kernel has refused
	Leaks    int      `json:"leaks"`    // bans decided for somebody banned already
	Files    []string `json:"files"`
	Lines    struct {
		Matched int64 `json:"matched"`
		Ignored int64 `json:"ignored"`
		TooOld  int64 `json:"too_old"`
		NoDate  int64 `json:"no_date"`
		NoID    int64 `json:"no_id"`
	} `json:"lines"`
	Guard      GuardStatus    `json:"guard"`
	Leaked     int            `json:"leaked"`      // failures of somebody whose ban was in the kernel for more than a second
	TooComplex int64          `json:"too_complex"` // searches that were given up
	Profile    JailProfile    `json:"profile"`
	Blind      string         `json:"blind"`    // why the filter seems not to fit the log; empty: it seems to
	Degraded   string         `json:"degraded"` // why the jail cannot read its log, or one of its logs, now; empty: it can
	Actions    []ActionStatus `json:"actions"`
}

// SourceStatus is the state of one input.
type SourceStatus struct {
	Name       string  `json:"name"`
	Lines      int64   `json:"lines"`
	Bytes      int64   `json:"bytes"`
	Cut        int64   `json:"cut"`
	Invalid    int64   `json:"invalid"`
	LagBytes   int64   `json:"lag_bytes"`
	LagSeconds float64 `json:"lag_seconds"` // how old the last line was when it was read, where bytes lag
	Problem    string  `json:"problem"`     // why it is not read now; empty: it is
}

// CounterStatus is the state of the failure counter.
type CounterStatus struct {
	Entries  int   `json:"entries"`
	Room     int   `json:"room"`
	Evicted  int64 `json:"evicted"`
	LostHits int64 `json:"lost_hits"`
	Late     int64 `json:"late"`
}

func (v verbs) status(a StatusArgs) (*Status, error) {
	out := &Status{Version: v.cfg.Version, Jails: []JailStatus{}, Sources: []SourceStatus{}, Config: ConfigStatus{v.cfg.Options.Dir, v.other}}
	out.Enforced, out.Reason = v.enforced()
	out.Kernel, out.Runner = v.kernelStatus(), v.runnerStatus()
	out.Store, out.Degraded = v.storeStatus(), v.degraded()
	var of *pipeline.Jail
	if j := v.jail(a.Jail); j != nil {
		of = j.identity
	}
	out.Leaks = v.leakStatus(of)
	for _, j := range v.jails() {
		if a.Jail == "" || a.Jail == j.config.Name {
			out.Jails = append(out.Jails, v.jailStatus(j))
		}
	}
	if a.Jail != "" && len(out.Jails) == 0 {
		return nil, control.ErrorUnknownJail(a.Jail)
	}
	for _, in := range v.readers() {
		out.Sources = append(out.Sources, SourceStatus{Name: in.Name, Lines: in.Lines.Load(), Bytes: in.Bytes.Load(), Cut: in.Cut.Load(),
			Invalid: in.Invalid.Load(), LagBytes: in.Lag.Load(), LagSeconds: in.lag.Seconds(), Problem: in.problem})
	}
	out.Since, out.Totals, out.Rates = epoch(v.meter.startNanos), TotalsOf(out.Jails...), v.meter.rates(v.clock.Now(), v.lines())
	out.Recent, out.Log, out.Networks = v.meter.last(a.Jail), v.logStatus(), v.networkStatus()
	w := v.window.Stats()
	out.Counter = CounterStatus{Entries: w.Entries, Room: w.Room, Evicted: w.Evicted, LostHits: w.LostHits, Late: w.Late}
	return out, nil
}

func (v verbs) jailStatus(j *jail) JailStatus {
	out := JailStatus{Name: j.config.Name, Filter: filterFile(j.config), Files: append([]string{}, v.filesOf(j)...)}
	out.Failed.Current, out.Failed.Total = v.window.Failing(j.identity)
	totals := v.ledger.Totals(j.identity)
	out.Banned.Current, out.Banned.Total, out.Banned.List = totals.Current, totals.Total, []string{}
	out.Enforced, out.Leaks, out.Leaked, out.Refused = totals.Enforced, totals.Leaks, totals.Leaked, v.refused(j)
	for _, b := range v.ledger.Banned(j.identity) {
		out.Banned.List = append(out.Banned.List, b.ID.String())
	}
	for _, in := range v.inputList() {
		if c := in.current().Counters(j.identity); c != nil {
			out.Lines.Matched += c.Matched.Load()
			out.Lines.Ignored += c.Ignored.Load()
			out.Lines.TooOld += c.TooOld.Load()
			out.Lines.NoDate += c.NoDate.Load()
			out.Lines.NoID += c.NoID.Load()
		}
	}
	out.Profile = profileOf(j, v.inputList())
	out.Guard = v.wards.status(j.identity)
	out.Blind = v.alarm.text(j.identity)
	out.Degraded = v.logProblem(j)
	out.Actions = v.actionStatus(j)
	if j.matcher.Filter != nil {
		for _, re := range j.matcher.Filter.Failregex() {
			out.TooComplex += re.TooComplexCount()
		}
	}
	return out
}
