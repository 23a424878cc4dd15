package control

import (
	"fmt"
	"strings"
)

// The plain values that pickles are read into and replies are written from:
//
//	None   nil            str    string
//	bool   bool           list   []any
//	int    int64 (int)    tuple  Tuple
//	float  float64        dict   Dict
//	set    Set            an exception, in replies only: *Exception
//
// Encode also takes int and []string. Bytes that are no UTF-8 in a string stand
// for Python's surrogate escapes: undecodable bytes of a command line.

// Tuple is Python's tuple.
type Tuple []any

// Pair is one entry of a Dict.
type Pair struct {
	Key, Value any
}

// Dict is Python's dict, in its order of insertion.
type Dict []Pair

// Set is Python's set, in the order in which it was written.
type Set []any

// Exception is a Python exception as it travels: a class by its name and the
// arguments that it was made with. A Handler that returns one as its error
// decides what the client sees.
type Exception struct {
	Module, Name string
	Args         []any
}

// Error returns what Python's str of the exception is.
func (e *Exception) Error() string {
	switch len(e.Args) {
	case 0:
		return ""
	case 1:
		// A KeyError shows its key as it is written in Python.
		if e.Name == "KeyError" || e.is(unknownJail) {
			return Repr(e.Args[0])
		}
		return Str(e.Args[0])
	}
	if e.ofSystem() {
		return fmt.Sprintf("[Errno %s] %s: %s", Str(e.Args[0]), Str(e.Args[1]), Repr(e.Args[2]))
	}
	return Repr(Tuple(e.Args))
}

// ofSystem says whether it is an OSError, or one of its kind, that names a file.
func (e *Exception) ofSystem() bool {
	if len(e.Args) != 3 || e.Module != "builtins" {
		return false
	}
	switch e.Name {
	case "OSError", "FileNotFoundError", "PermissionError", "IsADirectoryError", "NotADirectoryError":
		return true
	}
	return false
}

// Text returns the arguments as one readable text, for our own commands.
func (e *Exception) Text() string {
	words := make([]string, len(e.Args))
	for i, a := range e.Args {
		words[i] = Str(a)
	}
	text := strings.Join(words, ", ")
	if e.is(unknownJail) {
		return fmt.Sprintf("no such jail: %s", text)
	}
	if e.is(duplicateJail) {
		return fmt.Sprintf("jail exists: %s", text)
	}
	return text
}

// class is the global name of an exception.
type class struct{ module, name string }

var (
	plainException = class{"builtins", "Exception"}
	valueError     = class{"builtins", "ValueError"}
	keyError       = class{"builtins", "KeyError"}
	indexError     = class{"builtins", "IndexError"}
	nameError      = class{"builtins", "NameError"}
	attributeError = class{"builtins", "AttributeError"}
	unknownJail    = class{"fail2ban.exceptions", "UnknownJailException"}
	duplicateJail  = class{"fail2ban.exceptions", "DuplicateJailException"}
	regexException = class{"fail2ban.server.failregex", "RegexException"}
)

func (c class) with(args ...any) *Exception {
	return &Exception{Module: c.module, Name: c.name, Args: args}
}

func (e *Exception) is(c class) bool {
	// Python 2's pickles name the module of its exceptions "exceptions".
	return e.Name == c.name && (e.Module == c.module || c.module == "builtins" && e.Module == "exceptions")
}

// The exceptions that a Handler or a verb may return. Texts that people's
// scripts know are fail2ban's.

// ErrorUnknownJail says that there is no jail of that name.
func ErrorUnknownJail(name string) *Exception { return unknownJail.with(name) }

// ErrorDuplicateJail says that there is a jail of that name already.
func ErrorDuplicateJail(name string) *Exception { return duplicateJail.with(name) }

// ErrorValue says that an argument has a wrong value.
func ErrorValue(format string, args ...any) *Exception {
	return valueError.with(fmt.Sprintf(format, args...))
}

// ErrorRegex says that a regular expression cannot be used.
func ErrorRegex(format string, args ...any) *Exception {
	return regexException.with(fmt.Sprintf(format, args...))
}

// ErrorName says that a name is not known.
func ErrorName(format string, args ...any) *Exception {
	return nameError.with(fmt.Sprintf(format, args...))
}

// ErrorUnknownAction says that a jail has no action of that name.
func ErrorUnknownAction(name string) *Exception {
	return keyError.with("Invalid Action name: " + name)
}

// ErrorPlain is an exception without a class of its own.
func ErrorPlain(format string, args ...any) *Exception {
	return plainException.with(fmt.Sprintf(format, args...))
}

// errorIndex says that a command has too few words.
func errorIndex() *Exception { return indexError.with("list index out of range") }

// ErrorKey says that a value has no entry of that name.
func ErrorKey(name string) *Exception { return keyError.with(name) }

// ErrorFile is Python's exception of a system call for a file: its class
// (FileNotFoundError, PermissionError, OSError …), the number and its text.
func ErrorFile(class string, number int, text, path string) *Exception {
	if text != "" && text[0] >= 'a' && text[0] <= 'z' {
		text = string(text[0]-'a'+'A') + text[1:]
	}
	return &Exception{Module: "builtins", Name: class, Args: []any{number, text, path}}
}
