package config

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the golden sections of testdata/broken anew")

// TestBrokenTrees reads each tree of testdata/broken, which has one mistake,
// over testdata/stock, and compares what is said about it with its golden
// section "want": the problems, and which of the two jails still run.
func TestBrokenTrees(t *testing.T) {
	trees, err := filepath.Glob("testdata/broken/*.txtar")
	if err != nil || len(trees) < 50 {
		t.Fatalf("broken trees: %d, %v", len(trees), err)
	}
	for _, path := range trees {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(t.TempDir(), "etc")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			want := ""
			files := archive.Files[:0:0]
			for _, f := range archive.Files {
				if f.Name == "want" {
					want = string(f.Data)
					continue
				}
				files = append(files, f)
				writeFile(t, filepath.Join(dir, f.Name), strings.NewReplacer(`\xff`, "\xff", `\r`, "\r").Replace(string(f.Data)))
			}
			got := judgement(dir)
			if *update {
				archive.Files = append(files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// judgement is everything that is said about a tree.
func judgement(dir string) string {
	c, problems := Load(Options{Dir: dir, Stock: os.DirFS("testdata/stock")})
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%v: %s\n", p.Severity, strings.ReplaceAll(p.Error(), dir+"/", ""))
	}
	var run []string
	for i := range c.Jails {
		if j := &c.Jails[i]; j.Enabled && j.Err() == nil {
			run = append(run, j.Name)
		}
	}
	fmt.Fprintf(&b, "jails that run: %s\n", strings.Join(run, " "))
	return b.String()
}
