package runner

import (
	"encoding/json"
	"fmt"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
)

// plainOptions are what a process is told of config.Options.
type plainOptions struct {
	Dir, Version  string
	Jail, Main    map[string]string
	Enable        []string
	Make          bool
	NativeActions string
}

// OptionsText writes options for ParseOptions, in another process.
func OptionsText(o config.Options) string {
	text, err := json.Marshal(plainOptions{o.Dir, o.Version, o.Overrides.Jail, o.Overrides.Main, o.Enable, o.Make, o.NativeActions})
	if err != nil {
		panic(err) // texts and a boolean
	}
	return string(text)
}

// ParseOptions reads what OptionsText wrote; the stock configuration is the
// embedded one.
func ParseOptions(text string) (*config.Options, error) {
	var p plainOptions
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("read options: %w", err)
	}
	o := &config.Options{Dir: p.Dir, Version: p.Version, Enable: p.Enable, Make: p.Make, NativeActions: p.NativeActions, Stock: stock.FS(), Superseded: stock.Superseded}
	o.Overrides.Jail, o.Overrides.Main = p.Jail, p.Main
	return o, nil
}
