// Package packaging holds what a machine gets besides the program: the
// descriptions of the Debian packages, the rpms and the archive that `make
// package` builds, the systemd unit, manual pages, completions and containers.
// Its tests hold them to each other and to the programs that read them; see
// README.md for who installs what.
package packaging
