package runner

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Family is whose addresses a command is about.
type Family uint8

// The families. A text that is no address goes with IPv4, as in fail2ban.
const (
	Inet4 Family = iota
	Inet6
	Families = 2
)

// String returns the family as the tag <family> says it.
func (f Family) String() string {
	if f == Inet6 {
		return "inet6"
	}
	return "inet4"
}

// condition marks the properties that hold for one family alone.
const condition = "?family="

// Bounds of what tags are filled in to: a definition is somebody's file, and
// must not take the memory of the process.
const (
	maxText  = 1 << 20
	maxFills = 1000 // of one command
)

// Program is a definition with every tag filled in that is known before a ban.
type Program struct {
	Definition
	text [Families]map[Phase]string
}

// Compile fills in what is known before a ban. The error is a tag that leads
// back to itself, or texts beyond all bounds.
func Compile(d Definition) (*Program, error) {
	p := &Program{Definition: d}
	for f := range Family(Families) {
		p.text[f] = map[Phase]string{}
		if d.Python != "" {
			for _, phase := range phases {
				p.text[f][phase] = string(phase)
			}
			continue
		}
		for _, phase := range phases {
			text, err := d.fill(phase, f)
			if err != nil {
				return nil, fmt.Errorf("action %s of jail %s: %s: %w", d.Name, d.Jail, phase.option(), err)
			}
			if strings.TrimSpace(text) != "" {
				p.text[f][phase] = text
			}
		}
	}
	return p, nil
}

// Text returns the command of a phase for a family, with the tags that a ban
// fills left in; "" where the action has none. Two families whose texts are
// equal share what the command does.
func (p *Program) Text(phase Phase, f Family) string {
	text := p.text[f][phase]
	if text == "" && phase == Reban {
		text = p.text[f][Ban]
	}
	return text
}

// OnDemand says whether the action starts at the first ban of a family.
func (p *Program) OnDemand() bool {
	if p.Definition.OnDemand != nil {
		return *p.Definition.OnDemand
	}
	for name := range p.Props {
		if strings.Contains(name, condition) {
			return true
		}
	}
	return false
}

// Tags returns the tags that a ban fills in the commands of a phase.
func (p *Program) Tags(phase Phase) []string {
	var out []string
	for f := range Family(Families) {
		eachTag(p.Text(phase, f), func(name string) (string, bool) {
			if !slices.Contains(out, name) {
				out = append(out, name)
			}
			return "", false
		})
	}
	return out
}

// property returns what a tag stands for before a ban.
func (d *Definition) property(name string, f Family) (string, bool) {
	switch name {
	case "matches", "ipmatches", "ipjailmatches": // fail2ban never takes these from a property
		return "", false
	case "br":
		return "\n", true
	case "sp":
		return " ", true
	}
	if v, ok := d.Props[name+condition+f.String()]; ok {
		return v, true
	}
	if v, ok := d.Props[name]; ok {
		return v, true
	}
	switch name {
	case "family":
		return f.String(), true
	case "timeout":
		return strconv.Itoa(int(d.Timeout / time.Second)), true
	}
	return "", false
}

// fill returns a phase's command for a family. Where tags are composed
// (<a-<b>>), the inner one goes first.
func (d *Definition) fill(phase Phase, f Family) (string, error) {
	text, ok := d.property(phase.option(), f)
	if !ok {
		return "", nil
	}
	fills := map[string]int{}
	total := 0
	for again := true; again; {
		again = false
		var failed error
		text = eachTag(text, func(name string) (string, bool) {
			v, ok := d.property(name, f)
			if !ok || failed != nil {
				return "", false
			}
			fills[name]++
			total++
			if total > maxFills || len(v) > maxText {
				failed = fmt.Errorf("<%s> leads back to itself, or grows beyond all bounds", name)
				return "", false
			}
			again = true
			return v, true
		})
		if failed == nil && len(text) > maxText {
			failed = fmt.Errorf("grows beyond %d bytes when its tags are filled in", maxText)
		}
		if failed != nil {
			return "", failed
		}
	}
	return text, nil
}

// eachTag calls value for each <tag> of a text, any run of characters but
// blank, "<" and ">", and returns the text with those replaced for which it
// returns true. What a value brings along is not looked at.
func eachTag(text string, value func(name string) (string, bool)) string {
	var b strings.Builder
	from := 0
	for i := 0; i < len(text); {
		n := strings.IndexByte(text[i:], '<')
		if n < 0 {
			break
		}
		i += n
		stop := strings.IndexAny(text[i+1:], " <>")
		if stop < 0 {
			break
		}
		if stop == 0 || text[i+1+stop] != '>' {
			i++
			continue
		}
		end := i + 2 + stop
		if v, ok := value(text[i+1 : end-1]); ok {
			b.WriteString(text[from:i])
			b.WriteString(v)
			from = end
		}
		i = end
	}
	if from == 0 {
		return text
	}
	b.WriteString(text[from:])
	return b.String()
}
