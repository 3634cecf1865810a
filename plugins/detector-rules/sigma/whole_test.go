//go:build corpus

package sigma_test

// matrixStep is how many recorded events lie between those whose verdicts are
// compared with the reference: all of them are.
const matrixStep = 1
