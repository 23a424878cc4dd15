package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/f2bpipe/f2bpipe/internal/testenv"
)

func generate(t *testing.T, o options) []byte {
	t.Helper()
	if o.rate == 0 {
		o.rate = 150
	}
	if o.seed == 0 {
		o.seed = 1
	}
	o.start = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	var b bytes.Buffer
	if err := write(&b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The logs in testdata are what the generator writes.
func TestCorporaAreGenerated(t *testing.T) {
	for _, kind := range []string{"auth", "mail"} {
		want, err := os.ReadFile(filepath.Join(testenv.Root(t), "testdata", kind+".log"))
		if err != nil {
			t.Fatal(err)
		}
		if got := generate(t, options{kind: kind, service: "all"}); !bytes.Equal(got, want) {
			t.Errorf("testdata/%s.log is not what `go run ./bench/gen -kind %s` writes", kind, kind)
		}
	}
}

func TestDrawWritesExactlyTheLines(t *testing.T) {
	for _, service := range []string{"all", "sshd", "postfix", "dovecot", "nginx"} {
		for _, kind := range []string{"mixed", "clean", "attack"} {
			o := options{kind: kind, service: service, lines: 5000, failures: 0.05}
			got := generate(t, o)
			if n := bytes.Count(got, []byte{'\n'}); n != 5000 {
				t.Errorf("%s %s: %d lines, want 5000", kind, service, n)
			}
			if !bytes.Equal(got, generate(t, o)) {
				t.Errorf("%s %s: a second run differs", kind, service)
			}
		}
	}
}

// Whatever looks like an address is one for documentation, or the host's own.
func TestAddressesAreForDocumentation(t *testing.T) {
	v4 := regexp.MustCompile(`(?:^|[^\d.])(\d{1,3}(?:\.\d{1,3}){3})(?:[^\d.]|$)`)
	ours := regexp.MustCompile(`^(?:192\.0\.2|198\.51\.100|203\.0\.113)\.\d+$|^10\.0\.0\.2$`)
	for _, kind := range []string{"auth", "mail", "mixed"} {
		log := generate(t, options{kind: kind, service: "all", lines: 20_000, failures: 0.3})
		for _, m := range v4.FindAllSubmatch(log, -1) {
			if !ours.Match(m[1]) {
				t.Errorf("%s: address %s", kind, m[1])
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, o := range []options{
		{kind: "nothing", rate: 1},
		{kind: "mixed", service: "nothing", rate: 1},
		{kind: "mixed", service: "all", rate: 1, failures: 2},
		{kind: "mixed", service: "all"},
	} {
		if err := write(&bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
