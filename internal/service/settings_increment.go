package service

import (
	"errors"
	"strconv"
	"strings"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/config/formula"
	"github.com/f2bpipe/f2bpipe/internal/control"
)

// changeIncrement changes bantime.increment or one of its kin.
func changeIncrement(c *config.Jail, extra, text string) error {
	inc, v := &c.Increment, commanded(text)
	wrong := func(err error) error {
		if err == nil {
			return nil
		}
		return evalError("bantime."+extra, text, err)
	}
	var err error
	switch extra {
	case "increment":
		inc.Enabled = asBool(text)
	case "overalljails":
		inc.OverallJails = asBool(text)
	case "maxtime", "rndtime":
		to := &inc.MaxTime
		if extra == "rndtime" {
			to = &inc.RndTime
		}
		if *to = 0; text != "" {
			*to, err = config.ParseDuration(text)
		}
	case "factor":
		inc.Factor = config.Value{}
		if text != "" {
			inc.Factor = v
			_, err = formula.Eval(text)
		}
	case "formula":
		inc.Formula = config.Value{}
		if text != "" {
			inc.Formula = v
			_, err = formula.Parse(text, config.FormulaNames...)
		}
	case "multipliers":
		inc.Multipliers = nil
		for word := range strings.FieldsSeq(text) {
			var n int64
			if n, err = strconv.ParseInt(word, 10, 32); err != nil {
				return notWhole(word)
			}
			inc.Multipliers = append(inc.Multipliers, n)
		}
	default:
		// fail2ban keeps what nothing reads, too.
	}
	if err != nil {
		return wrong(err)
	}
	c.Options["bantime."+extra] = v
	return nil
}

// evalError is fail2ban's error for what is to be evaluated: it leaves that to
// Python, whose words are taken for what is most likely mistaken.
func evalError(option, text string, err error) error {
	if name := (*formula.NameError)(nil); errors.As(err, &name) {
		return control.ErrorName("name %s is not defined", control.Repr(name.Name))
	}
	return control.ErrorValue("%s = %s: %v", option, text, err)
}

// notWhole is Python's error for what is no whole number.
func notWhole(text string) error {
	return control.ErrorValue("invalid literal for int() with base 10: %s", control.Repr(text))
}
