//go:build !corpus

package sigma_test

// matrixStep is how many recorded events lie between those whose verdicts are
// compared with the reference. All of them are with -tags corpus, which takes half
// a minute of one processor.
const matrixStep = 9
