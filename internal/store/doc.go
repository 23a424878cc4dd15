// Package store keeps bans, history, log positions and counts in fail2ban's
// SQLite file, so that f2bpipe starts where fail2ban stopped and fail2ban
// starts where f2bpipe stopped. Store implements pipeline.Store.
//
// # The file
//
// fail2ban's five tables have fail2ban's schema, version 4, and fail2ban's
// types: whole seconds and bytes as integers, data as JSON in a blob. Tables
// of our own begin with f2bpipe_ and hold what fail2ban's have no room for:
//
//	f2bpipe_positions  all that pipeline.Position says, by jail and path
//	f2bpipe_counts     what the window has counted, as a log of changes
//	f2bpipe_memory     open sessions of the matchers, as they gave them; so too
//	f2bpipe_meta       values by key
//
// fail2ban never looks at these, and so they are of an older day after it ran.
// Every transaction of ours therefore writes down the change counter that the
// file's header (https://www.sqlite.org/fileformat2.html, offset 24) has after
// it. Where Open finds another one, somebody else wrote: it empties our tables,
// and positions are those of fail2ban's table logs.
//
// # Transactions
//
// What Save is given is one transaction. The journal is a rollback journal
// (TRUNCATE, synchronous FULL), never a WAL: after a crash the next to open the
// file, f2bpipe or fail2ban, rolls back what was not whole. Close leaves the
// database file alone.
//
// # A hostile file
//
// Who can write the file cannot do more than invent bans. The schema is
// compared to the known one before a row is read; views, triggers, virtual and
// computed columns are never run (trusted_schema is off besides). Every value
// is bounded by its size before it is read, checked for its type, and times
// are clamped. A file that is damaged, has a foreign schema or an older
// version is set aside under its name with .YYYYmmdd-HHMMSS, as fail2ban does,
// and a new one made of the rows that can be read.
//
// # Faults
//
// A full disk and a file that cannot be written end nothing: Open returns a
// store that can be read if there is anything to read, and every Save tries again.
package store
