// Package pipeline is f2bpipe's architecture: the values that travel, the
// stages' interfaces, and the stages between matching and the kernel.
//
//	sources ──Batch──▶ matchers ──Failure──▶ window ──Ban──▶ ledger ──Order──▶ sinks
package pipeline
