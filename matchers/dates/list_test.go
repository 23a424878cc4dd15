package dates

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

// censusYear is when regexes.jsonl was made.
const censusYear = 2026

// A censusRow is a line of regexes.jsonl.
type censusRow struct {
	Filter, Kind, Regex, Source string
	Index                       int
	Opts                        map[string]string
}

// census returns the date templates of fail2ban's filters, by filter and
// option set, in the order of the lists.
func census(t testing.TB) map[string][]censusRow {
	t.Helper()
	file, err := os.Open(testenv.Shared(t, "fail2ban", "regexes.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows := map[string][]censusRow{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var row censusRow
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			t.Fatal(err)
		}
		if row.Kind == "datepattern" || row.Kind == "datetemplate" {
			opts, _ := json.Marshal(row.Opts)
			key := row.Filter + string(opts)
			rows[key] = append(rows[key], row)
		}
	}
	return rows
}

// filterPatterns returns the datepatterns that the filter files set, by
// filter; %% is already %. Files that refer to others have none here.
func filterPatterns(t testing.TB) map[string][][]string {
	t.Helper()
	filters := map[string][][]string{}
	for _, dir := range []string{"config/filter.d", "tests-filter.d"} {
		files, err := filepath.Glob(testenv.Shared(t, "fail2ban", dir) + "/*.conf")
		if err != nil || len(files) == 0 {
			t.Fatal(files, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.TrimSuffix(filepath.Base(file), ".conf")
			var patterns []string
			for line := range strings.Lines(string(text) + "\n") {
				value, begins := strings.CutPrefix(line, "datepattern = ")
				if value = strings.TrimSpace(value); begins || len(patterns) > 0 && strings.HasPrefix(line, " ") && value != "" {
					patterns = append(patterns, strings.ReplaceAll(value, "%%", "%"))
					continue
				}
				if len(patterns) > 0 && !strings.Contains(patterns[0], "%(") && !strings.Contains(patterns[0], "<l") && !strings.Contains(patterns[0], "<L_") {
					filters[name] = append(filters[name], patterns)
				}
				patterns = nil
			}
		}
	}
	return filters
}

// patternsOf returns the datepattern under which the census has a filter.
func patternsOf(filters map[string][][]string, row censusRow) []string {
	own := filters[strings.TrimPrefix(row.Filter, "tests:")]
	switch {
	case row.Filter == "(default)":
		return nil
	case row.Filter == "guacamole" && row.Opts["logging"] == "webapp":
		return own[1]
	case len(own) > 0:
		return own[0]
	case row.Filter == "selinux-ssh":
		return filters["selinux-common"][0]
	case row.Opts["logtype"] == "rfc5424" && len(filters["common"]) > 1:
		return filters["common"][1]
	}
	return filters["common"][0]
}

// TestCensus compares every template of every filter of fail2ban, in their
// order, with the regular expressions that fail2ban makes of them.
func TestCensus(t *testing.T) {
	compared := 0
	filters := filterPatterns(t)
	for key, rows := range census(t) {
		list, err := newList(patternsOf(filters, rows[0]), censusYear)
		if err != nil {
			t.Errorf("%s: %v", key, err)
			continue
		}
		if len(list.templates) != len(rows) {
			t.Errorf("%s: %d templates, want %d", key, len(list.templates), len(rows))
			continue
		}
		for i, row := range rows {
			got := list.templates[i]
			name := got.name
			if row.Kind == "datetemplate" && got.pattern != "" { // there the census has the pattern
				name = got.pattern
			}
			if got.source != row.Regex || name != row.Source {
				t.Errorf("%s %d: %s\n got %s\nwant %s (%s)", key, i, name, got.source, row.Regex, row.Source)
			}
			compared++
		}
	}
	if compared < 2000 {
		t.Errorf("compared %d templates only", compared)
	}
	t.Logf("%d templates equal", compared)
}
