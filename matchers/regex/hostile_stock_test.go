package regex_test

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/config"
	"github.com/f2bpipe/f2bpipe/internal/stock"
	"github.com/f2bpipe/f2bpipe/matchers"
	"github.com/f2bpipe/f2bpipe/matchers/regex"
)

// TestHostileStock attacks the rules of the embedded filters as TestHostile does
// fail2ban's.
func TestHostileStock(t *testing.T) {
	files, err := fs.Glob(stock.FS(), "filter.d/*.conf")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d filters, %v", len(files), err)
	}
	var all []*regex.Regexp
	seen := map[string]bool{}
	for _, path := range files {
		name := strings.TrimSuffix(strings.TrimPrefix(path, "filter.d/"), ".conf")
		f, _ := config.LoadFilter(config.Options{Stock: stock.FS()}, name)
		if f == nil || len(f.Failregex) == 0 {
			continue // a common part of others
		}
		for _, v := range append(append([]config.Value{f.Prefregex}, f.Failregex...), f.Ignoreregex...) {
			pattern := matchers.ExpandTags(v.Text, matchers.DNSWarn)
			if pattern == "" || seen[pattern] {
				continue
			}
			seen[pattern] = true
			re, err := regex.Compile(pattern, 0)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			all = append(all, re)
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d rules", len(all))
	}
	regex.HoldsOut(t, all, 0)
}
