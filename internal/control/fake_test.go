package control

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"
)

// fakeService is a service without logs and kernel: it keeps what it is told.
type fakeService struct {
	mu      sync.Mutex
	now     func() time.Time
	server  ServerSettings
	names   []string
	jails   map[string]*fakeJail
	streams []*Stream
	reloads []ReloadOptions
	stopped chan struct{}
	errors  []string

	notEnforced string
}

type fakeJail struct {
	status   JailStatus
	settings JailSettings
	bans     []Ban
	failed   []string
	actions  []string
	action   map[string]*Action
}

func newFake() *fakeService {
	return &fakeService{now: time.Now, jails: map[string]*fakeJail{}, stopped: make(chan struct{}),
		server: ServerSettings{LogLevel: "INFO", LogTarget: "STDOUT", SyslogSocket: "auto"}}
}

func (f *fakeService) jail(name string) (*fakeJail, error) {
	if j := f.jails[name]; j != nil {
		return j, nil
	}
	return nil, ErrorUnknownJail(name)
}

func (f *fakeService) Version() string { return "1.0.2" }

func (f *fakeService) Stop(context.Context) error {
	close(f.stopped)
	return nil
}

func (f *fakeService) FlushLogs(context.Context) (bool, error) {
	return f.server.LogTarget != "STDOUT", nil
}

func (f *fakeService) ConfigError(text string) { f.errors = append(f.errors, text) }

func (f *fakeService) JailNames(context.Context) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.names), nil
}

func (f *fakeService) NotEnforced(context.Context) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.notEnforced
}

func (f *fakeService) JailStatus(_ context.Context, jail string, detail Detail) (JailStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return JailStatus{}, err
	}
	s := j.status
	s.Files = j.settings.LogPaths
	s.JournalMatch = j.settings.JournalMatch
	s.BannedNow, s.NotEnforced = len(j.bans), f.notEnforced
	if detail >= WithBans {
		for _, b := range j.bans {
			s.Banned = append(s.Banned, b.ID)
		}
	}
	return s, nil
}

func (f *fakeService) AddJail(_ context.Context, jail, backend string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.jails[jail] != nil {
		return ErrorDuplicateJail(jail)
	}
	f.names = append(f.names, jail)
	f.jails[jail] = &fakeJail{status: JailStatus{Backend: backend}, action: map[string]*Action{},
		settings: JailSettings{MaxRetry: 3, DatePattern: &DatePattern{Name: "Default Detectors"}, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, BanTimeOptions: map[string]any{}}}
	return nil
}

func (f *fakeService) StartJail(_ context.Context, jail string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.jail(jail)
	return err
}

func (f *fakeService) StopJail(_ context.Context, jail string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.jail(jail)
	f.names = slices.DeleteFunc(f.names, func(n string) bool { return n == jail })
	delete(f.jails, jail)
	return err
}

func (f *fakeService) StopAllJails(ctx context.Context) error {
	names, err := f.JailNames(ctx)
	for _, n := range names {
		err = errors.Join(err, f.StopJail(ctx, n))
	}
	return err
}

func (f *fakeService) BanList(_ context.Context, jail string) ([]Ban, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return nil, err
	}
	bans := slices.Clone(j.bans)
	for i := range bans {
		if bans[i].BanTime == 0 {
			bans[i].BanTime = j.settings.BanTime
		}
	}
	return bans, nil
}

func (j *fakeJail) find(id string) int {
	return slices.IndexFunc(j.bans, func(b Ban) bool { return b.ID == id })
}

func (f *fakeService) IsBanned(_ context.Context, jail, id string) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	return err == nil && j.find(id) >= 0, err
}

func (f *fakeService) Ban(_ context.Context, jail string, ids []string) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		// As in fail2ban, a ban has the jail's time until it is prolonged.
		if i := j.find(id); i >= 0 {
			j.bans[i].At, j.bans[i].BanTime = f.now(), j.settings.BanTime
			continue
		}
		j.bans = append(j.bans, Ban{ID: id, At: f.now()})
		j.status.BannedTotal++
		n++
	}
	return n, nil
}

func (f *fakeService) Unban(_ context.Context, jail string, ids []string) (n int, absent []string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return 0, nil, err
	}
	for _, id := range ids {
		if i := j.find(id); i >= 0 {
			j.bans = slices.Delete(j.bans, i, i+1)
			n++
		} else {
			absent = append(absent, id)
		}
	}
	return n, absent, nil
}

func (f *fakeService) UnbanEverywhere(ctx context.Context, ids []string) (n int, err error) {
	names, err := f.JailNames(ctx)
	for _, name := range names {
		k, _, unbanErr := f.Unban(ctx, name, ids)
		n, err = n+k, errors.Join(err, unbanErr)
	}
	return n, err
}

func (f *fakeService) UnbanAll(context.Context) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, j := range f.jails {
		n += len(j.bans)
		j.bans = nil
	}
	return n, nil
}

func (f *fakeService) Attempt(_ context.Context, jail, id string, _ []string) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return 0, err
	}
	if !slices.Contains(j.failed, id) {
		j.failed = append(j.failed, id)
	}
	j.status.FailedNow = len(j.failed)
	j.status.FailedTotal++
	return 1, nil
}

func (f *fakeService) ServerSettings(context.Context) (ServerSettings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.server, nil
}

func (f *fakeService) ChangeServer(_ context.Context, option, value string) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch option {
	case "loglevel":
		f.server.LogLevel = value
	case "logtarget":
		f.server.LogTarget = value
	case "syslogsocket":
		f.server.SyslogSocket = value
	case "dbfile":
		f.server.DBFile = value
	case "dbmaxmatches":
		f.server.DBMaxMatches, err = strconv.Atoi(value)
	case "dbpurgeage":
		f.server.DBPurgeAge, err = fakeSeconds(value)
	case "thread.stacksize":
		f.server.StackSize, err = strconv.Atoi(value)
	}
	return err
}

// fakeSeconds reads a number of seconds, or of days: what the tests use.
func fakeSeconds(s string) (time.Duration, error) {
	unit := time.Second
	if s[len(s)-1] == 'd' {
		s, unit = s[:len(s)-1], 24*time.Hour
	}
	n, err := strconv.Atoi(s)
	return time.Duration(n) * unit, err
}

func (f *fakeService) JailSettings(_ context.Context, jail string) (JailSettings, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return JailSettings{}, err
	}
	s := j.settings
	s.BanTimeOptions = maps.Clone(s.BanTimeOptions)
	return s, nil
}

func (f *fakeService) ChangeJail(_ context.Context, jail string, c Change) (err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return err
	}
	s := &j.settings
	lists := map[string]*[]string{"ignoreip": &s.IgnoreIP, "logpath": &s.LogPaths, "failregex": &s.FailRegex, "ignoreregex": &s.IgnoreRegex}
	texts := map[string]*string{"ignorecommand": &s.IgnoreCommand, "logencoding": &s.LogEncoding, "prefregex": &s.PrefRegex,
		"usedns": &s.UseDNS, "logtimezone": &s.LogTimeZone}
	numbers := map[string]*int{"maxmatches": &s.MaxMatches, "maxretry": &s.MaxRetry, "maxlines": &s.MaxLines}
	times := map[string]*time.Duration{"findtime": &s.FindTime, "bantime": &s.BanTime}
	switch {
	case lists[c.Option] != nil:
		changeList(lists[c.Option], c)
	case texts[c.Option] != nil:
		*texts[c.Option] = c.Values[0]
	case numbers[c.Option] != nil:
		*numbers[c.Option], err = strconv.Atoi(c.Values[0])
	case times[c.Option] != nil:
		*times[c.Option], err = fakeSeconds(c.Values[0])
	case c.Option == "idle":
		s.Idle = c.Values[0] == "on"
	case c.Option == "ignoreself":
		s.IgnoreSelf = c.Values[0] == "true"
	case c.Option == "datepattern":
		s.DatePattern = &DatePattern{Pattern: c.Values[0], Name: "Year-Month-Day"}
		if c.Values[0] == "{^LN-BEG}" {
			s.DatePattern = &DatePattern{Name: "Default Detectors"}
		}
	case c.Option == "ignorecache":
		s.IgnoreCache = &IgnoreCache{Key: "<ip>", MaxCount: 100, MaxTime: 5 * time.Minute}
	case c.Option == "journalmatch":
		if !j.status.Journal {
			return nil
		}
		if c.Op == Add {
			s.JournalMatch = append(s.JournalMatch, c.Values)
		} else {
			s.JournalMatch = nil
		}
	default:
		s.BanTimeOptions[c.Option[len("bantime."):]] = c.Values[0]
	}
	return err
}

func changeList(list *[]string, c Change) {
	switch {
	case c.Op == Add:
		*list = append(*list, c.Values...)
	case len(c.Values) > 0:
		*list = slices.DeleteFunc(*list, func(s string) bool { return s == c.Values[0] })
	case c.Index < len(*list):
		*list = slices.Delete(*list, c.Index, c.Index+1)
	}
}

func (f *fakeService) ActionNames(_ context.Context, jail string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return nil, err
	}
	return slices.Clone(j.actions), nil
}

func (f *fakeService) find(jail, action string) (*Action, error) {
	j, err := f.jail(jail)
	if err != nil {
		return nil, err
	}
	if a := j.action[action]; a != nil {
		return a, nil
	}
	return nil, ErrorUnknownAction(action)
}

func (f *fakeService) Action(_ context.Context, jail, action string) (Action, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, err := f.find(jail, action)
	if err != nil {
		return Action{}, err
	}
	return Action{Properties: slices.Clone(a.Properties), Methods: a.Methods}, nil
}

func (f *fakeService) AddAction(_ context.Context, jail string, n NewAction) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	j, err := f.jail(jail)
	if err != nil {
		return err
	}
	if j.action[n.Name] != nil {
		return ErrorValue("Action %s already exists", n.Name)
	}
	j.actions = append(j.actions, n.Name)
	a := &Action{Methods: CommandMethods}
	for _, name := range CommandProperties {
		a.Properties = append(a.Properties, Property{Name: name, Value: ""})
	}
	j.action[n.Name] = a
	i := slices.Index(CommandProperties, "timeout")
	a.Properties[i].Value = 60
	return nil
}

func (f *fakeService) DeleteAction(_ context.Context, jail, action string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.find(jail, action); err != nil {
		return err
	}
	j := f.jails[jail]
	j.actions = slices.DeleteFunc(j.actions, func(n string) bool { return n == action })
	delete(j.action, action)
	return nil
}

func (f *fakeService) ChangeAction(_ context.Context, jail, action, property, value string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	a, err := f.find(jail, action)
	if err != nil {
		return err
	}
	var v any = value
	if n, err := strconv.Atoi(value); err == nil {
		v = n
	}
	a.Properties = slices.DeleteFunc(a.Properties, func(p Property) bool { return p.Name == property })
	a.Properties = append(a.Properties, Property{property, v})
	return nil
}

func (f *fakeService) CallAction(_ context.Context, _, _, method string, args json.RawMessage) (any, error) {
	if method == "flush" {
		return true, nil
	}
	return []any{method, string(args)}, nil
}

func (f *fakeService) Configure(_ context.Context, s *Stream) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams = append(f.streams, s)
	return nil
}

func (f *fakeService) Reload(_ context.Context, o ReloadOptions, s *Stream) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.streams = append(f.streams, s)
	f.reloads = append(f.reloads, o)
	return nil
}

func (f *fakeService) Native(_ context.Context, verb string, args json.RawMessage) (any, error) {
	if verb != "mirror" {
		return nil, ErrNotOffered
	}
	return map[string]any{"args": args}, nil
}

// lacking is a service that offers less.
type lacking struct{ *fakeService }

func (lacking) ChangeJail(context.Context, string, Change) error { return ErrNotOffered }

func (lacking) JailSettings(context.Context, string) (JailSettings, error) {
	return JailSettings{}, ErrNotOffered
}

func (lacking) AddJail(context.Context, string, string) error { return ErrNotOffered }
