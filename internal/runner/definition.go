package runner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/config"
)

// Phase is what a command of an action is for.
type Phase string

// The phases; "action" before each is the option that has the command.
const (
	Start   Phase = "start"
	Stop    Phase = "stop"
	Flush   Phase = "flush"
	Reload  Phase = "reload"
	Check   Phase = "check"
	Repair  Phase = "repair"
	Ban     Phase = "ban"
	Reban   Phase = "reban"
	Unban   Phase = "unban"
	Prolong Phase = "prolong"
)

// phases are all of them.
var phases = []Phase{Start, Stop, Flush, Reload, Check, Repair, Ban, Reban, Unban, Prolong}

// Definition is one action of one jail with its parameters filled in, as
// fail2ban's client streams it. It is a plain value and never changed.
type Definition struct {
	Jail    string            `json:"jail"`
	Name    string            `json:"name"`  // actname: unique within the jail
	Props   map[string]string `json:"props"` // commands by option, parameters and [Init] by name, with conditions: blocktype?family=inet6
	Timeout time.Duration     `json:"timeout"`

	OnDemand      *bool `json:"on_demand,omitempty"` // nil: where a property has a condition
	RepairOnUnban bool  `json:"repair_on_unban,omitempty"`
	NoRestored    bool  `json:"norestored,omitempty"`

	// Python is the path of an action written in Python; Props are its arguments then.
	Python string `json:"python,omitempty"`
}

// Define returns the definition of a jail's action.
func Define(jail string, a *config.Action) Definition {
	d := Definition{
		Jail: jail, Name: a.ActName, Props: map[string]string{}, Timeout: a.Timeout,
		OnDemand: a.StartOnDemand, RepairOnUnban: a.RepairOnUnban, NoRestored: a.NoRestored, Python: a.Python,
	}
	if d.Timeout <= 0 {
		d.Timeout = config.DefaultTimeout
	}
	if a.Python != "" {
		for _, p := range a.Params {
			if p.Name != "actname" {
				d.Props[p.Name] = p.Value.Text
			}
		}
		return d
	}
	for _, p := range a.Init {
		if p.Name != "timeout" { // it is Timeout, however it was written
			d.Props[p.Name] = p.Value.Text
		}
	}
	for phase, v := range map[Phase]config.Value{
		Start: a.Start, Stop: a.Stop, Flush: a.Flush, Reload: a.Reload, Check: a.Check, Repair: a.Repair,
		Ban: a.Ban, Reban: a.Reban, Unban: a.Unban, Prolong: a.Prolong,
	} {
		if v.Text != "" {
			d.Props[phase.option()] = v.Text
		}
	}
	return d
}

// option returns the name of the option that has the phase's command.
func (p Phase) option() string { return "action" + string(p) }

// Digest names the definition: two that say the same have the same.
func (d *Definition) Digest() string {
	text, err := json.Marshal(d) // maps by sorted key
	if err != nil {
		panic(err) // strings, numbers and booleans
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// key names what runs one command at a time: the action, however it is defined.
func (d *Definition) key() string { return d.Jail + "\x00" + d.Name }
