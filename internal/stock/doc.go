// Package stock is f2bpipe's own default configuration in fail2ban's language,
// embedded: it stands under whatever a machine has in /etc/f2bpipe or
// /etc/fail2ban, file by file, so that a machine without either needs three
// lines of jail.local.
//
// Everything here is written from the log formats of the programs and from
// fail2ban's documented interface: the names of jails, filters, actions, options
// and parameters are the ones that users' files refer to, the texts and regular
// expressions are ours.
//
// What a client may write into a log it may write there to have somebody else
// banned. A filter here therefore finds the address only where no text of the
// client's can stand: behind a fixed beginning, or as the last thing in a line.
// testdata/samples has annotated lines for each filter (see its README), and the
// tests put hostile text into every field of theirs that a client controls.
package stock
