package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// loader reads one tree.
type loader struct {
	opt      Options
	files    *Files
	used     map[*parser]bool // what there is to tell of them was reported
	replaced []Replaced
	problems Problems
}

func newLoader(o Options) *loader {
	if o.Dir != "/" {
		o.Dir = strings.TrimRight(o.Dir, "/")
	}
	if o.Version == "" {
		o.Version = DefaultVersion
	}
	if o.Files == nil {
		o.Files = new(Files)
	}
	if o.Files.read == nil {
		*o.Files = Files{read: map[string]*source{}, parsers: map[string]*parser{}, canonicals: map[string]*Action{}}
	}
	return &loader{opt: o, files: o.Files, used: map[*parser]bool{}}
}

// quiet returns a loader of the same tree whose reports nobody has heard of.
func (l *loader) quiet() *loader {
	return &loader{opt: l.opt, files: l.files, used: map[*parser]bool{}}
}

// source is a parsed file and where it was taken from.
type source struct {
	*file
	name    string    // as places name it
	instead *Replaced // the file of the directory that it was taken for; nil: none
}

// Files are configuration files that were read. Loads that share them (see
// Options.Files) read, parse and merge each file once, and see it as it was
// then. It belongs to one goroutine at a time; the zero value is ready.
type Files struct {
	read    map[string]*source
	parsers map[string]*parser // never changed, by the path of their name
	trunk   *trunk             // what a Load begins with; nil: there was none
	// canonicals are the actions that canonical has read, by name and parameters.
	canonicals map[string]*Action
}

// join is Python's os.path.join of two: an absolute name stands for itself.
func (l *loader) join(dir, name string) string {
	if filepath.IsAbs(name) || dir == "" {
		return name
	}
	return strings.TrimRight(dir, "/") + "/" + name
}

// stockName returns the name that path has in the embedded configuration, and
// whether it is there.
func (l *loader) stockName(path string) (string, bool) {
	if l.opt.Stock == nil || !strings.HasSuffix(path, ".conf") {
		return "", false
	}
	rel, err := filepath.Rel(l.opt.Dir, path)
	if err != nil || !fs.ValidPath(rel) {
		return "", false
	}
	info, err := fs.Stat(l.opt.Stock, rel)
	return rel, err == nil && info.Mode().IsRegular()
}

// exists says whether there is something under the name, on disk or embedded.
func (l *loader) exists(path string) bool {
	if _, err := os.Stat(path); err == nil {
		return true
	}
	_, ok := l.stockName(path)
	return ok
}

// isFile says whether there is a file of the name.
func (l *loader) isFile(path string) bool {
	if info, err := os.Stat(path); err == nil {
		return info.Mode().IsRegular()
	}
	_, ok := l.stockName(path)
	return ok
}

// folder returns the files in dir that end in suffix, sorted; dot files are
// not among them. A folder that is absent has none.
func (l *loader) folder(dir, suffix string) []string {
	entries, _ := os.ReadDir(dir) // absent or unreadable: nothing to overlay
	var out []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, suffix) && !strings.HasPrefix(name, ".") {
			out = append(out, dir+"/"+name)
		}
	}
	slices.Sort(out)
	return out
}

// read returns the parsed file, or nil where there is none to read; a file that
// exists and cannot be read has a fault. With diskOnly a superseded file is
// taken as it is.
func (l *loader) read(path string, diskOnly bool) *source {
	key := path
	if diskOnly {
		key += "\x00disk"
	}
	f, ok := l.files.read[key]
	if !ok {
		f = l.readUncached(path, diskOnly)
		l.files.read[key] = f
	}
	if f != nil && f.instead != nil {
		l.replace(*f.instead)
	}
	return f
}

// replace notes files that stock ones were taken for.
func (l *loader) replace(files ...Replaced) {
	for _, r := range files {
		if !slices.Contains(l.replaced, r) {
			l.replaced = append(l.replaced, r)
		}
	}
}

func (l *loader) readUncached(path string, diskOnly bool) *source {
	stock, inStock := l.stockName(path)
	data, err := readLimited(path)
	var instead *Replaced
	switch {
	case err == nil && inStock && !diskOnly && l.opt.Superseded != nil && l.opt.Superseded(stock, data):
		instead = &Replaced{Disk: path, Stock: StockPrefix + stock}
	case err == nil:
		return &source{file: parseFile(path, data), name: path}
	case !errors.Is(err, fs.ErrNotExist):
		f := parseFile(path, nil)
		f.faults = append(f.faults, fault{wrong: wrong{at: pos{path, 0}, msg: reason(err)}})
		return &source{file: f, name: path}
	case !inStock:
		return nil
	}
	name := StockPrefix + stock
	data, err = fs.ReadFile(l.opt.Stock, stock)
	f := parseFile(name, data)
	if err != nil {
		f.faults = append(f.faults, fault{wrong: wrong{at: pos{name, 0}, msg: reason(err)}})
	}
	return &source{file: f, name: name, instead: instead}
}

// reason is what went wrong with a file, without its name.
func reason(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Op + ": " + pe.Err.Error()
	}
	return err.Error()
}

// readLimited reads a regular file of at most maxFile bytes.
func readLimited(path string) ([]byte, error) {
	// A name that leads to a FIFO or a device must not make reading hang.
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("longer than %d bytes", maxFile)
	}
	return data, err
}
