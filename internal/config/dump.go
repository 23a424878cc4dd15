package config

// Dump returns the commands that fail2ban's client streams to its server for
// this configuration, in its order: those of fail2ban.conf, of each enabled
// jail, and the start of each. A jail that an error disables is one
// config-error. Log paths are those of the files that there are now.
func (c *Config) Dump() []Command {
	out := c.Main.commands()
	for i := range c.Jails {
		out = append(out, c.Jails[i].Commands()...)
	}
	for i := range c.Jails {
		if j := &c.Jails[i]; j.Enabled && j.Err() == nil {
			out = append(out, Command{"start", j.Name})
		}
	}
	return out
}

// Commands returns the commands for one jail, without its start; none where it
// is not enabled.
func (j *Jail) Commands() []Command {
	if errs := j.Problems.Errors(); len(errs) > 0 {
		return []Command{{"config-error", "Jail '" + j.Name + "' skipped, because of wrong configuration: " + errs[0].Message}}
	}
	if !j.Enabled {
		return nil
	}
	var out []Command
	for _, c := range j.commands {
		if c.log == nil {
			out = append(out, c.args)
			continue
		}
		word := "head"
		if c.log.Word.IsSet() {
			word = c.log.Word.Text
		}
		for _, path := range c.log.Expand() {
			out = append(out, Command{"set", j.Name, "addlogpath", path, word})
		}
	}
	return out
}
