// Package peers measures what Ironpost does with a log line beside libraries that
// do the same: matching Sigma rules beside bradleyjkemp/sigma-go, and parsing
// syslog beside leodido/go-syslog. It has tests alone; .ci/bench-rules runs them,
// from the root of the repository.
package peers
