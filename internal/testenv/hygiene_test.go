package testenv

import (
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/f2bpipe/f2bpipe/"

// allowed says which packages of ours a package may import (and theirs below
// them): the map of DESIGN, so that imports point one way.
var allowed = map[string][]string{
	"pipeline":                {},
	"matchers/regex":          {},
	"matchers/literal":        {"matchers/regex"},
	"matchers/dates":          {"matchers/regex"},
	"matchers":                {"pipeline", "matchers/regex", "matchers/literal", "matchers/dates"},
	"sources":                 {"pipeline"},
	"sinks":                   {"pipeline"},
	"internal/config/formula": {},
	"internal/config":         {"internal/config/formula"},
	"internal/control":        {},
	"internal/stock":          {},
	"internal/logtarget":      {},
	"internal/store":          {"pipeline"},
	"internal/ignore":         {"pipeline"},
	"internal/runner":         {"internal/config", "internal/stock"},
	"internal/testenv":        {},
	"bench/gen":               {},
	"bench/latency":           {"pipeline", "sinks"}, // beside the program: the last stage alone
	"bench/seen":              {},
	"internal/sandbox":        {},
	"packaging":               {},
}

type goPackage struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
}

func packages(t *testing.T) []goPackage {
	cmd := exec.Command("go", "list", "-json=ImportPath,Dir,Imports,GoFiles", "./...")
	cmd.Dir = Root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal("go list:", err)
	}
	var list []goPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

// TestImportsPointOneWay holds the packages to the map above; only
// internal/service puts the stages together, and cmd calls it.
func TestImportsPointOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		may, known := allowed[name]
		if !known && name != "internal/service" && !strings.HasPrefix(name, "cmd/") {
			t.Errorf("%s is not on the map of packages", name)
		}
		for _, i := range p.Imports {
			own, ours := strings.CutPrefix(i, module)
			switch {
			case !ours || !known && name != "internal/service":
			case name == "internal/service" && !strings.HasPrefix(own, "cmd/"):
			case !slices.Contains(may, own):
				t.Errorf("%s imports %s", name, own)
			}
		}
	}
}

// TestPackagesAreDocumented wants exactly one doc comment of every package.
func TestPackagesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		docs := 0
		for _, file := range p.GoFiles {
			f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, file), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if f.Doc != nil {
				docs++
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d doc comments, want 1", p.ImportPath, docs)
		}
	}
}
