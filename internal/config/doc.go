// Package config reads fail2ban's configuration language and nothing else
// does: files in fail2ban's order over an embedded stock configuration,
// includes, Python's ConfigParser syntax, %(x)s, <x>, filters, actions, jails,
// time with units. What comes out are plain values, each with the file and the
// line it was written in, and the problems of the whole tree in one run.
//
// [Load] reads a tree, [LoadFilter] one filter. Nothing is compiled here and no
// log is opened: regular expressions, date patterns and commands are texts,
// with the tags that only matching or banning can fill (<HOST>, <ip>) left in.
//
// # Layers
//
// A file is looked for in Options.Dir; a file named *.conf that is not there is
// taken from Options.Stock. Files named *.local and folders named *.d are only
// read from Dir. Which file wins over which is fail2ban's rule (jail.conf(5)):
// X.conf, X.d/*.conf, X.local, X.d/*.local, later ones win, option by option.
//
// # Places
//
// A value that was put together from several files (by %(x)s, <x>, or known/)
// remembers where each of its lines stands, so that the seventh failregex of a
// filter is reported at its own line, not at that of the word failregex. The
// name of a stock file starts with [StockPrefix].
//
// # Problems
//
// A [Problem] that is an error and names a jail disables that jail, and no
// other; one that names no jail concerns the whole tree. Warnings disable
// nothing. Reading never panics and its memory is bounded whatever the files hold.
package config
